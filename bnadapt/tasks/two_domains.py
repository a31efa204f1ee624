"""Training on source and target at once."""

from collections.abc import Mapping

from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.networks import UNet
from bnadapt.tasks.segmentation import SegmentationTask


class TwoDomainTask(SegmentationTask):
    """The base of methods that learn from masks of the source and from images of the target.

    A batch is `source` (with `image` and `mask`) and `target` (with `image` alone), as `--data.target_crops` gives
    them. What is trained besides the network stays in the checkpoint and takes no part in `adapt`, `test` or `predict`.
    """

    def domains(self, batch: Mapping[str, Mapping[str, Tensor]]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Source and target of a batch.

        Raises:
            InputError: there is no target in it.
        """
        if "target" not in batch:
            raise InputError(
                f"{type(self).__name__} learns from images of the target, too; give --data.target and"
                " --data.target_crops true."
            )
        return batch["source"], batch["target"]

    def checked_unet(self) -> UNet:
        """The network, where a method needs to know its parts.

        Raises:
            InputError: it is no U-Net of ours.
        """
        if not isinstance(self.network, UNet):
            raise InputError(
                f"{type(self).__name__} needs encoder and decoder of the network `unet`, and"
                f" {self.hparams.network} is another; leave out --model.network."
            )
        return self.network
