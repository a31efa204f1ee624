"""How the statistics of source and target are combined: how much of the source stays, and in which layers."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import Tensor

from bnadapt.batchnorm.layers import BatchNormError
from bnadapt.batchnorm.moments import mixed

FULL_RESOLUTION, ENCODER, DECODER = GROUPS = ("full_resolution", "encoder", "decoder")
"""Groups of layers that `bnadapt.batchnorm.layer_groups` finds in any network, whatever its layers are called."""


class SourceWeight(ABC):
    """A rule for the source weight: the share of the source in the adapted statistics."""

    @abstractmethod
    def of(self, tiles: int) -> float:
        """The weight, 0 to 1, after `tiles` tiles of the target."""


@dataclass(frozen=True)
class SourcePrior(SourceWeight):
    """The source counts as N further samples: w = N / (N + n) for n tiles of the target.

    Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", NeurIPS 2020,
    equation 3: mean = N/(N+n) m_s + n/(N+n) m_t, and likewise the variance, to which `Policy` adds the term for the
    distance of the means.

    Args:
        samples: N; 0 is full replacement.
    """

    samples: float = 16

    def __post_init__(self) -> None:
        if not 0 <= self.samples < math.inf:
            raise BatchNormError(
                f"samples is {self.samples}; give a number of tiles, 0 or more, that the source counts for."
            )

    def of(self, tiles: int) -> float:
        """N / (N + n)."""
        return self.samples / (self.samples + tiles) if self.samples else 0.0


@dataclass(frozen=True)
class DecayingMomentum(SourceWeight):
    """The source's share left in a running average with decaying momentum: w = prod_k (1 - eta_k).

    Step k = 0, 1, ... gives the share eta_k = momentum * decay^k + minimum to one more batch:

    - UBNA (Klingner et al., T-ITS 2022): eta_k = eta_0 exp(-alpha k), batches of 6; `decay` = exp(-alpha),
      `minimum` = 0, `tiles_per_step` = 6.
    - DUA (Mirza et al., "The Norm Must Go On", CVPR 2022): rho_k = rho_0 omega^k + zeta with rho_0 = 0.1, omega = 0.94,
      zeta = 0.005, one image a step; the default here.

    Both papers weigh early batches of the target differently from late ones; here the target's tiles are pooled, so
    their order does not matter.

    Args:
        momentum: eta_0.
        decay: factor from step to step.
        minimum: limit of the momentum.
        tiles_per_step: tiles in a batch.
    """

    momentum: float = 0.1
    decay: float = 0.94
    minimum: float = 0.005
    tiles_per_step: int = 1

    def __post_init__(self) -> None:
        if not (self.momentum >= 0 and self.minimum >= 0 and self.momentum + self.minimum <= 1):
            raise BatchNormError(
                f"momentum is {self.momentum} and minimum {self.minimum}; give two values of at least 0 with a sum of"
                " at most 1."
            )
        if not (0 <= self.decay <= 1 and self.tiles_per_step >= 1):
            raise BatchNormError(
                f"decay is {self.decay} and tiles_per_step {self.tiles_per_step}; give a decay between 0 and 1 and"
                " at least one tile a step."
            )

    def of(self, tiles: int) -> float:
        """prod_k (1 - eta_k) over the steps of `tiles` tiles."""
        steps = range(math.ceil(tiles / self.tiles_per_step))
        return math.prod(1 - self.momentum * self.decay**step - self.minimum for step in steps)


@dataclass(frozen=True)
class Policy:
    """How much of the source's statistics stays, which of the two change, and in which layers.

    With the source weight w, the adapted statistics are those of the mixture of both domains:

        mean = w m_s + (1 - w) m_t
        variance = w v_s + (1 - w) v_t + w (1 - w) (m_s - m_t)^2

    A weight of 0 is full replacement (AdaBN, Li et al., 2017), any other fixed number alpha-BN (You et al., "Test-time
    batch statistics calibration for covariate shift", 2021, which omits the last term).

    Args:
        source_weight: w, a number between 0 and 1 or a rule: `SourcePrior`, `DecayingMomentum`.
        statistics: `both`, or only `mean` or `variance`; the other stays the source's.
        layers: patterns of layer names (`*` for anything), which may also match the end of a dotted name:
            `["encoder.0*"]`, `["*norm1"]`; or a group, `full_resolution`, `encoder` or `decoder`, see `layer_groups`.
            All layers by default.
        depth: slice of these layers in the order of definition: `[0, 4]` takes the first four, `[-2, null]` the last
            two.

    Raises:
        BatchNormError: a value is out of range.

    Examples:
        >>> Policy(SourcePrior(16), layers=["encoder*"]).chosen(["encoder.0.norm1", "decoder.0.norm1"])
        ['encoder.0.norm1']
        >>> Policy(SourcePrior(16)).weight(tiles=48)
        0.25
    """

    source_weight: float | SourceWeight = 0.0
    statistics: Literal["both", "mean", "variance"] = "both"
    layers: Sequence[str] | Literal["full_resolution", "encoder", "decoder"] = ("*",)
    depth: tuple[int, int | None] = (0, None)

    def __post_init__(self) -> None:
        if not isinstance(self.source_weight, SourceWeight) and not 0 <= self.source_weight <= 1:
            raise BatchNormError(
                f"source_weight is {self.source_weight}; give a value between 0 (target alone) and 1 (source alone)."
            )
        if self.is_of_group and self.layers not in GROUPS:
            raise BatchNormError(
                f"layers is {self.layers!r}; give a list of patterns, such as [{self.layers!r}], or one of"
                f" {', '.join(GROUPS)}."
            )
        if self.statistics not in ("both", "mean", "variance"):
            raise BatchNormError(f"statistics is {self.statistics!r}; give 'both', 'mean' or 'variance'.")

    @property
    def is_of_group(self) -> bool:
        """Whether the layers are a group, which must be looked up in a network."""
        return isinstance(self.layers, str)

    def chosen(self, layers: Sequence[str]) -> list[str]:
        """The layers that adapt, of the names of all BatchNorm layers in order. An exact name means that layer alone.

        Raises:
            BatchNormError: none is chosen, or a group must be looked up in the network first.
        """
        if self.is_of_group:
            raise BatchNormError(
                f"layers is {self.layers!r}, which layers these are depends on the network; give the names that"
                " layer_groups finds, or call `estimate`, which does."
            )
        patterns = [pattern for pattern in self.layers if pattern not in layers]
        matching = [
            name for name in layers if name in self.layers or any(_matches(name, pattern) for pattern in patterns)
        ]
        chosen = matching[slice(*self.depth)]
        if not chosen:
            raise BatchNormError(
                f"No BatchNorm layer is chosen by layers {list(self.layers)} and depth {list(self.depth)}; the network"
                f" has {', '.join(layers)}."
            )
        return chosen

    def record(self) -> dict[str, Any]:
        """The policy in plain types, with the name of the rule for its source weight."""
        fields = asdict(self) | {"depth": list(self.depth)}
        if not self.is_of_group:
            fields["layers"] = list(self.layers)
        if isinstance(self.source_weight, SourceWeight):
            fields["source_weight"] = {"rule": type(self.source_weight).__name__, **fields["source_weight"]}
        return fields

    def weight(self, tiles: int) -> float:
        """The source weight after `tiles` tiles of the target."""
        return self.source_weight.of(tiles) if isinstance(self.source_weight, SourceWeight) else self.source_weight

    def combined(
        self, source: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], tiles: int
    ) -> tuple[Tensor, Tensor]:
        """Adapted mean and variance (C,) of a layer from those of source and target, after `tiles` target tiles."""
        weight = self.weight(tiles)
        mean, variance = mixed(*source, *target, weight) if weight else target
        return (
            source[0] if self.statistics == "variance" else mean,
            source[1] if self.statistics == "mean" else variance,
        )


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")
