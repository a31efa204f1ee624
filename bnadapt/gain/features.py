"""Features of a candidate that need no label of the target, each with its formula and where it comes from.

All compare what a network does on the target with what it does on the source, so that its own habits cancel out. Where
they can, they are of the images as the candidate shows them: those of `inverted` on an inverted target are those of
`adapted` on the target as it was.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bnadapt.batchnorm import Bank
from bnadapt.batchnorm.bank import LayerShift
from bnadapt.gain.candidate_results import CandidateResult, CandidateResults
from bnadapt.gain.candidates import ADAPTED, INVERTED, NONE
from bnadapt.gain.latents import (
    bottleneck_bhattacharyya,
    correlation_mismatch,
    frechet_by_layer,
    log_frechet,
    skewness_difference,
)
from bnadapt.gain.predictions import STATISTICS, confidence, log_odds, overlap, soft_iou
from bnadapt.gain.source_summary import Intensities, SourceSummary, uncertainty_of

SMALLEST, LARGEST = 1e-3, 1e3  # of ratios
PLAIN = {False: ADAPTED, True: INVERTED}  # candidates by whether they show images inverted


@dataclass(frozen=True, eq=False)
class View:
    """A candidate, and what it is compared with.

    Attributes:
        source: the source's.
        results: of all candidates.
        own: the candidate's.
    """

    source: SourceSummary
    results: CandidateResults
    own: CandidateResult

    @property
    def unadapted(self) -> CandidateResult:
        """The target without adaptation."""
        return self.results[NONE]

    @property
    def adapted(self) -> CandidateResult:
        """The target with plain adaptation."""
        return self.results[ADAPTED]


def source_weight(view: View) -> float:
    """Part of the source's statistics that the candidate keeps."""
    return view.own.candidate.policy.source_weight


def inversion(view: View) -> float:
    """1 for inverted images."""
    return float(view.own.candidate.is_inverted)


def enlargement(view: View) -> float:
    """Log of the factor by which images are enlarged."""
    return math.log(view.own.candidate.zoom)


def correction(view: View) -> float:
    """Log odds of foreground that statistics are corrected for, minus those of the source."""
    if not view.own.candidate.is_corrected:
        return 0.0
    estimated = 1 - view.results.proportions_for(view.own.candidate).best.proportions[0]
    return log_odds(estimated) - log_odds(1 - float(view.source.moments.proportions[0]))


def source_iou(view: View) -> float:
    """Foreground IoU on the source, which few networks exceed elsewhere."""
    return view.source.iou


def distance_before(view: View) -> float:
    """Log Frechet distance of source and target latents without adaptation, mean over layers."""
    return log_frechet(view.source.latents, view.unadapted.seen.latents)


def distance_after(view: View) -> float:
    """The same with the candidate: the residual shift."""
    return log_frechet(view.source.latents, view.own.seen.latents)


def removed(view: View) -> float:
    """Log of the distance before over that after: the share that the candidate removes."""
    return distance_before(view) - distance_after(view)


