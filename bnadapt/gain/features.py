"""Label-free features of a candidate, each with its formula and source.

All compare the network's behaviour on the target with that on the source, so that its own habits cancel out. Where
possible they are computed on the images as the candidate shows them: those of `inverted` on an inverted target equal
those of `adapted` on the original.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bnadapt.gain.candidate_results import CandidateResult, CandidateResults
from bnadapt.gain.candidates import ADAPTED, INVERTED, NONE
from bnadapt.gain.latent_summaries import (
    bottleneck_bhattacharyya,
    correlation_mismatch,
    frechet_by_layer,
    log_frechet,
    skewness_difference,
)
from bnadapt.gain.predictions import STATISTICS, log_odds, overlap, soft_iou
from bnadapt.gain.source_summary import Intensities, SourceSummary, uncertainty_of

SMALLEST, LARGEST = 1e-3, 1e3  # limits of ratios
PLAIN = {False: ADAPTED, True: INVERTED}  # plain adaptation by whether images are inverted


@dataclass(frozen=True, eq=False)
class View:
    """A candidate's own result, and what it is compared with: the source, and the results of all candidates."""

    source: SourceSummary
    results: CandidateResults
    result: CandidateResult

    @property
    def unadapted(self) -> CandidateResult:
        """The target without adaptation."""
        return self.results[NONE]

    @property
    def adapted(self) -> CandidateResult:
        """The target with plain adaptation."""
        return self.results[ADAPTED]


Feature = Callable[[View], float]


def distance_after(view: View) -> float:
    """Log Frechet distance of the source's latents and the target's under the candidate, mean over layers."""
    return log_frechet(view.source.latents, view.result.outputs.latents)


def _distance_before(view: View) -> float:
    return log_frechet(view.source.latents, view.unadapted.outputs.latents)


def _layer(view: View, share: float) -> float:
    """Log Frechet distance under the candidate in the layer at this share of the network's depth."""
    layers = frechet_by_layer(view.source.latents, view.result.outputs.latents)
    return layers[min(int(share * len(layers)), len(layers) - 1)]


def _correction(view: View) -> float:
    if not view.result.candidate.is_corrected:
        return 0.0
    return log_odds(_estimated_foreground(view)) - log_odds(1 - float(view.source.moments.proportions[0]))


def _intensity_shift(view: View) -> float:
    source, target = view.source.intensities, Intensities.of(view.result.outputs.images)
    return (target.mean - source.mean) / max(source.std, SMALLEST)


def _thresholded_confidence(view: View) -> float:
    confident = view.result.outputs.probabilities.amax(1) > view.source.threshold
    return float(confident.double().mean()) - view.source.accuracy


def _agreement_with_others(view: View) -> float:
    others = [each for each in view.results.by_name.values() if each is not view.result]
    return sum(overlap(view.result.outputs.classes, each.outputs.classes) for each in others) / max(1, len(others))


def _polarity(view: View) -> float:
    shown = _sign(view) * STATISTICS["polarity"](view.result.outputs)
    return shown * math.copysign(1, view.source.statistics["polarity"])


def _dropout_disagreement(view: View) -> float:
    even = max(1 - STATISTICS["collapse"](view.result.outputs), SMALLEST)
    return min(STATISTICS["disagreement"](view.result.outputs) / even**3, 1.0)


def _log_drift(view: View, part: str) -> float:
    """Log of the mean over layers of a part of `LayerShift`, of the target's statistics from the source's."""
    shifts = view.result.statistics.compared(view.result.runner.source_bank).values()
    return math.log(max(fmean(getattr(each, part) for each in shifts), SMALLEST))


def _foreground_shift(view: View) -> float:
    return log_odds(STATISTICS["foreground"](view.result.outputs)) - log_odds(view.source.statistics["foreground"])


def _estimated_foreground(view: View) -> float:
    """Share of foreground that is estimated for the candidate's images."""
    return 1 - view.results.proportions_for(view.result.candidate).best.proportions[0]


def _log_ratio_of(statistic: str) -> Feature:
    return lambda view: _log_ratio(STATISTICS[statistic](view.result.outputs), view.source.statistics[statistic])


