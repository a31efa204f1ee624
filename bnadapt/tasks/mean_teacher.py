"""Mean teacher: the average of past weights provides labels for the target."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bnadapt.tasks.two_domains import TwoDomainTask


class MeanTeacherTask(TwoDomainTask):
    """Trains a student on masks of the source and on classes of the target by a teacher, the average of its weights.

        loss = loss(student(source)) + w CE(student(strong(target)), teacher(weak(target)))

    where the cross-entropy is over pixels at which the teacher's greatest class probability is above `confidence`.
    After every step the teacher's weights are decay * teacher + (1 - decay) * student, with a smaller decay in the
    first steps, min(decay, (step + 1) / (step + 10)); running statistics are the student's. The teacher is the task's
    network, which is scored, stored and adapted.

    Weak augmentation is that of the crops, rotations and flips. The strong one changes brightness and contrast of
    every image, blurs half of them and adds noise, each by up to half a standard deviation of the image.

    Differences from the original (consistency of classes of whole images): pixels, and hard labels above a threshold,
    as in FixMatch (Sohn et al., NeurIPS 2020) and in the domain adaptation of SynapseNet (Muth et al., 2024).

    Args:
        decay: decay of the average.
        unlabelled_weight: weight w.
        confidence: least confidence of the teacher, 0 to 1.
        **options: options of `SegmentationTask`.

    Reference:
        Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017.
    """

    def __init__(
        self, *, decay: float = 0.99, unlabelled_weight: float = 1.0, confidence: float = 0.9, **options: Any
    ) -> None:
        super().__init__(**options)
        self.decay = decay
        self.unlabelled_weight = unlabelled_weight
        self.confidence = confidence
        self.student = copy.deepcopy(self.network)
        self.network.requires_grad_(False)

    def trained_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters of the student."""
        return self.student.parameters()

    def training_step(self, batch: dict[str, dict[str, Tensor]], batch_idx: int) -> Tensor:
        source, target = self.domains(batch)
        supervised = self.loss(self._of_student(self.images(source)), source["mask"])
        images = self.images(target)
        labels, confident = self._labels(images)
        logits = self._of_student(strongly_augmented(images)).float()
        unlabelled = functional.cross_entropy(logits, labels, reduction="none")
        consistency = (unlabelled * confident).mean()
        self.log("train/source/loss", supervised, prog_bar=True)
        self.log_dict({"train/target/consistency": consistency, "train/target/confident": confident.float().mean()})
        self.log("train/learning_rate", self.optimizers().param_groups[0]["lr"])
        return supervised + self.unlabelled_weight * consistency

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the teacher by the student's weights."""
        step = self.trainer.global_step
        decay = min(self.decay, (step + 1) / (step + 10))
        for averaged, learned in zip(self.network.parameters(), self.student.parameters(), strict=True):
            averaged.lerp_(learned, 1 - decay)
        for averaged, learned in zip(self.network.buffers(), self.student.buffers(), strict=True):
            averaged.copy_(learned)

    @torch.no_grad()
    def _labels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's classes (N, H, W), and a mask of confident pixels."""
        self.network.eval()
        confidence, labels = self(images).float().softmax(1).max(1)
        return labels, confidence > self.confidence

    def _of_student(self, images: Tensor) -> Tensor:
        return self.student(images.contiguous(memory_format=self.memory_format))


def strongly_augmented(images: Tensor) -> Tensor:
    """Images (N, C, H, W) with random brightness, contrast, blur and noise, drawn for each from torch's generator."""
    shape = (len(images), 1, 1, 1)
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), keepdim=True)

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(shape, device=images.device, dtype=images.dtype).uniform_(low, high)

    augmented = mean + uniform(-0.5, 0.5) * deviation + uniform(0.5, 1.5) * (images - mean)
    blurred = functional.avg_pool2d(functional.pad(augmented, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    augmented = torch.where(uniform(0.0, 1.0) < 0.5, blurred, augmented)
    return augmented + uniform(0.0, 0.5) * deviation * torch.randn_like(images)
