"""Scores, statistics and latents of a network on a domain, without and with adaptation."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bnadapt.adaptation import (
    LABELLED_TILES,
    SCANNED_TILES,
    AdaptedStatistics,
    ClassProportions,
    DomainSketch,
    NetworkRunner,
    Recipe,
)
from bnadapt.batchnorm import (
    Bank,
    ClassMoments,
    Estimate,
    NoBatchNormError,
    Policy,
    PropagationName,
    SourcePrior,
)
from bnadapt.data import DomainPair
from bnadapt.data.masks import IGNORED
from bnadapt.distances import Distribution, distances_between, noise_floor
from bnadapt.experiments.networks import SourceNetwork, build_task, domain_pair, quiet, trained
from bnadapt.experiments.specs import Keyed, Spec, canonical
from bnadapt.gain import SourceSummary, summarise_source
from bnadapt.gain.candidates import FULL_REPLACEMENT
from bnadapt.gain.source_summary import SUMMARY_TILES, images_and_masks
from bnadapt.networks import memory_format, with_background
from bnadapt.tasks.metrics import segmentation_metrics

CACHED_DOMAINS, CACHED_NETWORKS = 3, 2
QUICK_TILES = 48
Batches = Sequence[tuple[Tensor, Tensor]]
Distances = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Evaluation(Keyed):
    """Settings of adaptation and scoring.

    Args:
        tile_size: side of the tiles that are scored, in pixels.
        adaptation_tile_size: side of the tiles for adaptation; the same by default.
        batch_size: tiles in a batch.
        tiles: number of random tiles of the target for adaptation; None takes all.
        propagation: see `bnadapt.batchnorm.estimate`.
        latent_tiles: number of tiles of either domain for latents; 0 leaves the distances out.
        precision: precision of forward passes.
    """

    tile_size: int = 128
    adaptation_tile_size: int | None = None
    batch_size: int = 8
    tiles: int | None = 16
    propagation: PropagationName = "one_pass"
    latent_tiles: int = 16
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class Scores:
    """Scores of the foreground, over all pixels of a set.

    Attributes:
        iou: intersection over union.
        predicted: share of the pixels that are predicted as foreground.
        true: share of the pixels that are foreground.
    """

    iou: float
    predicted: float
    true: float


class DomainTiles:
    """Tiles of a domain as inputs of a network; each kind is read once.

    Args:
        scored: data module with the domain as its target, in tiles to score.
        read: data module with tiles for adaptation and latents.
    """

    def __init__(self, scored: DomainPair, read: DomainPair) -> None:
        self.scored = scored
        self.read = read
        self.unlabelled = lru_cache(4)(self._unlabelled)

    @cached_property
    def labelled(self) -> list[tuple[Tensor, Tensor]]:
        """Batches of tiles (N, C, h, w) and masks (N, h, w) of the test block."""
        (loader,) = self.scored.test_dataloader()
        return [(batch["image"], batch["mask"]) for batch in loader]

    @property
    def pictured(self) -> dict[str, Tensor]:
        """The first tile of the test block: image (C, h, w), and mask (h, w) beyond what this tile is scored on."""
        (loader,) = self.scored.test_dataloader()
        return loader.dataset.uncut(0)

    @cached_property
    def training(self) -> list[dict[str, Tensor]]:
        """Batches of labelled tiles of the train block."""
        return list(self.scored.labelled_tiles("target", "train", LABELLED_TILES))

    @cached_property
    def held_out(self) -> tuple[Tensor, Tensor]:
        """Labelled tiles (n, C, h, w) of the block that a network is summarised on, and their masks (n, h, w)."""
        block = self.read.summary_block("target")
        return images_and_masks(self.read.labelled_tiles("target", block, SUMMARY_TILES))

    def _unlabelled(self, count: int | None, seed: int = 0) -> Tensor:
        """`count` tiles (n, C, h, w), drawn at random from the sections that adaptation may read."""
        return torch.stack([item["image"] for item in self.read.unlabelled_tiles("target", count, seed=seed)])


class NetworkEvaluation:
    """A network on its device, with cached measurements.

    Args:
        network: network with the source's statistics.
        source: the domain that it was trained on.
        evaluation: settings of adaptation and scoring.
        tiles: function that returns the tiles of a domain.
    """

    def __init__(
        self, network: nn.Module, source: Spec, evaluation: Evaluation, tiles: Callable[[Spec], DomainTiles]
    ) -> None:
        self.network = network
        self.spec = source
        self.evaluation = evaluation
        self.device = next(network.parameters()).device
        self.memory_format = memory_format(network)
        self.bank = _bank_of(network)
        self.runner = NetworkRunner(network, self.forward, self.bank)
        self._on = lru_cache(CACHED_DOMAINS)(lambda domain: DomainEvaluation(self, tiles(json.loads(domain))))

    def on(self, domain: Spec) -> "DomainEvaluation":
        """The network on a domain; the last few are kept."""
        return self._on(canonical(domain))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 2, h, w) of a batch (N, C, h, w)."""
        images = images.to(self.device).contiguous(memory_format=self.memory_format)
        with self.precision():
            return with_background(self.network(images), num_classes=2).float()

    def precision(self) -> AbstractContextManager:
        """Context manager of the precision of forward passes."""
        if self.evaluation.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def scores(self, tiles: DomainTiles, bank: Bank | None = None, offset: float = 0.0) -> Scores:
        """Scores on the test block.

        Args:
            tiles: tiles of the domain.
            bank: bank of statistics; by default those of the network.
            offset: added to the logits of class 1.
        """
        added = torch.tensor([0.0, offset], device=self.device).view(1, 2, 1, 1)
        with bank.applied(self.network) if bank else nullcontext():
            return scored(lambda images: self.forward(images) + added, tiles.labelled)

    def predicted(self, images: Tensor, bank: Bank | None = None) -> Tensor:
        """Classes (N, h, w) of images (N, C, h, w), under a bank or the statistics that the network holds."""
        with bank.applied(self.network) if bank else nullcontext():
            return self.forward(images).argmax(1).cpu()

    def adapted(self, tiles: Tensor, policy: Policy = FULL_REPLACEMENT) -> Estimate:
        """Statistics of tiles (n, C, h, w) under a policy; the network is left unchanged."""
        return self.runner.estimate(self._batches(tiles), Recipe(policy, self.evaluation.propagation))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restore weights and statistics afterwards."""
        saved = {name: each.clone() for name, each in self.network.state_dict().items()}
        try:
            yield
        finally:
            self.network.load_state_dict(saved)

    @cached_property
    def class_moments(self) -> ClassMoments:
        """Class moments of the source."""
        return self.runner.class_moments(self.source.tiles.training, classes=2)

    def corrected(self, tiles: Tensor, proportions: ClassProportions) -> AdaptedStatistics:
        """Statistics of tiles (n, C, h, w), corrected for class proportions, estimated ones or given ones."""
        recipe = Recipe(Policy(), propagation=self.evaluation.propagation, class_proportions=proportions)
        scanned = [{"image": tiles[:SCANNED_TILES]}]
        return self.runner.adapt(self._batches(tiles), recipe, scanned, self.class_moments)

    def distances(self, tiles: Tensor, bank: Bank | None = None) -> Distances:
        """Distances of the source from tiles (n, C, h, w) under a bank, the source's by default."""
        sketched = self.runner.sketch(self._batches(tiles), bank)
        return {
            layer: {
                name: float(value)
                for name, value in distances_between(self.source_distributions[layer], sketch.distribution()).items()
            }
            for layer, sketch in sketched.sketches.items()
        }

    @cached_property
    def source_summary(self) -> SourceSummary:
        """The summary of the source for judging the network on other domains."""
        return summarise_source(self.runner, *self.source.tiles.held_out, self.class_moments)

    @cached_property
    def source(self) -> "DomainEvaluation":
        """The network on its source."""
        return self.on(self.spec)

    @cached_property
    def source_sketch(self) -> DomainSketch:
        """Latents of the source, with the source's statistics."""
        return self.runner.sketch(self._batches(self.source.latent_tiles))

    @cached_property
    def source_distributions(self) -> dict[str, Distribution]:
        """Distributions of the latents of the source."""
        return {layer: sketch.distribution() for layer, sketch in self.source_sketch.sketches.items()}

    @cached_property
    def noise_floor(self) -> Distances:
        """Distances of one half of the source's tiles from the other, by layer and measure."""
        return {
            layer: {name: distance.value for name, distance in noise_floor(sketch).items()}
            for layer, sketch in self.source_sketch.sketches.items()
        }

    def _batches(self, tiles: Tensor) -> list[dict[str, Tensor]]:
        return [{"image": part} for part in tiles.split(self.evaluation.batch_size)]


