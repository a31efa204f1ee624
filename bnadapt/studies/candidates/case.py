"""A source network on a target: what every candidate gives, and what can be seen of it without labels."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnadapt.adaptation import Recipe
from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, cached_network, scored
from bnadapt.experiments.networks import SourceNetwork
from bnadapt.experiments.specs import Spec
from bnadapt.files import atomic_write
from bnadapt.gain import CANDIDATES, CandidateNetwork, CandidateResults, CandidateRunner, features_of, run_candidates
from bnadapt.gain.candidates import ADAPTED, CORRECTED, FULL_REPLACEMENT, NONE
from bnadapt.reports.panels import outlined_panels, panel_rows

BATCH = 8
ENSEMBLE = (NONE, ADAPTED, "mixed", "full-resolution")
Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class CandidateCase(Case):
    """A source network on a target, treated by every candidate.

    Args:
        network: the source network.
        target: the domain.
        evaluation: how to adapt and score; candidates are scored with statistics of its `tiles`.
        labels: see `Case`.
        seen_tiles: of the target that features are of.
        scored_tiles: of the test block that candidates are scored on, evenly spread, at most.
        pictured: whether to keep a picture of the first test tile under every candidate.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]
    seen_tiles: int = 8
    scored_tiles: int = 24
    pictured: bool = False

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for every candidate, and one for each ensemble of some of them, which have no features."""
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        target, source = network.on(self.target), network.source_summary
        started = time.perf_counter()
        results = run_candidates(network.runner, target.tiles.unlabelled(self.seen_tiles), source, CANDIDATES)
        features = features_of(source, results)
        seconds = round(time.perf_counter() - started, 3)
        networks = dict(_as_adapted(target, self.evaluation.tiles, results))
        if self.pictured:
            _draw(target, networks, location, self.key)
        tiles = evenly_spread(target.tiles.labelled, self.scored_tiles)
        rows = [*_candidate_rows(networks, features, tiles), *_ensemble_rows(networks, tiles)]
        estimate = results.proportions_for(CANDIDATES[CORRECTED])
        common = {"network": self.network.key, "iou_source": source.iou, "seconds": seconds}
        common["foreground_estimated"] = 1 - estimate.best.proportions[0]
        common["estimate_is_sure"] = estimate.reason is None
        return [{**row, **common} for row in rows]


def evenly_spread(batches: Batches, count: int) -> Batches:
    """At most so many of the tiles, in one batch after the other."""
    images, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    chosen = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
    return [(images[part], masks[part]) for part in chosen.split(BATCH)]


def _as_adapted(
    target: DomainEvaluation, tiles: int | None, results: CandidateResults
) -> Iterator[tuple[str, CandidateNetwork]]:
    """Every candidate as `adapt` would do it, of as many tiles as it reads."""
    network = target.network
    parts, moments = target.tiles.unlabelled(tiles).split(BATCH), network.source_summary.moments
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
            weights = weigh(torch.stack([balanced_entropy(own) for own in each]))
            return (each * (weights / weights.sum()).view(-1, 1, 1, 1, 1)).sum(0)

        scores = scored(probabilities, tiles)
        yield {"candidate": name, "iou": scores.iou, "foreground": scores.true, "predicted": scores.predicted}


def balanced_entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of (n, K, h, w), every predicted class weighing alike; at least 1e-6."""
    entropy = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(1)
    classes = probabilities.argmax(1)
    by_class = [entropy[classes == label].mean() for label in classes.unique()]
    return torch.stack(by_class).mean().clamp(min=1e-6)


def _draw(target: DomainEvaluation, networks: Mapping[str, CandidateNetwork], location: RunLocation, key: str) -> None:
    item = target.tiles.pictured
    images = item["image"][None]
    predictions = {CANDIDATES[name].label: each.logits(images).argmax(1)[0] for name, each in networks.items()}
    panels = outlined_panels(item, predictions)
    with atomic_write(location.pictures / f"{key}.png") as partial:
        panel_rows(panels).savefig(partial, dpi=80)
