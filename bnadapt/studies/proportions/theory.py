"""The cost of plain adaptation in closed form: one feature, two Gaussian classes, a fixed threshold.

In front of the last threshold the classes are N(0, 1) and N(c, 1), with share p of the second one in the source. Its
mean is M(p) = p c, its variance V(p) = 1 + p (1 - p) c^2. A network that separates the classes best in the source
does so at the threshold of Bayes,

    t = c / 2 + log((1 - p) / p) / c.

Statistics of a target of share q put mean and variance of its mixture to where those of the source were, so that in
units of the target's feature the threshold is at

    t' = M(q) + sqrt(V(q) / V(p)) (t - M(p)),

and the foreground's IoU is q Phi(c - t') / (q + (1 - q) Phi(-t')).
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.stats import norm, spearmanr

RANGE = (0.5, 20.0)  # of the distance of the classes, in their standard deviations


def adapted_iou(source: np.ndarray, target: np.ndarray, distance: float) -> np.ndarray:
    """IoU of the foreground after plain adaptation.

    Args:
        source: share p of foreground in the source (n,).
        target: share q in the target (n,).
        distance: c of the classes, in their standard deviations.

    Examples:
        >>> adapted_iou(np.array([0.3, 0.3]), np.array([0.3, 0.05]), 4.2).round(2).tolist()
        [0.95, 0.21]
    """
    threshold = distance / 2 + np.log((1 - source) / source) / distance
    moved = target * distance + _deviation(target, distance) / _deviation(source, distance) * (
        threshold - source * distance
    )
    return target * norm.cdf(distance - moved) / (target + (1 - target) * norm.cdf(-moved))


def fitted_distance(rows: pd.DataFrame) -> float:
    """The distance of classes at which the IoU after plain adaptation fits the measured one best, in mean square."""

    def error(distance: float) -> float:
        return float(((_expected(rows, distance) - rows["iou_adapted"]) ** 2).mean())

    return float(minimize_scalar(error, bounds=RANGE, method="bounded").x)


def theory_compared(synthetic: pd.DataFrame) -> str:
    """Agreement of the closed form, with one fitted number, with the measurements."""
    distance = fitted_distance(synthetic)
    expected, measured = _expected(synthetic, distance), synthetic["iou_adapted"]
    rank = f", rank correlation {spearmanr(expected, measured).statistic:.2f}" if len(measured.unique()) > 2 else ""
    return (
        f"One Gaussian feature with a distance of {distance:.1f} standard deviations between the classes, the only"
        f" fitted number, predicts the IoU of AdaBN on synthetic targets with a mean error of"
        f" {(expected - measured).abs().mean():.3f}{rank}."
    )


def _expected(rows: pd.DataFrame, distance: float) -> pd.Series:
    return pd.Series(adapted_iou(rows["foreground_source"], rows["foreground"], distance), index=rows.index)


def _deviation(share: np.ndarray, distance: float) -> np.ndarray:
    return np.sqrt(1 + share * (1 - share) * distance**2)
