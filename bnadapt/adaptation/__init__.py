"""Adapt a network to tiles of a target, and measure its latents before and after. Plain torch."""

from bnadapt.adaptation.adapted_statistics import AdaptedStatistics
from bnadapt.adaptation.recipe import DEFAULT_POLICY, ClassProportions, Recipe
from bnadapt.adaptation.runner import Batches, DomainSketch, NetworkRunner, beginning

__all__ = [
    "DEFAULT_POLICY",
    "LABELLED_TILES",
    "SCANNED_TILES",
    "AdaptedStatistics",
    "Batches",
    "ClassProportions",
    "DomainSketch",
    "NetworkRunner",
    "Recipe",
    "beginning",
]

LABELLED_TILES, SCANNED_TILES = 64, 8
"""Tiles of the source that class moments, and of the target that class proportions, are estimated from."""
