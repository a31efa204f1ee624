"""Learn from a few labelled tiles of a target, or without labels, and propose tiles to label. Plain torch."""

from bnadapt.labels.finetuning import FineTuned, finetune
from bnadapt.labels.learner import FineTuning
from bnadapt.labels.parameters import LearnName
from bnadapt.labels.self_training import SelfTraining, self_train
from bnadapt.labels.training_tiles import LabelledTiles

__all__ = ["FineTuned", "FineTuning", "LabelledTiles", "LearnName", "SelfTraining", "finetune", "self_train"]
