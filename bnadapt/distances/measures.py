"""The measures by name, on distributions sketched in one pass."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from torch import Tensor

from bnadapt.distances import gaussian, replicates
from bnadapt.distances.histograms import bhattacharyya_by_row, energy_by_row, wasserstein_by_row
from bnadapt.distances.latents import DistanceError, check_same_width
from bnadapt.distances.sketch import Distribution


@dataclass(frozen=True, eq=False)
class Pair:
    """Two distributions of the same M samples and C channels, with what several measures share; refuses others."""

    source: Distribution
    target: Distribution

    def __post_init__(self) -> None:
        check_same_width(self.source.width, self.target.width)

    @cached_property
    def along_axes(self) -> Tensor:
        """2-Wasserstein distances (M, C + 64) along the channels, then along the directions."""
        return wasserstein_by_row(self.source.axes, self.target.axes)


Between = Callable[[Pair], Tensor]
Around = Callable[[Pair], tuple[Tensor, Between]]
Gaussians = Callable[[gaussian.Gaussian, gaussian.Gaussian], Tensor]


@dataclass(frozen=True)
class Measure:
    """A distance between two distributions.

    Attributes:
        between: function from a pair to (M,) float64, zero or above.
        title: name for people.
        unit: unit of its values.
        is_root: whether finite samples bias its square to first order, rather than itself.
        around: function from a pair (M = 1) to its distance (1,), and a faster `between` for pairs that differ little
            from this one, if there is one.
    """

    between: Between
    title: str
    unit: str
    is_root: bool
    around: Around | None = None

    def with_replicates(self, pair: Pair) -> tuple[Tensor, Between]:
        """The distance (1,) of a pair, and a function for its jackknife replicates."""
        if self.around and pair.source.width > replicates.EXACT_UP_TO:
            return self.around(pair)
        return self.between(pair), self.between


def channel_wasserstein(pair: Pair) -> Tensor:
    """Root mean square over channels of `wasserstein_by_row`, in units of the latents."""
    return pair.along_axes[:, : pair.source.width].square().mean(1).sqrt()


def sliced_wasserstein(pair: Pair) -> Tensor:
    """Sliced 2-Wasserstein distance over the sketch's 64 directions (Bonneel et al. 2015), in units of the latents."""
    return pair.along_axes[:, pair.source.width :].square().mean(1).sqrt()


def max_sliced_wasserstein(pair: Pair) -> Tensor:
    """The largest 1-D 2-Wasserstein distance along any channel or any of the 64 directions, in units of the latents.

    A lower bound of the max-sliced distance (Deshpande et al. 2019).
    """
    return pair.along_axes.amax(1)


def energy_distance(pair: Pair) -> Tensor:
    r"""Energy distance in C dimensions, in square roots of units of the latents.

    The mean over directions of a projected length is the length times
    :math:`\gamma_C = \Gamma(C / 2) / (\sqrt\pi\, \Gamma((C + 1) / 2))`, so that

    .. math:: D^2 = \frac{1}{\gamma_C} E_\theta\, D^2(\theta \cdot X, \theta \cdot Y),

    here over the sketch's 64 directions (Szekely and Rizzo 2013; `energy_by_row`).
    """
    channels = pair.source.width
    log_factor = math.lgamma(channels / 2) - math.lgamma((channels + 1) / 2) - math.log(math.pi) / 2
    return (energy_by_row(pair.source.directions, pair.target.directions).mean(1) / math.exp(log_factor)).sqrt()


def histogram_bhattacharyya(pair: Pair) -> Tensor:
    """Mean over channels of `bhattacharyya_by_row`, without unit."""
    return bhattacharyya_by_row(pair.source.channels, pair.target.channels).mean(1)


def _of_gaussians(measure: Gaussians) -> Between:
    return lambda pair: measure(pair.source.gaussian, pair.target.gaussian)


def _around(replicated: Callable[[gaussian.Gaussian, gaussian.Gaussian], tuple[Tensor, Gaussians]]) -> Around:
    def around(pair: Pair) -> tuple[Tensor, Between]:
        distance, near = replicated(pair.source.gaussian, pair.target.gaussian)
        return distance, _of_gaussians(near)

    return around


LATENT = "latents"
SOURCE_STD = "source standard deviations"
NONE = "none"
MEASURES: dict[str, Measure] = {
    "normalised_wasserstein": Measure(
        _of_gaussians(gaussian.normalised_wasserstein),
        "source-normalised Wasserstein",
        SOURCE_STD,
        True,
        _around(replicates.normalised_wasserstein),
    ),
    "gaussian_wasserstein": Measure(
        _of_gaussians(gaussian.wasserstein), "Gaussian Wasserstein", LATENT, True, _around(replicates.wasserstein)
    ),
    "diagonal_wasserstein": Measure(
        _of_gaussians(gaussian.diagonal_wasserstein), "diagonal Gaussian Wasserstein", LATENT, True
    ),
    "channel_wasserstein": Measure(channel_wasserstein, "Wasserstein per channel", LATENT, True),
    "sliced_wasserstein": Measure(sliced_wasserstein, "sliced Wasserstein", LATENT, True),
    "max_sliced_wasserstein": Measure(max_sliced_wasserstein, "max-sliced Wasserstein", LATENT, True),
    "energy": Measure(energy_distance, "energy distance", "root of latents", True),
    "frechet": Measure(
        _of_gaussians(gaussian.frechet), "Frechet, standardised", NONE, False, _around(replicates.frechet)
    ),
    "bhattacharyya": Measure(
        _of_gaussians(gaussian.bhattacharyya), "Bhattacharyya", NONE, False, _around(replicates.bhattacharyya)
    ),
    "diagonal_bhattacharyya": Measure(
        _of_gaussians(gaussian.diagonal_bhattacharyya), "diagonal Bhattacharyya", NONE, False
    ),
    "histogram_bhattacharyya": Measure(histogram_bhattacharyya, "Bhattacharyya per channel", NONE, False),
}


def measures_named(names: Sequence[str] | None) -> dict[str, Measure]:
    """Measures by name; all if `names` is None.

    Raises:
        DistanceError: a measure does not exist.
    """
    chosen = list(MEASURES) if names is None else list(names)
    if unknown := [name for name in chosen if name not in MEASURES]:
        near = get_close_matches(unknown[0], MEASURES, 1)
        raise DistanceError(
            f"There is no measure {unknown[0]!r}; {f'did you mean {near[0]}? T' if near else 't'}ake some of"
            f" {', '.join(MEASURES)}."
        )
    return {name: MEASURES[name] for name in chosen}


def distances_between(
    source: Distribution, target: Distribution, measures: Mapping[str, Measure] = MEASURES
) -> dict[str, Tensor]:
    """Distances (M,) between distributions by measure, without standard errors.

    Raises:
        DistanceError: the numbers of channels differ.
    """
    pair = Pair(source, target)
    return {name: measure.between(pair) for name, measure in measures.items()}
