"""CellSegUDA: class maps of the target are trained to resemble the source's, and to reconstruct the target."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnadapt.errors import InputError
from bnadapt.networks import MapDiscriminator, UNet
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.two_domains import TwoDomainTask

SOURCE, TARGET = 0.0, 1.0  # labels of the discriminator


class CellSegUDATask(TwoDomainTask):
    """Trains a segmentation network S against a discriminator D of its class maps, and with a reconstruction network R.

    In every step D learns to distinguish maps of the source (0) from maps of the target (1),

        BCE(D(S(source)), 0) + BCE(D(S(target)), 1),

    and then S and R learn

        loss(S(source)) + a BCE(D(S(target)), 0) + r MSE(R(S(target)), target).

    Differences from the original: S is the network of all tasks, with a bottleneck twice as wide as its last level; for
    two classes its map is the softmax of the foreground, equal to the original's sigmoid of one logit, for more classes
    there is one map each; R is as wide as S. S is trained by `optimizer` and `lr_scheduler`, Adam at
    1e-4 without a schedule in the original (configs/cellseguda-*.yaml).

    Args:
        adversarial_weight: weight a.
        reconstruction_weight: weight r.
        helper_learning_rate: learning rate of Adam for R and D.
        **options: options of `SegmentationTask`; the loss is Dice by default; R and D have the `base_channels` of S.

    Raises:
        InputError: at the start of `fit`, in several processes or in float16.

    Reference:
        Haq and Huang, "Adversarial domain adaptation for cell segmentation", MIDL 2020.
    """

    def __init__(
        self,
        *,
        adversarial_weight: float = 0.001,
        reconstruction_weight: float = 0.01,
        helper_learning_rate: float = 1e-3,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.automatic_optimization = False
        self.adversarial_weight = adversarial_weight
        self.reconstruction_weight = reconstruction_weight
        self.helper_learning_rate = helper_learning_rate
        classes = self.hparams.num_classes
        maps = 1 if classes == 2 else classes
        width = (self.hparams.network_args or {}).get("base_channels", 64)
        self.reconstruction = UNet(maps, self.hparams.in_channels, width).to(memory_format=torch.channels_last)
        self.discriminator = MapDiscriminator(maps, width)

    def default_loss(self) -> nn.Module:
        """The default loss, Dice."""
        return DiceCrossEntropy(cross_entropy_weight=0.0)

    def on_fit_start(self) -> None:
        """Refuse several processes and scaled gradients, which three optimizers in one step do not support."""
        super().on_fit_start()
        if self.trainer.world_size > 1 or self.trainer.precision == "16-mixed":
            raise InputError(
                "CellSegUDATask trains in one process, in float32 or bfloat16; set --trainer.devices 1, and"
                " --trainer.precision 32-true or bf16-mixed."
            )

    def configure_optimizers(self) -> list[dict[str, Any]]:
        """The optimizers of S, R and D."""
        helpers = [
            {"optimizer": torch.optim.Adam(each.parameters(), lr=self.helper_learning_rate)}
            for each in (self.reconstruction, self.discriminator)
        ]
        return [super().configure_optimizers(), *helpers]

    def training_step(self, batch: dict[str, dict[str, Tensor]], batch_idx: int) -> None:
        source, target = self.domains(batch)
        segmentation, *helpers = self.optimizers()
        # unwrapped, so that a step of all three counts as one to the Trainer
        reconstruction, discriminator = (each.optimizer for each in helpers)
        logits = self.logits(source)
        maps = {"source": self._maps(logits), "target": self._maps(self.logits(target))}
        discriminator_loss = self._judged(maps["source"].detach(), SOURCE) + self._judged(
            maps["target"].detach(), TARGET
        )
        self.manual_backward(discriminator_loss)
        discriminator.step()
        losses = {
            "source/loss": self.loss(logits, source["mask"]),
            "target/adversarial": self._judged(maps["target"], SOURCE),
            "target/reconstruction": functional.mse_loss(self.reconstruction(maps["target"]), target["image"]),
        }
        weights = (1.0, self.adversarial_weight, self.reconstruction_weight)
        self.manual_backward(sum(weight * loss for weight, loss in zip(weights, losses.values(), strict=True)))
        reconstruction.step()
        segmentation.step()
        self.lr_schedulers().step()
        for optimizer in (segmentation, reconstruction, discriminator):
            optimizer.zero_grad()
        self.log_dict({f"train/{name}": loss for name, loss in {**losses, "discriminator": discriminator_loss}.items()})
        self.log("train/learning_rate", segmentation.param_groups[0]["lr"])

    def _maps(self, logits: Tensor) -> Tensor:
        """Maps of class probabilities: the foreground's (N, 1, H, W) for two classes, else all (N, K, H, W)."""
        probabilities = logits.float().softmax(1)
        return probabilities[:, 1:] if logits.shape[1] == 2 else probabilities

    def _judged(self, maps: Tensor, domain: float) -> Tensor:
        """Binary cross-entropy of D's output for maps."""
        logits = self.discriminator(maps).float()
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain))