class DomainEvaluation:
    """A network on a domain, with the source's statistics: measurements shared by all methods of adaptation.

    Args:
        network: evaluated network.
        tiles: tiles of the domain.
    """

    def __init__(self, network: NetworkEvaluation, tiles: DomainTiles) -> None:
        self.network = network
        self.tiles = tiles

    @property
    def latent_tiles(self) -> Tensor:
        """The tiles for latents."""
        return self.tiles.unlabelled(self.network.evaluation.latent_tiles)

    def adaptation_tiles(self, draw: int = 0) -> Tensor:
        """The tiles (n, C, h, w) for adaptation; `draw` is the seed of which."""
        return self.tiles.unlabelled(self.network.evaluation.tiles, draw)

    def quick_scores(self, count: int = QUICK_TILES) -> Scores:
        """Scores of the network as it is, on so many tiles of the test block."""
        return scored(self.network.forward, evenly_spread(self.tiles.labelled, count))

    @cached_property
    def scores(self) -> Scores:
        """Scores on the test block."""
        return self.network.scores(self.tiles)

    @cached_property
    def distances(self) -> Distances:
        """Distances of the source from the domain."""
        return self.network.distances(self.latent_tiles)


def scored(forward: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Scores:
    """Scores of a network's output for batches of images and masks."""
    metrics = segmentation_metrics(2)
    counts = torch.zeros(3, dtype=torch.int64)
    for images, masks in batches:
        predicted = forward(images).argmax(1).cpu()
        metrics.update(predicted, masks)
        known = masks != IGNORED
        counts += torch.stack([known.sum(), (predicted[known] == 1).sum(), (masks[known] == 1).sum()])
    total, foreground, true = counts.tolist()
    return Scores(float(metrics.compute()["iou"][1]), foreground / total, true / total)


def evenly_spread(batches: Batches, count: int) -> Batches:
    """At most `count` of the tiles, evenly spread, in batches of 8."""
    images, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    chosen = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
    return [(images[part], masks[part]) for part in chosen.split(8)]


def _bank_of(network: nn.Module) -> Bank:
    """The statistics of a network; an empty bank if it has none."""
    try:
        return Bank.of(network)
    except NoBatchNormError:
        return Bank({}, {}, {})


def policy_of(spec: Mapping[str, Any]) -> Policy:
    """The policy of plain values; a `source_weight` of `{samples: 16}` is a SourcePrior."""
    weight = spec.get("source_weight", 0.0)
    rule = SourcePrior(**weight) if isinstance(weight, Mapping) else weight
    return Policy(**{**spec, "source_weight": rule})


@lru_cache(CACHED_NETWORKS)
def cached_network(
    network: SourceNetwork, folder: Path, evaluation: Evaluation, device: torch.device
) -> NetworkEvaluation:
    """A trained network that this process keeps loaded, with its measurements.

    Args:
        network: config of the network.
        folder: folder of trained networks; a missing one is trained first.
        evaluation: settings of adaptation and scoring.
        device: device to run it on.
    """
    with quiet():
        checkpoint = torch.load(trained(network, folder, device), map_location="cpu", weights_only=True)
        task = build_task(network.training)  # by its config; the file names nothing that is run
        task.load_state_dict(checkpoint["state_dict"])
        restored = checkpoint[DomainPair.__qualname__]
        return NetworkEvaluation(
            task.network.to(device).eval(), network.source, evaluation, tiles_of(network, evaluation, restored)
        )


def tiles_of(
    network: SourceNetwork, evaluation: Evaluation, restored: Mapping[str, Any] | None = None
) -> Callable[[Spec], DomainTiles]:
    """A function that returns the tiles of a domain as inputs of a network.

    Args:
        network: config of the network.
        evaluation: settings with the sizes of tiles and batches.
        restored: state of the data module that the network was trained with.
    """

    def pair(domain: Spec, tile_size: int) -> DomainPair:
        options = {"tile_size": tile_size, "batch_size": evaluation.batch_size}
        data = domain_pair(network.training, target=domain, **options)
        if restored is not None:
            data.load_state_dict(dict(restored))
        return data

    def tiles(domain: Spec) -> DomainTiles:
        size = evaluation.tile_size
        return DomainTiles(pair(domain, size), pair(domain, evaluation.adaptation_tile_size or size))

    return tiles
