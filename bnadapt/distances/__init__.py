"""Distances between distributions of latents. Plain torch and POT."""

from bnadapt.distances.latents import draw_latents
from bnadapt.distances.measures import MEASURES, bhattacharyya, gaussian_wasserstein, sliced_wasserstein

__all__ = ["MEASURES", "bhattacharyya", "draw_latents", "gaussian_wasserstein", "sliced_wasserstein"]
