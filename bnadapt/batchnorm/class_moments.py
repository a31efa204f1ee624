"""Moments of every BatchNorm layer's input by class, and the correction for class proportions.

Re-estimated statistics describe the target's mixture of classes. Where its proportions differ from the source's, they
include that difference and shift the decision threshold.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnadapt.batchnorm.layers import BatchNormError
from bnadapt.batchnorm.moments import mixed
from bnadapt.batchnorm.stored_statistics import DAMAGE, damage, means_and_variances


@dataclass(frozen=True, eq=False, repr=False)
class ClassMoments:
    """Mean and variance of every channel of every BatchNorm layer's input, by class.

    Attributes:
        mean: (K, C) float64 by layer name.
        variance: (K, C) float64 by layer name.
        weight: (K,) float64 by layer name, number of positions behind them.
        pixels: (K,) float64, labelled pixels of every class.
        margin: mean difference of the two largest logits over these pixels, the scale of the logits; NaN if unknown.
        boundaries: share of the pairs of neighbouring pixels with different predicted classes; NaN if unknown.
        outputs: (K, B) float64, labelled pixels by class and `bnadapt.batchnorm.outputs.output_bins`; None if the
            network gives no logits, or too many classes.

    Examples:
        >>> ones, one = torch.ones(2, 3), torch.ones(2)
        >>> moments = ClassMoments({"0": torch.tensor([[0.0], [1.0]])}, {"0": ones[:, :1]}, {"0": one}, one)
        >>> [each.item() for each in moments.mixture("0", torch.tensor([0.5, 0.5]))]
        [0.5, 1.25]
    """

    mean: Mapping[str, Tensor]
    variance: Mapping[str, Tensor]
    weight: Mapping[str, Tensor]
    pixels: Tensor
    margin: float = math.nan
    outputs: Tensor | None = None
    boundaries: float = math.nan

    def __repr__(self) -> str:
        """Number of layers, and the shares of the classes."""
        shares = ", ".join(f"{share:.1%}" for share in self.proportions.tolist())
        return f"ClassMoments of {len(self.mean)} layers, {self.pixels.sum() / 1e6:.3g} labelled Mpixel: {shares}"

    @property
    def proportions(self) -> Tensor:
        """(K,) share of every class among the labelled pixels."""
        return self.pixels / self.pixels.sum()

    def mixture(self, layer: str, proportions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) of a layer's input at class proportions p (K,), which sum to 1.

        M(p) = sum_k p_k m_k and V(p) = sum_k p_k (v_k + (m_k - M(p))^2).
        """
        shares = proportions.to(self.mean[layer]).unsqueeze(1)
        mean = (shares * self.mean[layer]).sum(0)
        return mean, (shares * (self.variance[layer] + (self.mean[layer] - mean).square())).sum(0)

    def merged(self, other: "ClassMoments") -> "ClassMoments":
        """Moments of both together, by the law of total variance (see `Moments.merged`) class by class."""
        mean, variance, weight = {}, {}, {}
        for layer in dict.fromkeys((*self.mean, *other.mean)):
            sides = [each for each in (self, other) if layer in each.mean]
            if len(sides) == 1:
                mean[layer], variance[layer], weight[layer] = sides[0]._of(layer)
                continue
            (mean1, variance1, weight1), (mean2, variance2, weight2) = (each._of(layer) for each in sides)
            weight[layer] = weight1 + weight2
            share = (weight1 / weight[layer].clamp(min=torch.finfo(torch.float64).tiny)).unsqueeze(1)
            mean[layer], variance[layer] = mixed(mean1, variance1, mean2, variance2, share)
        pixels = self.pixels + other.pixels
        outputs = [each.outputs for each in (self, other) if each.outputs is not None]
        margin, boundaries = (self._mean_with(other, name) for name in ("margin", "boundaries"))
        return ClassMoments(mean, variance, weight, pixels, margin, sum(outputs) if outputs else None, boundaries)

    def state_dict(self) -> dict[str, Any]:
        """Plain dictionaries of tensors for a checkpoint; float32, which is precise enough."""
        return {
            "mean": {layer: each.float() for layer, each in self.mean.items()},
            "variance": {layer: each.float() for layer, each in self.variance.items()},
            "weight": dict(self.weight),
            "pixels": self.pixels,
            "margin": self.margin,
            "boundaries": self.boundaries,
            **({} if self.outputs is None else {"outputs": self.outputs.float()}),
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "ClassMoments":
        """Restore moments from `state_dict`.

        Raises:
            BatchNormError: a part is missing, or a value is not a valid statistic.
        """
        try:
            mean, variance = means_and_variances(state, axes=2)
            weight = {layer: state["weight"][layer] for layer in mean}
            outputs = state.get("outputs")
            outputs = None if outputs is None else outputs.double()
            boundaries = float(state.get("boundaries", math.nan))
            for counted in (*weight.values(), state["pixels"], *([] if outputs is None else outputs)):
                if not ((counted >= 0) & counted.isfinite()).all():
                    raise ValueError("its pixel counts are not numbers")
            return cls(mean, variance, weight, state["pixels"], float(state["margin"]), outputs, boundaries)
        except DAMAGE as error:
            raise BatchNormError(
                f"The class moments of the source are damaged: {damage(error)}; take another copy, or measure them"
                " again by `bnadapt source_summary`."
            ) from error

    def require_fit(self, channels: Mapping[str, int]) -> None:
        """Refuse moments of another network (numbers of channels by layer differ), by a `BatchNormError`."""
        measured = {layer: each.shape[1] for layer, each in self.mean.items()}
        if differing := [layer for layer in measured if measured[layer] != channels.get(layer)]:
            raise BatchNormError(
                f"The class moments are of another network: {differing[0]} has {measured[differing[0]]} channels there,"
                f" {channels.get(differing[0], 'none')} here. Measure them with this network."
            )

    def _mean_with(self, other: "ClassMoments", name: str) -> float:
        """Mean of an attribute over the labelled pixels of both."""
        parts = [(float(each.pixels.sum()), getattr(each, name)) for each in (self, other) if each.pixels.any()]
        return (
            sum(pixels * number for pixels, number in parts) / sum(pixels for pixels, _ in parts) if parts else math.nan
        )

    def _of(self, layer: str) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean[layer], self.variance[layer], self.weight[layer]


@dataclass(frozen=True, eq=False)
class ProportionCorrection:
    """Removes the effect of different class proportions from a target's statistics.

    If the target's features are the source's up to an affine map per channel, which is what BatchNorm can undo, and its
    class proportions are q, then at the source's proportions p its moments mu and s^2 would be

        mu* = mu + a (M(p) - M(q)),  s*^2 = s^2 V(p) / V(q),  a = sqrt(s^2 / V(q)),

    with the source's M and V (`ClassMoments.mixture`). With q = p nothing changes.

    Args:
        moments: class moments of the source.
        proportions: q (K,), the target's class proportions.

    Raises:
        BatchNormError: they are not proportions, or not one per class of the source.

    Examples:
        >>> one = torch.ones(2)
        >>> moments = ClassMoments({"0": torch.tensor([[0.0], [1.0]])}, {"0": torch.ones(2, 1)}, {"0": one}, one)
        >>> target = moments.mixture("0", torch.tensor([0.9, 0.1]))  # the same features in other proportions
        >>> correction = ProportionCorrection(moments, (0.9, 0.1))
        >>> [round(each.item(), 6) for each in correction.corrected("0", *target)]
        [0.5, 1.25]
    """

    moments: ClassMoments
    proportions: Sequence[float]

    def __post_init__(self) -> None:
        shares, classes = list(self.proportions), len(self.moments.pixels)
        if len(shares) != classes:
            raise BatchNormError(f"proportions are {shares}; give one for each of the {classes} classes.")
        if not (all(0 <= share <= 1 for share in shares) and abs(sum(shares) - 1) < 1e-6):
            raise BatchNormError(f"proportions are {shares}; give shares of the classes, from 0 to 1, with sum 1.")

    def __str__(self) -> str:
        return f"class proportions {', '.join(f'{share:.3g}' for share in self.proportions)}"

    def corrected(self, layer: str, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """The target's mean and variance (C,), corrected to the source's class proportions."""
        target = torch.tensor(self.proportions, dtype=torch.float64)
        source = self.moments.proportions
        if layer not in self.moments.mean or torch.equal(target, source):
            return mean, variance
        source_mean, source_variance = self.moments.mixture(layer, source)
        target_mean, target_variance = self.moments.mixture(layer, target)
        alive = (target_variance > 0) & (source_variance > 0)
        divisor = torch.where(alive, target_variance, 1.0)
        ratio = torch.where(alive, source_variance / divisor, 1.0).to(mean)
        shift = torch.where(alive, (source_mean - target_mean) / divisor.sqrt(), 0.0).to(mean)
        return mean + variance.sqrt() * shift, variance * ratio
