"""Adapted statistics, and the record of how they came about."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from bnadapt.adaptation.recipe import Recipe
from bnadapt.batchnorm import Bank, Convergence, Estimate, ProportionCorrection, ProportionEstimate


@dataclass(frozen=True)
class AdaptedStatistics:
    """Statistics of a target, and how they came about.

    Attributes:
        estimate: the estimate, with the bank.
        correction: correction for the target's class proportions; None if they are assumed to be the source's.
        proportions: how these were estimated, if they were.
    """

    estimate: Estimate
    correction: ProportionCorrection | None = None
    proportions: ProportionEstimate | None = None

    @property
    def bank(self) -> Bank:
        """The adapted statistics."""
        return self.estimate.bank

    def record(self, recipe: Recipe) -> dict[str, Any]:
        """Record of an adaptation by a recipe, with the standard errors of its statistics, in plain types."""
        return {
            "tiles": self.estimate.tiles,
            "pixels": self.estimate.pixels,
            "propagation": recipe.propagation,
            "policy": recipe.policy.record(),
            "source_weight": recipe.policy.weight(self.estimate.tiles),
            "until": asdict(recipe.until) if recipe.until else None,
            "converged": self.estimate.converged,
            "convergence": _convergence_record(self.estimate.convergence),
            "batchnorm_layers": len(self.bank.mean),
            "adapted_layers": list(self.estimate.convergence.mean),
            "class_proportions": self._proportions_record(),
        }

    def _proportions_record(self) -> dict[str, Any]:
        """Class proportions of source and target, None if the target's are taken to be the source's; their estimate."""
        record: dict[str, Any] = {
            "source": None if self.correction is None else self.correction.moments.proportions.tolist(),
            "target": None if self.correction is None else list(self.correction.proportions),
            "estimated": self.proportions is not None,
            "consistent": None,
        }
        if self.proportions is not None:
            record |= {
                "estimate": list(self.proportions.best.proportions),
                "range": [list(limits) for limits in self.proportions.range],
                "consistent": self.proportions.consistent,
                "reason": self.proportions.reason,
                "candidates": [asdict(each) for each in self.proportions.candidates],
            }
        return record


def _convergence_record(convergence: Convergence) -> dict[str, Any]:
    """Curves; None for the infinite error of a single tile (JSON has no infinity)."""
    curves = asdict(convergence)
    for which in ("mean", "log_variance"):
        for layer, errors in curves[which].items():
            curves[which][layer] = [round(error, 6) if math.isfinite(error) else None for error in errors]
    return curves
