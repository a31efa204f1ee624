"""What a network does on a domain, without and with adaptation: scores, statistics and latents, outside of loops."""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bnadapt.batchnorm import Bank, Estimate, Policy, SourcePrior, estimate
from bnadapt.batchnorm.propagation import PropagationName
from bnadapt.data import DomainPair
from bnadapt.data.masks import IGNORED
from bnadapt.distances import Distribution, Sketch, distances_between, latent_spaces, noise_floor, sketch_latents
from bnadapt.studies.networks import SourceNetwork, pair_of, quiet, trained
from bnadapt.studies.specs import Keyed, Spec, canonical
from bnadapt.tasks import SegmentationTask
from bnadapt.tasks.scores import segmentation_scores

DOMAINS_AT_HAND = 3
Distances = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Evaluation(Keyed):
    """How a network is adapted and scored.

    Args:
        tile_size: side of the tiles that are scored, in pixels.
        adaptation_tile_size: side of those that adaptation reads; the same by default.
        batch_size: tiles in a batch.
        tiles: of the target that adaptation reads, drawn at random; none means all.
        propagation: see `bnadapt.batchnorm.estimate`.
        latent_tiles: of either domain that latents are taken from; 0 leaves the distances out.
        precision: of forward passes.
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
    """Of the foreground, over all pixels of a set.

    Attributes:
        iou: intersection over union.
        predicted: share of the pixels that are predicted as foreground.
        true: share of the pixels that are.
    """

    iou: float
    predicted: float
    true: float


class Images:
    """Tiles of a domain, as a network sees them; each kind is read once.

    Args:
        scored: data module with the domain as its target, in tiles to score.
        read: the same in tiles for adaptation and latents.
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

    def _unlabelled(self, count: int | None, seed: int = 0) -> Tensor:
        """`count` tiles (n, C, h, w), drawn at random from what adaptation may read."""
        return torch.stack([item["image"] for item in self.read.unlabelled_tiles("target", count, seed=seed)])


def scored(forward: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]) -> Scores:
    """Scores of what a network gives for batches of images and masks."""
    measures = segmentation_scores(2)
    counts = torch.zeros(3, dtype=torch.int64)
    for images, masks in batches:
        predicted = forward(images).argmax(1).cpu()
        measures.update(predicted, masks)
        known = masks != IGNORED
        counts += torch.stack([known.sum(), (predicted[known] == 1).sum(), (masks[known] == 1).sum()])
    total, foreground, true = counts.tolist()
    return Scores(float(measures.compute()["iou"][1]), foreground / total, true / total)


