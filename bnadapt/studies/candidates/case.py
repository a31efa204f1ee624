"""A source network on a target: the score of every candidate, and its label-free features."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnadapt.adaptation import Recipe
from bnadapt.experiments.case import NetworkCase, RunLocation, TableRow
from bnadapt.experiments.network_evaluation import DomainEvaluation
from bnadapt.experiments.scoring import Batches, evenly_spread, scored
from bnadapt.gain import CANDIDATES, CandidateNetwork, CandidateResults, CandidateRunner, features_of, run_candidates
from bnadapt.gain.candidates import ADAPTED, CORRECTED, FULL_REPLACEMENT, NONE
from bnadapt.reports.panels import outlined_panels, panel_rows

BATCH = 8
ENSEMBLE = (NONE, ADAPTED, "mixed", "full-resolution")


@dataclass(frozen=True, eq=False)
class CandidateCase(NetworkCase):
    """A source network on a target, treated by every candidate.

    Args:
        network: see `NetworkCase`.
        target: see `NetworkCase`.
        evaluation: settings; candidates are scored with statistics of its `tiles`.
        labels: see `Case`.
        seen_tiles: number of target tiles that features are computed from.
        scored_tiles: greatest number of test tiles that candidates are scored on, evenly spread.
        pictured: whether to keep a picture of the first test tile under every candidate.
    """

    seen_tiles: int = 8
    scored_tiles: int = 24
    pictured: bool = False

    def rows_on(self, target: DomainEvaluation, location: RunLocation) -> list[TableRow]:
        """A row for every candidate, and one for each ensemble of some of them, which have no features."""
        network, source = target.network, target.network.source_summary
        started = time.perf_counter()
        results = run_candidates(network.runner, target.tiles.unlabelled(self.seen_tiles), source, CANDIDATES)
        features = features_of(source, results)
        seconds = round(time.perf_counter() - started, 3)
        networks = dict(_as_adapted(target, results))
        if self.pictured:
            item = target.tiles.pictured
            logits = {CANDIDATES[name].label: each.logits(item["image"][None]) for name, each in networks.items()}
            predictions = {label: each.argmax(1)[0] for label, each in logits.items()}
            self.save_picture(panel_rows(outlined_panels(item, predictions)), location)
        tiles = evenly_spread(target.tiles.labelled, self.scored_tiles)
        rows = [*_candidate_rows(networks, features, tiles), *_ensemble_rows(networks, tiles)]
        estimate = results.proportions_for(CANDIDATES[CORRECTED])
        common = {"iou_source": source.iou, "seconds": seconds}
        common["foreground_estimated"] = 1 - estimate.best.proportions[0]
        common["estimate_is_sure"] = estimate.reason is None
        return [{**row, **common} for row in rows]


def _as_adapted(target: DomainEvaluation, results: CandidateResults) -> Iterator[tuple[str, CandidateNetwork]]:
    """Every candidate, with statistics of as many tiles as `adapt` reads."""
    network = target.network
    parts, moments = target.adaptation_tiles().split(BATCH), network.source_summary.moments
    networks = CandidateRunner(
        network.runner, parts, results.tiles, moments, results.level, Recipe(FULL_REPLACEMENT), results.proportions
    )
    for name in results.by_name:
        yield name, networks.network_for(CANDIDATES[name])


def _candidate_rows(
    networks: Mapping[str, CandidateNetwork], features: Mapping[str, Mapping[str, float]], tiles: Batches
) -> Iterator[TableRow]:
    for name, network in networks.items():
        scores = scored(network.logits, tiles)
        row = {"candidate": name, "iou": scores.iou, "foreground": scores.true, "predicted": scores.predicted}
        yield row | {f"feature_{feature}": round(value, 6) for feature, value in features[name].items()}


def _ensemble_rows(networks: Mapping[str, CandidateNetwork], tiles: Batches) -> Iterator[TableRow]:
    """Mean probabilities of four candidates: equal weights, and weights of one over the balanced entropy.

    InTEnt (Dong et al. 2024, arXiv 2402.09604).
    """
    members = [networks[name] for name in ENSEMBLE if name in networks]
    for name, weigh in (("ensemble", torch.ones_like), ("ensemble, by entropy", lambda entropies: 1 / entropies)):

        def probabilities(images: Tensor, weigh: Any = weigh) -> Tensor:
            each = torch.stack([member.logits(images).softmax(1) for member in members])
            weights = weigh(torch.stack([balanced_entropy(member) for member in each]))
            return (each * (weights / weights.sum()).view(-1, 1, 1, 1, 1)).sum(0)

        scores = scored(probabilities, tiles)
        yield {"candidate": name, "iou": scores.iou, "foreground": scores.true, "predicted": scores.predicted}


def balanced_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of (n, K, h, w), every predicted class weighing alike; at least 1e-6."""
    entropy = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(1)
    classes = probabilities.argmax(1)
    by_class = [entropy[classes == label].mean() for label in classes.unique()]
    return torch.stack(by_class).mean().clamp(min=1e-6)
