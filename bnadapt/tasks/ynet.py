"""Y-Net: a second decoder, which reconstructs images, keeps the encoder valid for both domains."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnadapt.networks import ReconstructionDecoder
from bnadapt.networks.padding import crop_to, pad_to_multiple
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.two_domains import TwoDomainTask


class YNetTask(TwoDomainTask):
    """Trains a U-Net on the source while a second decoder reconstructs images of source and target from its bottleneck.

        loss = loss(source) + w (MSE(source) + MSE(target))

    Source and target pass separately, so that BatchNorm layers normalise each by itself and keep running statistics of
    both. The second decoder has no skip connections and is dropped after training.

    Differences from the original: images are padded to multiples of 16 pixels; optimizer and schedule are those of
    `SegmentationTask` unless given (configs/ynet-*.yaml give the original's).

    Args:
        reconstruction_weight: w; 0 trains the U-Net alone, on the source alone.
        dropout: probability of dropout behind every level of the encoder and the bottleneck, in training.
        **options: of `SegmentationTask`; the network must be a `unet`, the loss is Dice by default.

    Raises:
        InputError: the network is not a U-Net.

    Reference:
        Roels, Hennies, Saeys, Philips, Kreshuk, "Domain adaptive segmentation in volume electron microscopy imaging",
        ISBI 2019.
    """

    def __init__(self, *, reconstruction_weight: float = 0.1, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        unet = self.checked_unet()
        self.reconstruction_weight = reconstruction_weight
        self.dropout = dropout
        self.reconstruction = ReconstructionDecoder(self.hparams.in_channels, unet.head.in_channels)
        for level in (*unet.encoder, unet.bottleneck) if dropout else ():
            level.register_forward_hook(self._dropped)

    def default_loss(self) -> nn.Module:
        """The default loss, Dice."""
        return DiceCrossEntropy(cross_entropy_weight=0.0)

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters of both decoders and the encoder."""
        return chain(self.network.parameters(), self.reconstruction.parameters())

    def training_step(self, batch: dict[str, dict[str, Tensor]], batch_idx: int) -> Tensor:
        if not self.reconstruction_weight:
            return super().training_step(batch.get("source", batch), batch_idx)
        source, target = self.domains(batch)
        logits, reconstructed = self._both(self.images(source))
        loss = self.loss(logits, source["mask"])
        self.log("train/source/loss", loss, prog_bar=True)
        self.log("train/learning_rate", self.optimizers().param_groups[0]["lr"])
        errors = {
            "source": functional.mse_loss(reconstructed, source["image"]),
            "target": functional.mse_loss(self._both(self.images(target))[1], target["image"]),
        }
        self.log_dict({f"train/{domain}/reconstruction": error for domain, error in errors.items()})
        return loss + self.reconstruction_weight * sum(errors.values())

    def _both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K, H, W) and reconstruction (N, C, H, W) of images."""
        unet, size = self.network, images.shape[-2:]
        latents, skips = unet.encoded(pad_to_multiple(images.contiguous(memory_format=torch.channels_last), 16))
        logits = unet.decoded(latents, skips)
        return crop_to(logits, size), crop_to(self.reconstruction(latents), size)

    def _dropped(self, level: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return functional.dropout(output, self.dropout, level.training)
