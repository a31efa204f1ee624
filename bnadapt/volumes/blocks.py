"""Division of sections into blocks for segmentation."""

import logging

from lightning.pytorch import LightningModule

from bnadapt.data import DomainPair
from bnadapt.data.tiles import Blocks
from bnadapt.networks.receptive_field import receptive_field

log = logging.getLogger(__name__)


def blocks_for(model: LightningModule, datamodule: DomainPair) -> Blocks:
    """Blocks with a margin of the network's receptive field, so that the result does not depend on the division.

    If the receptive field is the whole input, the blocks give the tiles used for scoring, and a warning is logged. The
    data module's `block_size` and `margin` take precedence.
    """
    field = receptive_field(model.network, model.hparams.in_channels)
    if field is None and datamodule.margin is None:
        log.warning(
            "The output of %s at a pixel depends on the whole input, as with InstanceNorm or global pooling; so the"
            " result depends on the tiles, of %d pixels (--data.tile_size) that overlap by %d.",
            model.hparams.network,
            datamodule.tile_size,
            datamodule.overlap,
        )
        return datamodule.blocks_of_tiles
    if field is None:
        return Blocks(datamodule.block_size, datamodule.margin)
    return Blocks(datamodule.block_size, field.margin if datamodule.margin is None else datamodule.margin, field.stride)
