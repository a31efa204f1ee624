"""`bnadapt.recommend`: whether and how to adapt a network to a target, and whether that helps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnadapt.actions.recommend import Judgement
from bnadapt.adaptation import SCANNED_TILES, Recipe
from bnadapt.api.adapted_network import AdaptedNetwork, adapted, class_moments
from bnadapt.api.inputs import Network, SourceModel, stacked
from bnadapt.data import InputChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, Expectation, SourceSummary, judge, summarise_source
from bnadapt.gain.alarms import Alarm
from bnadapt.gain.observation import logits_under
from bnadapt.gain.source_summary import SUMMARY_TILES
from bnadapt.reports.verdict_page import tiles_figure

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False, repr=False)
class Recommendation(Judgement):
    """What to do with a target, and whether that helps.

    Attributes:
        model: the network.
        verdict: the choice among candidates, and what it rests on.
        results: results of all candidates.
        summary: summary of the source.
    """

    model: SourceModel

    @property
    def choice(self) -> str:
        """Name of the recommended candidate, such as `adapted`."""
        return self.verdict.choice

    @property
    def sentence(self) -> str:
        """What to do, whether it helps, and how certain that is."""
        return self.verdict.sentence()

    @property
    def gain(self) -> float | None:
        """Expected foreground IoU of the choice minus that without adaptation; None if it inverts images."""
        return self.verdict.gain

    @property
    def abstains(self) -> bool:
        """Whether it is unknown if the choice helps."""
        return self.verdict.abstains

    @property
    def expected(self) -> Mapping[str, Expectation]:
        """Gain of foreground IoU over no adaptation, by candidate that keeps images unchanged."""
        return self.verdict.expected

    @property
    def alarms(self) -> Sequence[Alarm]:
        """What a person should check first."""
        return self.verdict.alarms

    def table(self) -> "DataFrame":
        """A row per candidate: what it does, its expected gain with a 90 % interval, and whether it is familiar."""
        from pandas import DataFrame

        rows = {name: {"action": CANDIDATES[name].title, **asdict(each)} for name, each in self.expected.items()}
        return DataFrame.from_dict(rows, orient="index")

    def plot(self) -> Figure:
        """The same tiles under every candidate."""
        return tiles_figure(self.verdict, self.results)

    def adapt(self, images: Any, settings: Recipe | None = None) -> AdaptedNetwork:
        """Adapt the network as recommended; see `bnadapt.adapt`.

        Args:
            images: images of the target.
            settings: with `propagation` and `until`; policy and class proportions are the recommended ones.
        """
        recipe = self.recipe(settings or Recipe())
        return adapted(self.model, images, recipe, self.summary.moments, self.change)

    def __repr__(self) -> str:
        warnings = f" Look first at: {', '.join(each.name for each in self.alarms)}." if self.alarms else ""
        return f"{type(self).__name__}({self.choice}: {self.sentence}{warnings})"


def recommend(network: Network, source: Any, target: Any, *, tiles: int = SCANNED_TILES) -> Recommendation:
    """Say whether and how to adapt a network of two classes to a target, and whether that helps, without its labels.

    Args:
        network: a `torch.nn.Module` that returns logits, a task of bnadapt, or the path of a checkpoint. It is left
            unchanged.
        source: images of the source with masks, best ones not trained on; see `bnadapt.api.inputs`. None takes the
            summary in a checkpoint of bnadapt.
        target: images of the target, in random order.
        tiles: number of tiles of the target: drawn from files, or the first ones.

    Raises:
        BnadaptError: images cannot be used, nothing is known of the source, or the network does not return logits of
            two classes.
    """
    if tiles < 1:
        raise InputError(f"recommend: tiles is {tiles}; give at least 1.")
    model = SourceModel.of(network)
    images = stacked(model.batches(target, count=tiles, change=InputChange()), tiles, "the target")
    _check_classes(model, images)
    summary = model.source_summary if source is None else _summary(model, source)
    if summary is None:
        raise InputError(
            "recommend: the network comes without a summary of its source; give images of the source with masks, or a"
            " checkpoint that `bnadapt source_summary` has seen."
        )
    verdict, results = judge(model.runner(), images, summary)
    return Recommendation(verdict, results, summary, model)


def _check_classes(model: SourceModel, images: Tensor) -> None:
    classes = logits_under(model.runner(), images[:1]).shape[1]
    if classes != 2:
        raise InputError(f"recommend: the network has {classes} classes; its predictions rest on networks of two.")


def _summary(model: SourceModel, source: Any) -> SourceSummary:
    labelled = model.labelled(source)
    moments = class_moments(model, labelled.training)
    held_out = list(labelled.held_out)
    images = stacked(held_out, SUMMARY_TILES, "the source")
    masks = torch.cat([batch["mask"] for batch in held_out])
    return summarise_source(model.runner(), images, masks, moments)
