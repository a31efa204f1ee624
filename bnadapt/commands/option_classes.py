"""Classes that options take by their short names."""

import inspect
from importlib import import_module
from typing import Any

CLASSES = {  # by option: module of the classes, and their base class
    "source": ("bnadapt.data", "bnadapt.data.Domain"),
    "target": ("bnadapt.data", "bnadapt.data.Domain"),
    "test": ("bnadapt.data", "bnadapt.data.Domain"),
    "domain": ("bnadapt.data", "bnadapt.data.Domain"),
    "optimizer": ("torch.optim", "torch.optim.Optimizer"),
    "lr_scheduler": ("torch.optim.lr_scheduler", "torch.optim.lr_scheduler.LRScheduler"),
    "callbacks": ("bnadapt.callbacks", "lightning.pytorch.Callback"),
    "logger": ("lightning.pytorch.loggers", "lightning.pytorch.loggers.Logger"),
    "loss": ("torch.nn", "torch.nn.modules.loss._Loss"),
    "source_weight": ("bnadapt.batchnorm", "bnadapt.batchnorm.SourceWeight"),
    "model": ("bnadapt.tasks", "bnadapt.tasks.AdaptableTask"),
}


def short_names(key: str) -> list[str]:
    """Short names of the classes that an option takes, by its dotted name; empty if it takes others."""
    location = next((CLASSES[part] for part in reversed(key.split(".")[-2:]) if part in CLASSES), None)
    if location is None:
        return []
    module, base = import_module(location[0]), imported(location[1])
    members = {name: getattr(module, name) for name in getattr(module, "__all__", dir(module))}
    subclasses = {name: each for name, each in members.items() if inspect.isclass(each) and issubclass(each, base)}
    return [name for name, each in subclasses.items() if each is not base and not inspect.isabstract(each)]


def imported(path: str) -> Any:
    """The object at an import path; None if there is none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
