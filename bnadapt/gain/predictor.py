"""Predicts the IoU of every candidate from its features, with an interval, or says that it cannot tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bnadapt.batchnorm.tensor_file import read_tensors, write_tensors
from bnadapt.gain.forest import Forest

STORED = Path(__file__).with_name("predictor.safetensors")
COVERAGE = 0.9  # of the intervals
KNOWN = ("centre", "scale", "rows")


@dataclass(frozen=True)
class Expectation:
    """Of a candidate's foreground IoU.

    Attributes:
        iou: to be expected.
        low: end of its 90 % interval.
        high: end of its 90 % interval.
        familiar: whether the features are such as the predictor has learnt from.
    """

    iou: float
    low: float
    high: float
    familiar: bool


@dataclass(frozen=True, eq=False)
class Familiar:
    """Features such as a predictor has learnt from.

    Attributes:
        centre: (F,), median of the features.
        scale: (F,), their spread.
        rows: (m, F), some of the records' features, centred and scaled.
        farthest: distance to the nearest of them that is familiar.
    """

    centre: Tensor
    scale: Tensor
    rows: Tensor
    farthest: float

    def holds(self, features: Tensor) -> Tensor:
        """(n,) whether features (n, F) are familiar."""
        scaled = (features - self.centre) / self.scale
        return torch.cdist(scaled.double(), self.rows.double()).amin(1) <= self.farthest


@dataclass(frozen=True, eq=False)
class Predictor:
    """A forest on the features of candidates, with conformal intervals (Papadopoulos et al. 2002; Barber et al. 2021).

    An interval is the prediction plus and minus a quantile of absolute errors, in units of the spread of the trees; the
    errors are those that forests of other records make on a source that they have not seen, real and synthetic ones
    weighing alike. Features are familiar if they lie no farther from the nearest record than 99 % of the records lie
    from the nearest one of another source.

    Attributes:
        features: their names, in order.
        forest: of IoU.
        error: of unseen records, 90 % quantile, over the trees' spread (`spread`).
        known: what is familiar.
        records: SHA-256 of the table that it was fitted to.
    """

    features: Sequence[str]
    forest: Forest
    error: float
    known: Familiar
    records: str

    def expected(self, features: Mapping[str, Mapping[str, float]]) -> dict[str, Expectation]:
        """Expectations by candidate.

        Args:
            features: by candidate and name, see `bnadapt.gain.features_of`.
        """
        rows = torch.tensor([[own[name] for name in self.features] for own in features.values()])
        by_tree = self.forest(rows)
        means, margins = by_tree.mean(1), self.error * spread(by_tree)
        columns = means.tolist(), margins.tolist(), self.known.holds(rows).tolist()
        return {
            name: Expectation(mean, max(mean - margin, 0.0), min(mean + margin, 1.0), familiar)
            for name, mean, margin, familiar in zip(features, *columns, strict=True)
        }

    def save(self, path: Path = STORED) -> None:
        """Write as safetensors."""
        tensors = {f"forest/{name}": each for name, each in self.forest.state_dict().items()}
        tensors |= {name: getattr(self.known, name) for name in KNOWN}
        plain = {name: getattr(self, name) for name in ("features", "error", "records")}
        write_tensors(path, tensors, {**plain, "farthest": self.known.farthest})

    @classmethod
    def load(cls, path: Path = STORED) -> "Predictor":
        """Read what `save` wrote; by default the one that comes with bnadapt.

        Raises:
            BatchNormError: the file is missing or broken.
        """
        tensors, metadata = read_tensors(path, "a predictor")
        parts = {name.removeprefix("forest/"): each for name, each in tensors.items() if name.startswith("forest/")}
        known = Familiar(*(tensors[name] for name in KNOWN), metadata.pop("farthest"))
        return cls(forest=Forest.from_state_dict(parts), known=known, **metadata)


def spread(by_tree: Tensor) -> Tensor:
    """(n,) standard deviation of predictions (n, T) between trees, and 0.05, which no prediction is surer than."""
    return by_tree.std(1) + 0.05
