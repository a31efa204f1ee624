"""`bnadapt.adapt`: a copy of a network with the BatchNorm statistics of a target."""

import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor, nn

from bnadapt.adaptation import SCANNED_TILES, Batches, Recipe
from bnadapt.api.inputs import Network, SourceModel, split
from bnadapt.batchnorm import Bank, ClassMoments, LayerShift
from bnadapt.data import InputChange
from bnadapt.errors import InputError
from bnadapt.gain.observation import logits_under
from bnadapt.reports.adaptation_figures import shift_figure

TILES = 64  # drawn from files


@dataclass(frozen=True, eq=False, repr=False)
class AdaptedNetwork:
    """A network adapted to a target.

    Attributes:
        network: copy of the given network with the adapted statistics, in eval mode; all weights are unchanged.
        bank: the adapted statistics; `bank.save(path)` writes them for `bnadapt predict --bank`.
        source_bank: the source's statistics.
        record: record of the adaptation in plain types, as written by `bnadapt adapt`.
    """

    network: nn.Module
    bank: Bank
    source_bank: Bank
    record: Mapping[str, Any]

    @property
    def shifts(self) -> dict[str, LayerShift]:
        """Shift of the statistics of every layer, in the source's standard deviations."""
        return self.bank.compared(self.source_bank)

    def plot(self) -> Figure:
        """The shift of every layer."""
        return shift_figure(self.shifts)

    def __repr__(self) -> str:
        shifts = self.shifts
        means = {layer: shift.mean for layer, shift in shifts.items() if shift.mean or shift.log_variance}
        most = max(means, key=means.get, default="")
        moved = (
            f"; means moved by {fmean(means.values()):.2g} source standard deviations on average, most in"
            f" {most or 'the network itself'} ({means[most]:.2g})"
            if means
            else ""
        )
        return (
            f"{type(self).__name__}({type(self.network).__name__}, {self.record['tiles']} tiles: new statistics in"
            f" {len(means)} of {len(shifts)} BatchNorm layers{moved})"
        )


class ChangedImages(nn.Module):
    """A network behind a change of its images, such as inversion; logits have the original images' size."""

    def __init__(self, network: nn.Module, change: InputChange) -> None:
        super().__init__()
        self.network = network
        self.change = change

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K, h, w) of unchanged images (N, C, h, w)."""
        return self.change.around(self.network)(images)


def adapt(network: Network, images: Any, settings: Recipe | None = None, *, source: Any = None) -> AdaptedNetwork:
    """Re-estimate the BatchNorm statistics of a network on images of a target; the network itself is left unchanged.

    Args:
        network: a `torch.nn.Module` with BatchNorm layers, a task of bnadapt, or the path of a checkpoint.
        images: images of the target in random order; see `bnadapt.api.inputs`. From files 64 tiles are drawn at random,
            everything else is read to the end.
        settings: how statistics are re-estimated, see `Recipe`.
        source: images of the source with masks, if the settings correct for other class proportions and the network is
            not a checkpoint with class moments.

    Raises:
        BnadaptError: the network has no BatchNorm statistics, images cannot be used, or the settings need information
            on the source.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        >>> target = torch.randn(16, 1, 32, 32) + 3
        >>> adapted = adapt(network, target)
        >>> adapted.record["tiles"], list(adapted.shifts)
        (16, ['1'])
        >>> network[1].running_mean.tolist()
        [0.0, 0.0, 0.0, 0.0]
    """
    model = SourceModel.of(network)
    recipe = settings or Recipe()
    if source is None:
        return adapted(model, images, recipe, model.class_moments)
    if recipe.class_proportions == "source":
        raise InputError(
            "adapt: the source is of use only where the target's class proportions differ; leave source out, or set"
            " Recipe(class_proportions='estimated')."
        )
    return adapted(model, images, recipe, class_moments(model, model.labelled(source).training))


def adapted(
    model: SourceModel, images: Any, recipe: Recipe, moments: ClassMoments | None, change: InputChange | None = None
) -> AdaptedNetwork:
    """Adapt a network to images.

    Args:
        model: the network.
        images: images of the target.
        recipe: how statistics are re-estimated.
        moments: class moments of the source, if known.
        change: change of the images.
    """
    started = time.perf_counter()
    change = change or InputChange()
    scanned, batches = split(model.batches(images, count=TILES, change=InputChange()), SCANNED_TILES)
    runner = model.runner().with_forward(change.around(model.forward))
    statistics = runner.adapt(batches, recipe, scanned, moments)
    network = deepcopy(model.network).eval()
    statistics.bank.apply(network)
    record = statistics.record(recipe) | {"seconds": round(time.perf_counter() - started, 3)}
    record["target_change"] = change.state_dict()
    return AdaptedNetwork(ChangedImages(network, change) if change else network, statistics.bank, model.bank, record)


def class_moments(model: SourceModel, labelled: Batches) -> ClassMoments:
    """Class moments of labelled batches of the source."""
    first, batches = split(labelled, 1)
    classes = logits_under(model.runner(), first[0]["image"]).shape[1] if first else 2
    return model.runner().class_moments(batches, classes)
