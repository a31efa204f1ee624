"""Which candidates predict the same on some tiles, and where they disagree."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

ALIKE = 0.95  # share of their foreground from which on two predictions look the same


def distinct(classes: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Candidates whose predictions look different, each with the later ones that look like it.

    Args:
        classes: predicted classes, of any one shape, by the candidate's name.
    """
    groups: dict[str, list[str]] = {}
    for name, predicted in classes.items():
        alike = next((shown for shown in groups if _agreement(classes[shown], predicted) >= ALIKE), None)
        if alike is None:
            groups[name] = []
        else:
            groups[alike].append(name)
    return groups


def disagreement(classes: Iterable[Tensor], count: int) -> Tensor:
    """Share (n, h, w) of predictions that differ from the most frequent one.

    Args:
        classes: (n, h, w) predicted by each candidate.
        count: number of classes.
    """
    predicted = torch.stack(list(classes))
    return 1 - torch.stack([(predicted == label).double().mean(0) for label in range(count)]).amax(0)


def _agreement(one: Tensor, other: Tensor) -> float:
    """Share of the pixels that either predicts as foreground on which both predict one class; 1 without any."""
    either = (one > 0) | (other > 0)
    return float((one == other)[either].double().mean()) if either.any() else 1.0
