"""Training on source and target at once."""

from collections.abc import Mapping

from torch import Tensor

from bnadapt.errors import InputError
from bnadapt.networks import UNet
from bnadapt.tasks.segmentation import SegmentationTask


class TwoDomainTask(SegmentationTask):
    """The base of methods that train on masks of the source and on images of the target.

    A batch is `source` (with `image` and `mask`) and `target` (with `image` alone), as `--data.target_crops` gives
    them. Further trained modules stay in the checkpoint and are not used by `adapt`, `test` or `predict`.
    """

    def domains(self, batch: Mapping[str, Mapping[str, Tensor]]) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Source and target of a batch; refuses a batch without a target."""
        if "target" not in batch:
            raise InputError(
                f"{type(self).__name__} trains on images of the target, too; give --data.target and"
                " --data.target_crops true."
            )
        return batch["source"], batch["target"]

    def checked_unet(self) -> UNet:
        """The network, for methods that use its encoder and decoder; refuses others than `unet`."""
        if not isinstance(self.network, UNet):
            raise InputError(
                f"{type(self).__name__} needs encoder and decoder of the network `unet`, and"
                f" {self.hparams.network} is another; leave out --model.network."
            )
        return self.network
