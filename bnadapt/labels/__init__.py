"""Learn from a few labelled tiles of a target, or without labels, and propose tiles to label. Plain torch."""

from bnadapt.labels.finetuning import FineTuned, FineTuning, LabelledTiles, finetune
from bnadapt.labels.learning import LearnName
from bnadapt.labels.self_training import SelfTraining, self_train

__all__ = ["FineTuned", "FineTuning", "LabelledTiles", "LearnName", "SelfTraining", "finetune", "self_train"]
