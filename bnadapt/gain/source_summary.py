"""Summary of a source that replaces its images: statistics of its predictions, their quality, and its latents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bnadapt.adaptation import NetworkRunner
from bnadapt.batchnorm import ClassMoments
from bnadapt.errors import InputError
from bnadapt.gain.latent_summaries import LatentSummary, Summaries
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.predictions import STATISTICS, overlap, uncertainty

SUMMARY_TILES = 16  # of the source's validation block
SHARP = 0.2  # share of the source's mean margin of logits below which a pixel counts as uncertain
IGNORED = 255
TAIL = 1e-3  # share of extreme intensities at either end
COLDEST, HOTTEST = 0.05, 20.0  # temperatures to search
HALVINGS = 40


class Intensities(NamedTuple):
    """Intensities of scaled images.

    Attributes:
        mean: mean over all pixels.
        std: their standard deviation.
        skewness: third standardised moment; 0 if all are equal.
        low: 0.1 % quantile.
        high: 99.9 % quantile.
    """

    mean: float
    std: float
    skewness: float
    low: float
    high: float

    @classmethod
    def of(cls, images: Tensor) -> "Intensities":
        """Intensities of images (n, C, h, w)."""
        values = images.double().flatten()
        few = values[:: max(1, len(values) // 10**6)]
        low, high = torch.quantile(few, torch.tensor([TAIL, 1 - TAIL], dtype=few.dtype)).tolist()
        mean, std = float(values.mean()), float(values.std())
        skewness = float(((values - mean) / std).pow(3).mean()) if std else 0.0
        return cls(mean, std, skewness, low, high)


@dataclass(frozen=True, eq=False, repr=False)
class SourceSummary:
    """A network on labelled tiles of its source, best ones not trained on, with the source's statistics.

    Attributes:
        moments: class moments of the source.
        iou: foreground IoU.
        accuracy: share of the pixels that are right.
        threshold: confidence exceeded by that share of the pixels (ATC, Garg et al. 2022).
        temperatures: (K,), for the pixels predicted as every class, see `bnadapt.gain.predictions.soft_iou`.
        uncertainty: see `bnadapt.gain.predictions.uncertainty`.
        statistics: of the predictions, by name, see `bnadapt.gain.predictions.STATISTICS`.
        intensities: of the images.
        latents: by layer.
    """

    moments: ClassMoments
    iou: float
    accuracy: float
    threshold: float
    temperatures: Tensor
    uncertainty: float
    statistics: Mapping[str, float]
    intensities: Intensities
    latents: Summaries

    def __repr__(self) -> str:
        """Scores on the source, and its class moments."""
        return f"SourceSummary: foreground IoU {self.iou:.3f}, accuracy {self.accuracy:.3f}, {self.moments}"

    def state_dict(self) -> dict[str, Any]:
        """All but the class moments, which a checkpoint stores separately, in plain types and tensors."""
        plain = ("iou", "accuracy", "threshold", "temperatures", "uncertainty")
        state = {name: getattr(self, name) for name in plain}
        state |= {"statistics": dict(self.statistics), "intensities": self.intensities._asdict()}
        return state | {"latents": {layer: each.state_dict() for layer, each in self.latents.items()}}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], moments: ClassMoments | None) -> "SourceSummary":
        """Restore a summary from `state_dict` and class moments.

        Raises:
            KeyError: another version wrote it, with other statistics.
            TypeError: the same, or there are no class moments.
        """
        if moments is None:
            raise TypeError("there are no class moments")
        if state["statistics"].keys() != STATISTICS.keys():
            raise KeyError("statistics")
        latents = {layer: LatentSummary.from_state_dict(each) for layer, each in state["latents"].items()}
        return cls(moments, **{**state, "latents": latents, "intensities": Intensities(**state["intensities"])})


def summarise_source(runner: NetworkRunner, images: Tensor, masks: Tensor, moments: ClassMoments) -> SourceSummary:
    """Summarise a source.

    Args:
        runner: network with the source's statistics.
        images: (n, C, h, w) of the source, best ones not trained on.
        masks: (n, h, w) classes, 255 where unlabelled.
        moments: class moments of the source.

    Raises:
        InputError: the masks have no labelled pixel, or the network does not return logits.
    """
    outputs, masks = observe(runner, images), masks.cpu()
    known = masks != IGNORED
    if not known.any():
        raise InputError("The source's masks have no labelled pixel; give some.")
    right = (outputs.classes == masks)[known].double().mean().item()
    confident = outputs.probabilities.amax(1)[known]
    return SourceSummary(
        moments,
        overlap(outputs.classes[known], masks[known]),
        right,
        float(torch.quantile(confident[:: max(1, len(confident) // 10**6)].double(), 1 - right)),
        class_temperatures(outputs.logits, masks),
        uncertainty(outputs, SHARP * moments.margin),
        {name: statistic(outputs) for name, statistic in STATISTICS.items()},
        Intensities.of(images),
        outputs.latents,
    )


def images_and_masks(batches: Iterable[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images (n, C, h, w) and masks (n, h, w) of all batches."""
    listed = list(batches)
    return torch.cat([each["image"] for each in listed]), torch.cat([each["mask"] for each in listed])


def uncertainty_of(outputs: Observation, source: SourceSummary) -> float:
    """Uncertainty per boundary of an observation, by the source's margin."""
    return uncertainty(outputs, SHARP * source.moments.margin)


def class_temperatures(logits: Tensor, masks: Tensor) -> Tensor:
    """(K,) temperatures at which the foreground's mean probability is right, for the pixels predicted as each class.

    Li et al., MICCAI 2022. By bisection, since the mean probability falls with the temperature; 1 if a class is not
    predicted. If no temperature between the coldest and the hottest is right, one of these two.

    Args:
        logits: (n, K, h, w).
        masks: (n, h, w).
    """
    known = masks != IGNORED
    values, truth = logits.movedim(1, -1)[known].double(), masks[known] > 0
    predicted = values.argmax(1)
    return torch.tensor([_temperature(values[predicted == k], truth[predicted == k]) for k in range(logits.shape[1])])


def _temperature(values: Tensor, truth: Tensor) -> float:
    if not len(values):
        return 1.0
    step = max(1, len(values) // 10**5)
    values, wanted = values[::step], truth.double().mean()
    rises = values[0].argmax() == 0  # the foreground's probability, as it gets hotter
    low, high = COLDEST, HOTTEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        foreground = 1 - (values / middle).softmax(1)[:, 0].mean()
        if (foreground < wanted) == rises:
            low = middle
        else:
            high = middle
    return (low * high) ** 0.5