def _difference_of(statistic: str) -> Feature:
    return lambda view: STATISTICS[statistic](view.result.outputs) - view.source.statistics[statistic]


OF_CANDIDATES: Mapping[str, Feature] = {
    # The candidate: share of the source's statistics kept, 1 for inverted images, log of the factor of enlargement, and
    # log odds of the foreground that statistics are corrected for, minus those of the source
    "source_weight": lambda view: view.result.candidate.policy.source_weight,
    "inversion": lambda view: float(view.result.candidate.is_inverted),
    "enlargement": lambda view: math.log(view.result.candidate.zoom),
    "correction": _correction,
    # Foreground IoU on the source, which few networks exceed elsewhere
    "source_iou": lambda view: view.source.iou,
    # Latents: log Frechet distance to the source's without adaptation and under the candidate (the residual shift), the
    # log of their ratio, and the residual shift in the middle and the last layer
    "distance_before": _distance_before,
    "distance_after": distance_after,
    "removed": lambda view: _distance_before(view) - distance_after(view),
    "bottleneck_after": lambda view: _layer(view, 0.5),
    "last_layer_after": lambda view: _layer(view, 1),
    # Images: mean minus the source's in its standard deviations, log ratio of standard deviations, skewness (as shown)
    # minus the source's, log ratio of sharpness
    "intensity_shift": _intensity_shift,
    "contrast": lambda view: _log_ratio(Intensities.of(view.result.outputs.images).std, view.source.intensities.std),
    "intensity_skewness": lambda view: (
        _sign(view) * Intensities.of(view.result.outputs.images).skewness - view.source.intensities.skewness
    ),
    "sharpness": _log_ratio_of("sharpness"),
    # Log Bhattacharyya distance at the bottleneck without adaptation (Stenger et al., ISBI 2023)
    "bottleneck_before": lambda view: bottleneck_bhattacharyya(view.source.latents, view.unadapted.outputs.latents),
    # Root mean square difference of correlations between channels, mean over layers (CORAL, Sun et al. 2016)
    "residual_correlation": lambda view: correlation_mismatch(view.source.latents, view.result.outputs.latents),
    # Mean absolute difference of the channels' skewness, mean over layers
    "residual_skewness": lambda view: skewness_difference(view.source.latents, view.result.outputs.latents),
    # Log shift of BatchNorm means, in source standard deviations, and of log variances (arXiv 2107.00191)
    "mean_drift": lambda view: _log_drift(view, "mean"),
    "variance_drift": lambda view: _log_drift(view, "log_variance"),
    # Log ratio of uncertainty per boundary, see `bnadapt.gain.predictions.uncertainty`
    "uncertainty": lambda view: _log_ratio(uncertainty_of(view.result.outputs, view.source), view.source.uncertainty),
    # Expected IoU by class-specific confidence (Li et al., MICCAI 2022, arXiv 2207.09957)
    "class_confidence": lambda view: soft_iou(view.result.outputs.logits, view.source.temperatures),
    # ATC (Garg et al., ICLR 2022): share of the pixels above the source's threshold, minus the source's accuracy
    "thresholded_confidence": _thresholded_confidence,
    # DoC (Guillory et al., ICCV 2021): mean confidence minus that on the source
    "difference_of_confidence": _difference_of("confidence"),
    # Log odds of the predicted share of foreground, minus the source's; its absolute value; that to the estimated share
    "foreground_shift": _foreground_shift,
    "foreground_excess": lambda view: abs(_foreground_shift(view)),
    "estimate_shift": lambda view: abs(
        log_odds(STATISTICS["foreground"](view.result.outputs)) - log_odds(_estimated_foreground(view))
    ),
    # Foreground IoU of the prediction with that of other candidates
    "agreement_with_unadapted": lambda view: overlap(view.result.outputs.classes, view.unadapted.outputs.classes),
    "agreement_with_adapted": lambda view: overlap(view.result.outputs.classes, view.adapted.outputs.classes),
    "agreement_with_others": _agreement_with_others,
    # Predicted objects: log ratios to the source of boundary length per pixel, thickness, and edge alignment
    "boundary_length": _log_ratio_of("boundaries"),
    "width": _log_ratio_of("width"),
    "edges": _log_ratio_of("edge_alignment"),
    # Foreground minus background intensity as shown, in standard deviations; negative where the source's is opposite
    "polarity": _polarity,
    # IoU of the predictions of images and of images turned by 180 degrees, minus the source's (CRank, arXiv 2503.00450)
    "flip_consistency": _difference_of("consistency"),
    # Mean entropy minus the source's; 1 - entropy of the mean probabilities: 1 where all pixels are of one class
    "entropy": _difference_of("entropy"),
    "collapse": lambda view: STATISTICS["collapse"](view.result.outputs),
    # AETTA (Lee et al., CVPR 2024): share of the pixels whose class changes by dropout in front of the last layer, over
    # the cube of the relative entropy of the mean probabilities
    "dropout_disagreement": _dropout_disagreement,
    # Nuclear norm of the probabilities (Deng et al., NeurIPS 2023), minus the source's
    "nuclear_norm": _difference_of("nuclear_norm"),
}
MIRRORED = (
    "distance_after",
    "bottleneck_after",
    "last_layer_after",
    "residual_correlation",
    "residual_skewness",
    "uncertainty",
    "class_confidence",
    "boundary_length",
    "edges",
    "flip_consistency",
    "entropy",
    "dropout_disagreement",
)
"""Features that also come as `mirrored_NAME`: the value under plain adaptation to images of the opposite polarity,
minus that under plain adaptation to images of the candidate's polarity."""
FEATURES: Sequence[str] = (*OF_CANDIDATES, *(f"mirrored_{name}" for name in MIRRORED))
PROMISING: Mapping[str, int] = {
    "class_confidence": 1,
    "flip_consistency": 1,
    "nuclear_norm": 1,
    "dropout_disagreement": -1,
    "uncertainty": -1,
    "distance_after": -1,
    "residual_correlation": -1,
    "residual_skewness": -1,
}
"""Those by which one candidate is compared with another: more of it is better (1), or worse (-1)."""
POLARITY: Sequence[str] = tuple(f"mirrored_{name}" for name in MIRRORED if name != "boundary_length")
"""Those by which inverted images are compared with the images as they are."""


