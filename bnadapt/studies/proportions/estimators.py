"""Ways to estimate a target's share of foreground, side by side."""

import math

from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES
from bnadapt.batchnorm import Bank, ProportionScan, estimate_proportions
from bnadapt.batchnorm.proportions import SHARP, TOLERANCE, most_credible
from bnadapt.experiments.evaluation import NetworkEvaluation

ESTIMATORS = {
    "source": "the source's share",
    "unadapted": "predicted without adaptation",
    "adapted": "predicted with AdaBN",
    "consistent": "q whose f(q) is closest to it",
    "loose": "least u of any q",
    "strict": "least u, inconsistency below 0.25",
    "chosen": "below 0.5 (what adapt takes)",
    "lenient": "below 1",
    "sharper": "u of half the margin",
    "flatter": "u of twice the margin",
    "probability": "u of probabilities 0.1 to 0.9",
}


def estimates(network: NetworkEvaluation, tiles: Tensor, adapted: Bank, scan: ProportionScan) -> dict[str, float]:
    """The share of class 1 by every estimator.

    Args:
        network: in which the source's statistics are.
        tiles: (n, C, h, w) of the target.
        adapted: plain adapted statistics.
        scan: of the estimator that `adapt` takes.
    """
    few = tiles[:SCANNED_TILES]
    chosen = {
        "consistent": min(scan.candidates, key=lambda each: each.inconsistency(1)),
        "loose": most_credible(scan.candidates, 1, math.inf)[0],
        "strict": most_credible(scan.candidates, 1, TOLERANCE / 2)[0],
        "chosen": scan.chosen,
        "lenient": most_credible(scan.candidates, 1, 2 * TOLERANCE)[0],
    }
    # of two classes, 0.1 < p < 0.9 where the logits differ by less than log 9
    margins = {"sharper": SHARP / 2, "flatter": 2 * SHARP, "probability": math.log(9) / network.class_moments.margin}
    for name, sharp in margins.items():
        chosen[name] = estimate_proportions(
            network.network, [few], network.class_moments, forward=network.forward, sharp=sharp
        ).chosen
    return {
        "source": network.class_moments.proportions[1].item(),
        "unadapted": _predicted(network, few, network.bank),
        "adapted": _predicted(network, few, adapted),
        **{name: each.proportions[1] for name, each in chosen.items()},
    }


def _predicted(network: NetworkEvaluation, tiles: Tensor, bank: Bank) -> float:
    with bank.applied(network.network):
        return network.forward(tiles).argmax(1).double().mean().item()
