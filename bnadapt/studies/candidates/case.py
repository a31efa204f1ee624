"""A source network on a target: what every candidate gives, and what can be seen of it without labels."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnadapt.experiments.case import Case, RunLocation, TableRow
from bnadapt.experiments.evaluation import DomainEvaluation, Evaluation, Scores, cached_network, scored
from bnadapt.experiments.networks import SourceNetwork
from bnadapt.experiments.specs import Spec
from bnadapt.files import atomic_write
from bnadapt.gain import Treated, Trials, features_of, try_all
from bnadapt.gain.candidates import NONE
from bnadapt.reports.panels import classes_panel, image_panel, panel_row
from bnadapt.studies.candidates.reverse import ReverseClassifier

REVERSE = "reverse_iou"
BATCH = 8
Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class CandidateCase(Case):
    """A source network on a target, treated by every candidate.

    Args:
        network: the source network.
        target: the domain.
        evaluation: how to score; its `tiles` are what the features are of.
        labels: see `Case`.
        scored_tiles: of the test block that candidates are scored on, evenly spread, at most.
        pictured: whether to keep a picture of the first test tile under every candidate.
    """

    network: SourceNetwork
    target: Spec
    evaluation: Evaluation
    labels: Mapping[str, Any]
    scored_tiles: int = 16
    pictured: bool = False

    @property
    def needs(self) -> SourceNetwork:
        """The source network."""
        return self.network

    def measure(self, location: RunLocation) -> list[TableRow]:
        """A row for every candidate."""
        network = cached_network(self.network, location.networks, self.evaluation, location.device)
        target, source = network.on(self.target), network.source_summary
        started = time.perf_counter()
        trials = try_all(network.runs, target.tiles.unlabelled(self.evaluation.tiles), source)
        features = features_of(source, trials)
        seconds = round(time.perf_counter() - started, 3)
        if self.pictured:
            _draw(target, trials, location, self.key)
        common = {"network": self.network.key, "iou_source": source.iou, "seconds": seconds}
        tiles = evenly_spread(target.tiles.labelled, self.scored_tiles)
        return [{**row, **common} for row in _rows(target, tiles, trials, features)]


def evenly_spread(batches: Batches, count: int) -> Batches:
    """At most so many of the tiles, in one batch after the other."""
    images, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    chosen = torch.linspace(0, len(images) - 1, min(count, len(images))).round().long()
    return [(images[part], masks[part]) for part in chosen.split(BATCH)]


def _rows(
    target: DomainEvaluation, tiles: Batches, trials: Trials, features: Mapping[str, Mapping[str, float]]
) -> list[TableRow]:
    seen = trials.treated[NONE].seen.images
    reverse = ReverseClassifier(seen, *target.network.source.tiles.held_out)
    rows = []
    for name, treated in trials.treated.items():
        scores = _scores(target, treated, tiles)
        row = {"candidate": name, "iou": scores.iou, "foreground": scores.true}
        row[REVERSE] = reverse.iou(treated.seen.classes)
        rows.append(row | {f"feature_{feature}": round(value, 6) for feature, value in features[name].items()})
    return rows


def _scores(target: DomainEvaluation, treated: Treated, tiles: Batches) -> Scores:
    with treated.bank.applied(target.network.network):
        return scored(treated.runs.forward, tiles)


def _draw(target: DomainEvaluation, trials: Trials, location: RunLocation, key: str) -> None:
    images, masks = target.tiles.labelled[0]
    panels = {"image": image_panel(images[0]), "mask": classes_panel(masks[0].numpy())}
    for name, treated in trials.treated.items():
        with treated.bank.applied(target.network.network):
            panels[name] = classes_panel(treated.runs.forward(images[:1]).argmax(1)[0].cpu().numpy())
    with atomic_write(location.pictures / f"{key}.png") as partial:
        panel_row(panels).savefig(partial, dpi=50)
