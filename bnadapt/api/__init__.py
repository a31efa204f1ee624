"""The four verbs of `import bnadapt`, `adapt`, `distances`, `finetune` and `recommend`, and what they return."""

from bnadapt.api.adapted_network import AdaptedNetwork, adapt
from bnadapt.api.fine_tuned_network import FineTunedNetwork, finetune
from bnadapt.api.latent_distances import LatentDistances, distances
from bnadapt.api.recommendation import Recommendation, recommend

__all__ = [
    "AdaptedNetwork",
    "FineTunedNetwork",
    "LatentDistances",
    "Recommendation",
    "adapt",
    "distances",
    "finetune",
    "recommend",
]
