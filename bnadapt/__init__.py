"""bnadapt: adapt segmentation networks to new electron-microscopy data by their BatchNorm statistics.

What code of your own needs first is here: four verbs, what they return, and their settings.

    bnadapt.adapt(network, images)                 -> AdaptedNetwork
    bnadapt.distances(network, source, target)     -> LatentDistances
    bnadapt.recommend(network, source, target)     -> Recommendation
    bnadapt.finetune(network, images, labelled)    -> FineTunedNetwork

Names are imported when they are first used, so that `import bnadapt` takes no time and loads no torch.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

__version__ = "0.1.0"

_HOMES = {
    "adapt": "bnadapt.api",
    "finetune": "bnadapt.api",
    "recommend": "bnadapt.api",
    "AdaptedNetwork": "bnadapt.api",
    "LatentDistances": "bnadapt.api",
    "Recommendation": "bnadapt.api",
    "Recipe": "bnadapt.adaptation",
    "Policy": "bnadapt.batchnorm",
    "UntilConverged": "bnadapt.batchnorm",
    "BnadaptError": "bnadapt.errors",
}
__all__ = ["__version__", "distances", *_HOMES]


def __getattr__(name: str) -> _Any:
    if name == "distances":  # a package that can be called, see there
        return _import_module("bnadapt.distances")
    if name in _HOMES:
        return globals().setdefault(name, getattr(_import_module(_HOMES[name]), name))
    raise AttributeError(f"module 'bnadapt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
