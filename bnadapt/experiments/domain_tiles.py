"""Tiles of a domain as inputs of a network: to score, to adapt to, and labelled ones."""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from bnadapt.adaptation import LABELLED_TILES
from bnadapt.data import DomainPair
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, domain_pair
from bnadapt.experiments.specs import Spec
from bnadapt.gain.source_summary import SUMMARY_TILES, images_and_masks


class DomainTiles:
    """Tiles of a domain as inputs of a network; each kind is read once.

    Args:
        scored: data module with the domain as its target, in tiles to score.
        adaptation_data: data module with tiles for adaptation and latents.
    """

    def __init__(self, scored: DomainPair, adaptation_data: DomainPair) -> None:
        self.scored = scored
        self.adaptation_data = adaptation_data
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
        block = self.adaptation_data.summary_block("target")
        return images_and_masks(self.adaptation_data.labelled_tiles("target", block, SUMMARY_TILES))

    def _unlabelled(self, count: int | None, seed: int = 0) -> Tensor:
        """`count` tiles (n, C, h, w), drawn at random from the sections that adaptation may read."""
        return torch.stack(
            [item["image"] for item in self.adaptation_data.unlabelled_tiles("target", count, seed=seed)]
        )


def domain_tiles_for(
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
