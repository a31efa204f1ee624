"""A source network on a target, with every correction for other class proportions."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logit
from torch import Tensor

from bnadapt.adaptation import SCANNED_TILES
from bnadapt.batchnorm import Bank, measure_class_moments
from bnadapt.experiments.case import NetworkCase, RunLocation, TableRow
from bnadapt.experiments.network_evaluation import DomainEvaluation, NetworkEvaluation

ROWS = {
    "iou_unadapted": "without",
    "iou_adapted": "AdaBN",
    "iou_mixed": "half source",
    "iou_offset": "AdaBN + logit offset",
    "iou_reweighted": "reweighted by predicted class",
    "iou_corrected": "corrected",
    "iou_oracle": "corrected (true proportions)",
}


@dataclass(frozen=True, eq=False)
class ClassProportionCase(NetworkCase):
    """A source network on a target, with every correction for other class proportions."""

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """One row."""
        return [_row(target)]


def _row(target: DomainEvaluation) -> TableRow:
    network, tiles = target.network, target.adaptation_tiles()
    source = network.class_moments.proportions[1].item()
    plain, corrected = network.adapted(tiles).bank, network.corrected(tiles, "estimated")
    true, estimated = target.scores.true, corrected.correction.proportions[1]
    banks = {
        "adapted": plain,
        "mixed": plain.blended(network.bank, 0.5),
        "reweighted": reweighted(network, tiles[:SCANNED_TILES], plain),
        "corrected": corrected.bank,
        "oracle": network.corrected(tiles, [1 - true, true]).bank,
    }
    row: TableRow = {"iou_source": network.source.scores.iou, "iou_unadapted": target.scores.iou, "foreground": true}
    row |= {f"iou_{name}": network.scores(target.tiles, bank).iou for name, bank in banks.items()}
    row["iou_offset"] = network.scores(target.tiles, plain, clipped_logit(estimated) - clipped_logit(source)).iou
    return row | {
        "gain": row["iou_adapted"] - row["iou_unadapted"],
        "foreground_source": source,
        "foreground_estimated": estimated,
        "acted_on": corrected.proportions.reason is None,
    }


def reweighted(network: NetworkEvaluation, tiles: Tensor, adapted: Bank) -> Bank:
    """Statistics in which every position of the target counts by p_k / q_k of the class that is predicted there.

    These are the target's class moments, with the predictions of the adapted network in place of masks, mixed in the
    source's proportions p, layer by layer. Features of the source are not needed, but correct predictions are.

    Args:
        network: network with the source's statistics.
        tiles: (n, C, h, w) of the target, in one batch.
        adapted: statistics after plain adaptation; returned where a class is not predicted at all.
    """
    with adapted.applied(network.network):
        predicted = network.forward(tiles).argmax(1).cpu()
    if len(predicted.unique()) == 1:
        return adapted
    bank = adapted
    for layer in adapted.mean:
        with bank.applied(network.network):
            moments = measure_class_moments(network.network, [(tiles, predicted)], forward=network.forward)
        mean, variance = moments.mixture(layer, network.class_moments.proportions)
        bank = replace(bank, mean={**bank.mean, layer: mean}, variance={**bank.variance, layer: variance})
    return bank


def clipped_logit(share: float) -> float:
    """The logit of a share, finite for 0 and 1 too."""
    return float(logit(np.clip(share, 1e-4, 1 - 1e-4)))
