"""Distances between distributions of latents, in one pass and in constant memory. Plain torch, SciPy and POT."""

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
    """Lets `bnadapt.distances` be this package and the verb `bnadapt.distances(network, source, target)`.

    Python allows to set a module's class to one that can be called (data model, "Customizing module attribute access").
    The verb stands above this package, which by itself needs nothing of it, and is imported when it is called.
    """

    def __call__(self, network: Any, source: Any, target: Any, **options: Any) -> Any:
        """See `bnadapt.api.distances`."""
        return import_module("bnadapt.api").distances(network, source, target, **options)


sys.modules[__name__].__class__ = _CallablePackage
