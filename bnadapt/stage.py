"""Which stage a Trainer is in, where Lightning's own states do not tell."""

from lightning.pytorch import Trainer


def is_adapting(trainer: Trainer | None) -> bool:
    """Whether the predict loop that runs is the pass of `bnadapt adapt`."""
    return getattr(trainer, "command", None) == "adapt"


def is_measuring(trainer: Trainer | None) -> bool:
    """Whether the predict loop that runs is that of `bnadapt distances`."""
    return getattr(trainer, "command", None) == "distances"
