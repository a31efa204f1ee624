"""Scores, statistics and latents of a network on a domain, without and with adaptation."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property, lru_cache

import torch
from torch import Tensor, nn

from bnadapt.adaptation import SCANNED_TILES, AdaptedStatistics, ClassProportions, DomainSketch, NetworkRunner, Recipe
from bnadapt.batchnorm import Bank, ClassMoments, Estimate, NoBatchNormError, Policy
from bnadapt.distances import Distribution, distances_between, noise_floor
from bnadapt.experiments.domain_tiles import DomainTiles
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.scoring import Scores, evenly_spread, scored
from bnadapt.experiments.specs import Spec, canonical
from bnadapt.gain import SourceSummary, summarise_source
from bnadapt.gain.candidates import FULL_REPLACEMENT
from bnadapt.networks import memory_format, with_background

CACHED_DOMAINS = 3
QUICK_TILES = 48
Distances = dict[str, dict[str, float]]


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
        """The tiles (n, C, h, w) for adaptation; `draw` is the seed of the draw."""
        return self.tiles.unlabelled(self.network.evaluation.tiles, draw)

    def quick_scores(self, count: int = QUICK_TILES) -> Scores:
        """Scores of the unchanged network, on `count` tiles of the test block."""
        return scored(self.network.forward, evenly_spread(self.tiles.labelled, count))

    @cached_property
    def scores(self) -> Scores:
        """Scores on the test block."""
        return self.network.scores(self.tiles)

    @cached_property
    def distances(self) -> Distances:
        """Distances of the source from the domain."""
        return self.network.distances(self.latent_tiles)


def _bank_of(network: nn.Module) -> Bank:
    """The statistics of a network; an empty bank if it has none."""
    try:
        return Bank.of(network)
    except NoBatchNormError:
        return Bank({}, {}, {})
