"""Distances between distributions of latents, in one pass and constant memory. Plain torch, SciPy and POT."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

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


class _CallablePackage(ModuleType):
    """Makes this package also the verb `bnadapt.distances(network, source, target)`, which it imports when called.

    Python allows a module's class to be replaced by one that can be called (data model, "Customizing module attribute
    access").
    """

    def __call__(self, network: Any, source: Any, target: Any, **options: Any) -> Any:
        """See `bnadapt.api.distances`."""
        return import_module("bnadapt.api").distances(network, source, target, **options)


sys.modules[__name__].__class__ = _CallablePackage
