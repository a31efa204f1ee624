"""A source network on a target: what every candidate gives, and what can be seen of it without labels."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, Scores, cached_network, scored
from bnadapt.experiments.networks import SourceNetwork
from bnadapt.experiments.specs import Spec
from bnadapt.gain import Treated, features_of, try_all


@dataclass(frozen=True, eq=False)
class CandidateCase(Case):
    """A source network on a target, treated by every candidate.

    Args:
        network: the source network.
        target: the domain.
        evaluation: how to score; its `tiles` are what the features are of.
        labels: see `Case`.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for every candidate."""
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        return [{**row, "network": self.network.key} for row in _rows(network.on(self.target))]


def _rows(target: DomainEvaluation) -> list[TableRow]:
    network = target.network
    tiles = target.tiles.unlabelled(network.evaluation.tiles)
    source = network.source_summary
    started = time.perf_counter()
    trials = try_all(network.runs, tiles, source)
    features = features_of(source, trials)
    seconds = round(time.perf_counter() - started, 3)
    rows = []
    for name, treated in trials.treated.items():
        scores = _scores(target, treated)
        row = {"candidate": name, "iou": scores.iou, "foreground": scores.true, "seconds": seconds}
        row |= {"foreground_source": source.moments.proportions[1].item(), "iou_source": network.source.scores.iou}
        rows.append(row | {f"feature_{feature}": round(value, 6) for feature, value in features[name].items()})
    return rows


def _scores(target: DomainEvaluation, treated: Treated) -> Scores:
    with treated.bank.applied(target.network.network):
        return scored(treated.runs.forward, target.tiles.labelled)
