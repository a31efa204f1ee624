"""Learn from a few labelled tiles of a target, and propose which to label. Plain torch."""

from bnadapt.labels.finetuning import FineTuned, FineTuning, LabelledTiles, finetune
from bnadapt.labels.learning import LearnName

__all__ = ["FineTuned", "FineTuning", "LabelledTiles", "LearnName", "finetune"]