class Evaluated:
    """A trained network at hand: on its device, with its own statistics, and what was already measured of it.

    Args:
        network: which.
        folder: of trained networks.
        evaluation: how to adapt and score it.
        device: to run it on.
    """

    def __init__(self, network: SourceNetwork, folder: Path, evaluation: Evaluation, device: torch.device) -> None:
        path = trained(network, folder, device)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        self.remembered = checkpoint[DomainPair.__qualname__]
        self.spec = network
        self.evaluation = evaluation
        self.device = device
        task = SegmentationTask(**checkpoint["hyper_parameters"])
        task.load_state_dict(checkpoint["state_dict"])
        self.network: nn.Module = task.network.to(device).eval()
        self.bank = Bank.of(self.network)
        self._on = lru_cache(DOMAINS_AT_HAND)(self._make_on)

    def on(self, domain: Spec) -> "DomainEvaluation":
        """The network on a domain; the last few are kept."""
        return self._on(canonical(domain))

    def _make_on(self, domain: str) -> "DomainEvaluation":
        size = self.evaluation.tile_size
        pairs = [self._pair(json.loads(domain), each) for each in (size, self.evaluation.adaptation_tile_size or size)]
        return DomainEvaluation(self, Images(*pairs))

    def _pair(self, domain: Spec, tile_size: int) -> DomainPair:
        pair = pair_of(self.spec.training, target=domain, tile_size=tile_size, batch_size=self.evaluation.batch_size)
        pair.load_state_dict(dict(self.remembered))
        return pair

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Logits of a batch (N, C, h, w)."""
        with self._precision():
            return self.network(images.to(self.device).contiguous(memory_format=torch.channels_last)).float()

    def scores(self, images: Images) -> Scores:
        """On the test block, with the statistics that the network now holds."""
        return scored(self.forward, images.labelled)

    def adapted(self, tiles: Tensor, policy: Mapping[str, Any]) -> Estimate:
        """Statistics of tiles (n, C, h, w) under a policy; the network keeps its own."""
        return estimate(
            self.network,
            tiles,
            batch_size=self.evaluation.batch_size,
            propagation=self.evaluation.propagation,
            policy=policy_of(policy),
            forward=self.forward,
        )

    def sketches(self, tiles: Tensor) -> dict[str, Sketch]:
        """Latents of tiles (n, C, h, w) in every latent space, with the statistics that the network now holds."""
        return sketch_latents(self.forward, latent_spaces(self.network), tiles.split(self.evaluation.batch_size))

    @cached_property
    def source(self) -> "DomainEvaluation":
        """The network on its own source."""
        return self.on(self.spec.source)

    @cached_property
    def source_sketches(self) -> dict[str, Sketch]:
        """Latents of its own source, with its own statistics, whatever it holds when they are asked for."""
        tiles = self.source.images.unlabelled(self.evaluation.latent_tiles)
        with self.bank.applied(self.network):
            return self.sketches(tiles)

    @cached_property
    def source_distributions(self) -> dict[str, Distribution]:
        """Of the latents of its own source."""
        return {layer: sketch.distribution() for layer, sketch in self.source_sketches.items()}

    @cached_property
    def noise_floor(self) -> Distances:
        """Distances of one half of the source's tiles from the other, by layer and measure."""
        return {
            layer: {name: distance.value for name, distance in noise_floor(sketch).items()}
            for layer, sketch in self.source_sketches.items()
        }

    def distances(self, tiles: Tensor) -> Distances:
        """Distances of the source from tiles (n, C, h, w), with the statistics that the network now holds."""
        return {
            layer: {
                name: float(value)
                for name, value in distances_between(self.source_distributions[layer], sketch.distribution()).items()
            }
            for layer, sketch in self.sketches(tiles).items()
        }

    def _precision(self) -> AbstractContextManager:
        if self.evaluation.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


class DomainEvaluation:
    """A network on a domain, with its own statistics: what is measured once, whatever is tried there.

    Args:
        evaluated: the network.
        images: the domain's.
    """

    def __init__(self, evaluated: Evaluated, images: Images) -> None:
        self.evaluated = evaluated
        self.images = images

    @property
    def latent_tiles(self) -> Tensor:
        """Those that latents are taken from."""
        return self.images.unlabelled(self.evaluated.evaluation.latent_tiles)

    @cached_property
    def scores(self) -> Scores:
        """On the test block."""
        with self.evaluated.bank.applied(self.evaluated.network):
            return self.evaluated.scores(self.images)

    @cached_property
    def distances(self) -> Distances:
        """Of the source from the domain."""
        with self.evaluated.bank.applied(self.evaluated.network):
            return self.evaluated.distances(self.latent_tiles)


def policy_of(spec: Mapping[str, Any]) -> Policy:
    """The policy of plain values; a `source_weight` of `{samples: 16}` is a SourcePrior."""
    weight = spec.get("source_weight", 0.0)
    rule = SourcePrior(**weight) if isinstance(weight, Mapping) else weight
    return Policy(**{**spec, "source_weight": rule})


@lru_cache(maxsize=2)
def at_hand(network: SourceNetwork, folder: Path, evaluation: Evaluation, device: torch.device) -> Evaluated:
    """A network that this process keeps loaded, with what was measured of it."""
    with quiet():
        return Evaluated(network, folder, evaluation, device)
