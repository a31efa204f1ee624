"""Settings of adaptation and scoring in experiments."""

from dataclasses import dataclass
from typing import Literal

from bnadapt.batchnorm import PropagationName
from bnadapt.experiments.specs import Keyed


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
