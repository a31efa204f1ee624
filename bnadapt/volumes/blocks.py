"""How sections are cut to be segmented."""

import logging

from lightning.pytorch import LightningModule

from bnadapt.data import DomainPair
from bnadapt.data.tiles import Blocks
from bnadapt.networks.receptive_field import receptive_field

log = logging.getLogger(__name__)


def blocks_for(model: LightningModule, datamodule: DomainPair) -> Blocks:
    """Blocks with the network's receptive field around them, so that it does not matter how sections are cut.

    Where the network sees all of what it is given, they are of the tiles that it is scored on, and that is said.

    Args:
        model: the task.
        datamodule: whose `block_size` and `margin` go before.
    """
    field = receptive_field(model.network, model.hparams.in_channels)
    if field is None and datamodule.margin is None:
        log.warning(
            "What %s gives for a pixel depends on all that it sees, as with InstanceNorm or global pooling; so the"
            " result depends on the tiles, of %d pixels (--data.tile_size) that overlap by %d.",
            model.hparams.network,
            datamodule.tile_size,
            datamodule.overlap,
        )
        return datamodule.blocks_of_tiles
    if field is None:
        return Blocks(datamodule.block_size, datamodule.margin)
    return Blocks(datamodule.block_size, field.margin if datamodule.margin is None else datamodule.margin, field.stride)
