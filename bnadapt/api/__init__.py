"""The three verbs of `import bnadapt`, and what they return: `adapt`, `distances` and `recommend`."""

from bnadapt.api.adapted_network import AdaptedNetwork, adapt
from bnadapt.api.latent_distances import LatentDistances, distances
from bnadapt.api.recommendation import Recommendation, recommend

__all__ = ["AdaptedNetwork", "LatentDistances", "Recommendation", "adapt", "distances", "recommend"]