def bottleneck_after(view: View) -> float:
    """Log Frechet distance with the candidate in the middle of the network."""
    layers = frechet_by_layer(view.source.latents, view.own.seen.latents)
    return layers[len(layers) // 2]


def last_layer_after(view: View) -> float:
    """Log Frechet distance with the candidate in the layer that is defined last."""
    return frechet_by_layer(view.source.latents, view.own.seen.latents)[-1]


def intensity_shift(view: View) -> float:
    """Mean intensity of the target minus the source's, in the source's standard deviations."""
    source, target = view.source.intensities, Intensities.of(view.own.seen.images)
    return (target.mean - source.mean) / max(source.std, SMALLEST)


def contrast(view: View) -> float:
    """Log of the images' standard deviation, over the source's."""
    return _log_ratio(Intensities.of(view.own.seen.images).std, view.source.intensities.std)


def intensity_skewness(view: View) -> float:
    """Skewness of the intensities, as the candidate shows them, minus the source's."""
    return _sign(view) * Intensities.of(view.own.seen.images).skewness - view.source.intensities.skewness


def sharpness(view: View) -> float:
    """Log of the images' sharpness, over the source's."""
    return _against_source(view, "sharpness")


def bottleneck_before(view: View) -> float:
    """Log Bhattacharyya distance at the bottleneck without adaptation (Stenger et al., ISBI 2023)."""
    return bottleneck_bhattacharyya(view.source.latents, view.unadapted.seen.latents)


def residual_correlation(view: View) -> float:
    """Root mean square difference of correlations between channels, mean over layers (CORAL, Sun et al. 2016)."""
    return correlation_mismatch(view.source.latents, view.own.seen.latents)


def residual_skewness(view: View) -> float:
    """Mean absolute difference of the channels' skewness, mean over layers."""
    return skewness_difference(view.source.latents, view.own.seen.latents)


def mean_drift(view: View) -> float:
    """Log of the BatchNorm means' shift, in source standard deviations (BatchNorm drift, arXiv 2107.00191)."""
    return _log_mean(each.mean for each in _drift(view.own.statistics, view.own.runner.source_bank))


def variance_drift(view: View) -> float:
    """Log of the BatchNorm variances' shift, root mean square of their log ratios."""
    return _log_mean(each.log_variance for each in _drift(view.own.statistics, view.own.runner.source_bank))


def uncertainty(view: View) -> float:
    """Log of uncertainty per boundary, over that of the source (see `bnadapt.batchnorm.estimate_proportions`)."""
    return _log_ratio(uncertainty_of(view.own.seen, view.source), view.source.uncertainty)


def class_confidence(view: View) -> float:
    """Expected IoU by class-specific confidence (Li et al., MICCAI 2022, arXiv 2207.09957)."""
    return soft_iou(view.own.seen.logits, view.source.temperatures)


def thresholded_confidence(view: View) -> float:
    """ATC (Garg et al., ICLR 2022): share of the pixels above the source's threshold, minus the source's accuracy."""
    confident = view.own.seen.probabilities.amax(1) > view.source.threshold
    return float(confident.double().mean()) - view.source.accuracy


def difference_of_confidence(view: View) -> float:
    """DoC (Guillory et al., ICCV 2021): mean confidence minus that on the source."""
    return confidence(view.own.seen) - view.source.statistics["confidence"]


def foreground_shift(view: View) -> float:
    """Log odds of the predicted share of foreground, minus that of the source's."""
    return log_odds(STATISTICS["foreground"](view.own.seen)) - log_odds(view.source.statistics["foreground"])


def foreground_excess(view: View) -> float:
    """Absolute value of `foreground_shift`."""
    return abs(foreground_shift(view))


def estimate_shift(view: View) -> float:
    """Absolute difference of the log odds of the predicted and of the estimated share of foreground."""
    estimated = 1 - view.results.proportions_for(view.own.candidate).best.proportions[0]
    return abs(log_odds(STATISTICS["foreground"](view.own.seen)) - log_odds(estimated))


def agreement_with_unadapted(view: View) -> float:
    """Foreground IoU of the prediction and of that without adaptation."""
    return overlap(view.own.seen.classes, view.unadapted.seen.classes)


def agreement_with_adapted(view: View) -> float:
    """Foreground IoU of the prediction and of that with plain adaptation."""
    return overlap(view.own.seen.classes, view.adapted.seen.classes)


def agreement_with_others(view: View) -> float:
    """Mean foreground IoU of the prediction and of all other candidates' (pairwise Dice, as an IoU)."""
    others = [each for each in view.results.by_name.values() if each is not view.own]
    return sum(overlap(view.own.seen.classes, each.seen.classes) for each in others) / max(1, len(others))


def boundary_length(view: View) -> float:
    """Log of the boundary length per pixel, over that on the source."""
    return _against_source(view, "boundaries")


def width(view: View) -> float:
    """Log of how thick predicted objects are, over that on the source."""
    return _against_source(view, "width")


def edges(view: View) -> float:
    """Log of the edge alignment of predicted boundaries, over that on the source."""
    return _against_source(view, "edge_alignment")


def polarity(view: View) -> float:
    """Foreground minus background intensity as shown, in standard deviations; below zero unless as on the source."""
    shown = _sign(view) * STATISTICS["polarity"](view.own.seen)
    return shown * math.copysign(1, view.source.statistics["polarity"])


def flip_consistency(view: View) -> float:
    """IoU of the predictions of images and of turned images, minus that on the source (CRank, arXiv 2503.00450)."""
    return STATISTICS["consistency"](view.own.seen) - view.source.statistics["consistency"]


def entropy(view: View) -> float:
    """Mean entropy, minus that on the source."""
    return STATISTICS["entropy"](view.own.seen) - view.source.statistics["entropy"]


def collapse(view: View) -> float:
    """1 where every pixel is of one class: 1 - entropy of the mean probabilities."""
    return STATISTICS["collapse"](view.own.seen)


def dropout_disagreement(view: View) -> float:
    """AETTA (Lee et al., CVPR 2024): share of the pixels that change by dropout, over even^3.

    Dropout is in front of the last layer; even is the entropy of the mean probabilities, relative to the greatest one.
    """
    even = max(1 - STATISTICS["collapse"](view.own.seen), SMALLEST)
    return min(STATISTICS["disagreement"](view.own.seen) / even**3, 1.0)


def nuclear_norm(view: View) -> float:
    """Nuclear norm of the probabilities (Deng et al., NeurIPS 2023), minus that on the source."""
    return STATISTICS["nuclear_norm"](view.own.seen) - view.source.statistics["nuclear_norm"]


OF_CANDIDATES: Mapping[str, Callable[[View], float]] = {
    each.__name__: each
    for each in (
        source_weight,
        inversion,
        enlargement,
        correction,
        source_iou,
        distance_before,
        distance_after,
        removed,
        bottleneck_after,
        last_layer_after,
        intensity_shift,
        contrast,
        intensity_skewness,
        sharpness,
        bottleneck_before,
        residual_correlation,
        residual_skewness,
        mean_drift,
        variance_drift,
        uncertainty,
        class_confidence,
        thresholded_confidence,
        difference_of_confidence,
        foreground_shift,
        foreground_excess,
        estimate_shift,
        agreement_with_unadapted,
        agreement_with_adapted,
        agreement_with_others,
        boundary_length,
        width,
        edges,
        polarity,
        flip_consistency,
        entropy,
        collapse,
        dropout_disagreement,
        nuclear_norm,
    )
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
"""Those of which the opposite polarity is told, too: `mirrored_NAME`, that of plain adaptation to images as the
candidate does not show them, inverted or not, minus that of plain adaptation to images as it does."""
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
        source: the source's.
        results: of all candidates.
        names: features to compute; all by default. A mirrored one brings the feature that it is computed from.
    """
    mirrored = [name for name in MIRRORED if f"mirrored_{name}" in names]
    needed = {name: of for name, of in OF_CANDIDATES.items() if name in names or name in mirrored}
    own = {
        name: {feature: of(View(source, results, result)) for feature, of in needed.items()}
        for name, result in results.by_name.items()
    }
    return {
        name: features | _mirrored(own, results[name].candidate.is_inverted, mirrored) for name, features in own.items()
    }


def _mirrored(own: Mapping[str, Mapping[str, float]], is_inverted: bool, names: Sequence[str]) -> dict[str, float]:
    """Mirrored features of a candidate; 0 where no candidate has the opposite polarity."""
    shown, hidden = (PLAIN[which] if PLAIN[which] in own else ADAPTED for which in (is_inverted, not is_inverted))
    return {f"mirrored_{name}": own[hidden][name] - own[shown][name] for name in names}


def _sign(view: View) -> int:
    return -1 if view.own.candidate.is_inverted else 1


def _drift(bank: Bank, source: Bank) -> Iterable[LayerShift]:
    return bank.compared(source).values()


def _log_mean(values: Iterable[float]) -> float:
    return math.log(max(fmean(values), SMALLEST))


def _against_source(view: View, statistic: str) -> float:
    return _log_ratio(STATISTICS[statistic](view.own.seen), view.source.statistics[statistic])


def _log_ratio(value: float, reference: float) -> float:
    """log(value / reference), with the ratio clamped to [1e-3, 1e3]."""
    if not reference or (math.isinf(value) and math.isinf(reference)):
        return 0.0
    return math.log(min(max(value / reference, SMALLEST), LARGEST))