def features_of(
    source: SourceSummary, results: CandidateResults, names: Collection[str] = FEATURES
) -> dict[str, dict[str, float]]:
    """Features of every candidate, by the candidate's name.

    Args:
        source: summary of the source.
        results: results of all candidates.
        names: features to compute; all by default. A mirrored one includes the feature that it is computed from.
    """
    mirrored = [name for name in MIRRORED if f"mirrored_{name}" in names]
    needed = {name: of for name, of in OF_CANDIDATES.items() if name in names or name in mirrored}
    by_candidate = {
        name: {feature: of(View(source, results, result)) for feature, of in needed.items()}
        for name, result in results.by_name.items()
    }
    return {
        name: features | _mirrored(by_candidate, results[name].candidate.is_inverted, mirrored)
        for name, features in by_candidate.items()
    }


def _mirrored(
    by_candidate: Mapping[str, Mapping[str, float]], is_inverted: bool, names: Sequence[str]
) -> dict[str, float]:
    """Mirrored features of a candidate; 0 if no candidate has the opposite polarity."""
    shown, hidden = (
        PLAIN[which] if PLAIN[which] in by_candidate else ADAPTED for which in (is_inverted, not is_inverted)
    )
    return {f"mirrored_{name}": by_candidate[hidden][name] - by_candidate[shown][name] for name in names}


def _sign(view: View) -> int:
    return -1 if view.result.candidate.is_inverted else 1


def _log_ratio(value: float, reference: float) -> float:
    """log(value / reference), with the ratio clamped to [1e-3, 1e3]."""
    if not reference or (math.isinf(value) and math.isinf(reference)):
        return 0.0
    return math.log(min(max(value / reference, SMALLEST), LARGEST))
