"""Adapt a network to tiles of a target, and measure its latents before and after. Plain torch."""

from bnadapt.adaptation.recipe import DEFAULT_POLICY, ClassProportions, Recipe
from bnadapt.adaptation.runner import Batches, DomainSketch, NetworkRunner, beginning
from bnadapt.adaptation.statistics import AdaptedStatistics

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
