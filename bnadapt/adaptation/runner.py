"""Run a network on tiles of source and target: adapt it, and measure its latents before and after. Plain torch.

All that adapts or measures goes through `NetworkRunner`: actions, and so commands and callbacks, and experiments.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from bnadapt.adaptation.adapted_statistics import AdaptedStatistics
from bnadapt.adaptation.recipe import Recipe
from bnadapt.batchnorm import (
    Bank,
    BatchNormError,
    ClassMoments,
    Estimate,
    ProportionCorrection,
    ProportionEstimate,
    estimate,
    estimate_proportions,
    measure_class_moments,
)
from bnadapt.batchnorm.isolation import isolated
from bnadapt.distances import LatentStates, Sketch, Sketching, latent_spaces

Batches = Iterable[Mapping[str, Tensor]]
"""Batches with `image` (N, C, H, W) and `number` (N,) of every tile, unique over all processes."""


@dataclass(frozen=True)
class DomainSketch:
    """The latents of a domain in one state of a network.

    Attributes:
        sketches: sketches of all processes by layer, in the order in which the network calls them.
        examples: some latents (n, C) by layer, of this process.
        tiles: number of tiles that all processes have read.
    """

    sketches: Mapping[str, Sketch]
    examples: Mapping[str, Tensor]
    tiles: int


class NetworkRunner:
    """Runs a network on tiles of source and target, with one bank of statistics or another.

    The network is left unchanged, including buffers, modes and random states.

    Args:
        network: any module with BatchNorm layers.
        forward: runs it on a batch; the network itself by default.
        source_bank: the source's statistics; by default those that the network holds.
        positions_per_tile: latents that are taken at random from every layer of a tile.
        layers: names of the modules to sketch at, see `bnadapt.distances.latent_spaces`.
        group: group of processes; each passes its share of the tiles.

    Examples:
        >>> from bnadapt.batchnorm import Policy
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> runner = NetworkRunner(network)
        >>> target = [{"image": torch.randn(8, 1, 32, 32) + 3}]
        >>> bank = runner.estimate(target, Recipe(Policy())).bank
        >>> after = runner.sketch(target, bank)
        >>> after.sketches["0"].distribution().gaussian.mean.abs().item() < 0.2  # of 3
        True
        >>> network[0].running_mean.item()
        0.0
    """

    def __init__(
        self,
        network: nn.Module,
        forward: Callable[[Tensor], Any] | None = None,
        source_bank: Bank | None = None,
        positions_per_tile: int = 96,
        layers: Sequence[str] | None = None,
        group: distributed.ProcessGroup | None = None,
    ) -> None:
        self.network = network
        self.forward = forward or network
        self.source_bank = source_bank or Bank.of(network)
        self.positions_per_tile = positions_per_tile
        self.layers = layers
        self.group = group

    @property
    def shard(self) -> tuple[int, int]:
        """Number of this process, and how many share the tiles."""
        if self.group is None:
            return 0, 1
        return distributed.get_rank(self.group), distributed.get_world_size(self.group)

    def without_group(self) -> "NetworkRunner":
        """The same for tiles that every process reads in full."""
        return self._with(group=None)

    def with_forward(self, forward: Callable[[Tensor], Any]) -> "NetworkRunner":
        """The same, run on batches by another forward."""
        return self._with(forward=forward)

    def adapt(
        self, target: Batches, recipe: Recipe, scanned: Batches = (), moments: ClassMoments | None = None
    ) -> AdaptedStatistics:
        """Statistics of the target, corrected for its class proportions as the recipe says.

        Args:
            target: tiles.
            recipe: how.
            scanned: some tiles, to estimate class proportions from.
            moments: class moments of the source, where they are known.

        Raises:
            BatchNormError: as `estimate` and `correction`, or the recipe needs class moments that are not known.
        """
        correction = proportions = None
        if recipe.class_proportions != "source":
            correction, proportions = self.correction(scanned, recipe, moments)
        return AdaptedStatistics(self.estimate(target, recipe, correction), correction, proportions)

    def estimate(self, target: Batches, recipe: Recipe, correction: ProportionCorrection | None = None) -> Estimate:
        """Estimate the statistics of the target, from the source's on.

        Args:
            target: tiles.
            recipe: how; its class proportions are what `correction` is for.
            correction: see `correction`.

        Raises:
            BatchNormError: as `bnadapt.batchnorm.estimate`.
        """
        with self.source_bank.applied(self.network):
            return estimate(
                self.network,
                target,
                propagation=recipe.propagation,
                policy=recipe.policy,
                until=recipe.until,
                forward=self.forward,
                group=self.group,
                correction=correction,
            )

    def class_moments(self, labelled: Iterable[Mapping[str, Tensor]], classes: int) -> ClassMoments:
        """Class moments of the source under its own statistics, of batches with `image` and `mask` (N, H, W).

        Raises:
            BatchNormError: as `bnadapt.batchnorm.measure_class_moments`.
        """
        with self.source_bank.applied(self.network):
            return measure_class_moments(self.network, labelled, classes, forward=self.forward, group=self.group)

    def correction(
        self, target: Batches, recipe: Recipe, moments: ClassMoments | None
    ) -> tuple[ProportionCorrection, ProportionEstimate | None]:
        """The correction of the target's statistics for the difference in class proportions.

        Args:
            target: some tiles, to estimate the proportions from.
            recipe: recipe of the adaptation, with `class_proportions`.
            moments: class moments of the source.

        Returns:
            The correction, and the estimate that it comes from, if they are estimated.

        Raises:
            BatchNormError: as `bnadapt.batchnorm.estimate_proportions` and `ProportionCorrection`, or there are no
                class moments.
        """
        if moments is None:
            raise BatchNormError(
                f"class_proportions is {recipe.class_proportions}, and no class moments of the source are known; give"
                " the source with masks, or leave class_proportions out."
            )
        if recipe.class_proportions == "source":
            return ProportionCorrection(moments, moments.proportions.tolist()), None
        if recipe.class_proportions != "estimated":
            return ProportionCorrection(moments, recipe.class_proportions), None
        device = self._device()
        images = (batch["image"].to(device) for batch in target)
        with self.source_bank.applied(self.network):
            estimated = estimate_proportions(
                self.network, images, moments, policy=recipe.policy, forward=self.forward, group=self.group
            )
        return ProportionCorrection(moments, estimated.chosen.proportions), estimated

    def sketch(self, tiles: Batches, bank: Bank | None = None) -> DomainSketch:
        """Sketch the latents of tiles under a bank, the source's by default.

        Raises:
            DistanceError: no tiles are given, latents are not finite, or a name of `layers` fits no layer.
        """
        device = self._device()
        spaces = latent_spaces(self.network, self.layers)
        with (
            isolated(self.network),
            (bank or self.source_bank).applied(self.network),
            Sketching(self.forward, spaces, self.positions_per_tile) as sketching,
        ):
            for batch in tiles:
                sketching.update(batch["image"].to(device, non_blocking=True), batch.get("number"))
        return DomainSketch(sketching.compute(self.group), sketching.examples, self._total(sketching.tiles))

    def latent_states(
        self, source: DomainSketch | Batches, target: Batches, adapted: Bank | None = None
    ) -> tuple[LatentStates, dict[str, DomainSketch]]:
        """Sketch source and target in the source network, and the target in the adapted one.

        Args:
            source: tiles, or their sketch.
            target: tiles.
            adapted: the adapted bank, if there is one.

        Returns:
            The states, to take distances between, and the sketches by `source`, `target` and `adapted`.
        """
        tiles = list(target)
        sketched = {"source": source if isinstance(source, DomainSketch) else self.sketch(source)}
        sketched["target"] = self.sketch(tiles)
        if adapted is not None:
            sketched["adapted"] = self.sketch(tiles, adapted)
        return LatentStates(**{name: each.sketches for name, each in sketched.items()}), sketched

    def _with(self, **changes: Any) -> "NetworkRunner":
        present = {
            "forward": self.forward,
            "source_bank": self.source_bank,
            "positions_per_tile": self.positions_per_tile,
            "layers": self.layers,
            "group": self.group,
        }
        return NetworkRunner(self.network, **{**present, **changes})

    def _device(self) -> torch.device:
        return next(self.network.parameters(), torch.zeros(0)).device

    def _total(self, tiles: int) -> int:
        if self.group is None:
            return tiles
        total = torch.tensor(tiles, device=self._device())
        distributed.all_reduce(total, group=self.group)
        return int(total)


def beginning(batches: Batches, count: int) -> Iterator[Mapping[str, Tensor]]:
    """The first `count` tiles of batches; the last batch may be cut."""
    remaining = count
    for batch in batches:
        yield {name: value[:remaining] for name, value in batch.items()}
        remaining -= len(batch["image"])
        if remaining <= 0:
            return
