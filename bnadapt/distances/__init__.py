"""Distances between distributions of latents, in one pass and in constant memory. Plain torch and POT."""

from bnadapt.distances import clouds, gaussian
from bnadapt.distances.comparison import Distance, compare, noise_floor
from bnadapt.distances.gaussian import Gaussian
from bnadapt.distances.histograms import Histograms
from bnadapt.distances.latents import DistanceError
from bnadapt.distances.measures import MEASURES, Measure, distances_between
from bnadapt.distances.sketch import Distribution, Sketch
from bnadapt.distances.sketching import Sketching, sketch_latents
from bnadapt.distances.spaces import latent_spaces
from bnadapt.distances.states import LatentStates, LayerDistance

__all__ = [
    "MEASURES",
    "Distance",
    "DistanceError",
    "Distribution",
    "Gaussian",
    "Histograms",
    "LatentStates",
    "LayerDistance",
    "Measure",
    "Sketch",
    "Sketching",
    "clouds",
    "compare",
    "distances_between",
    "gaussian",
    "latent_spaces",
    "noise_floor",
    "sketch_latents",
]
