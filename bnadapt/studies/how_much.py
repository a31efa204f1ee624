"""How much of the source to keep, in which layers, and from how many and which tiles to estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import curve_panels, heat_map, panels, write_in
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables

WEIGHT, TILES, LAYERS, TILE_SIZE, BATCH_SIZE = "source weight", "tiles", "layers", "tile size", "batch size"
NOTES = {
    TILES: " Where a target has fewer tiles, all of them. More tiles hold those that fewer do.",
    TILE_SIZE: " Their number stays, so that smaller tiles hold fewer pixels.",
}
ALL = "all"
LAYER_CHOICES: dict[str, Mapping[str, Any]] = {
    ALL: {},
    "encoder": {"layers": ["encoder*", "bottleneck*"]},
    "decoder": {"layers": ["decoder*"]},
    "first 4": {"depth": [0, 4]},
    "first 1": {"depth": [0, 1]},
    "last 4": {"depth": [-4, None]},
    "bottleneck": {"layers": ["bottleneck*"]},
    "means only": {"statistics": "mean"},
    "variances only": {"statistics": "variance"},
}


@dataclass(frozen=True)
class Transfer:
    """A source and a target, and how a network is trained and evaluated.

    Args:
        source: domain.
        target: domain.
        training: training of the network.
        evaluation: evaluation of it.
    """

    source: Spec
    target: Spec
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)


@dataclass
class HowMuch(Study):
    """One choice of adaptation at a time, all others as by default: full replacement, all layers, many tiles.

    Args:
        transfers: transfers by name.
        source_weights: effective source weights; 0 replaces all.
        tiles: numbers of tiles to estimate from.
        layers: adapted layers, or statistics, by name; see `LAYER_CHOICES`.
        tile_sizes: sides of the tiles to estimate from.
        batch_sizes: tiles in a batch, which layers are normalised by.
        seeds: seeds of training, and of the draw of tiles.
    """

    name = "how-much"
    title = "How much, in which layers, from how many tiles?"
    question = (
        "Full replacement of all statistics, from many tiles, is one choice among many. What does the gain depend on:"
        " the share of the source that stays, the layers that adapt, the number and size of tiles, the batch size?"
    )

    transfers: Mapping[str, Transfer]
    source_weights: Sequence[float] = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9)
    tiles: Sequence[int] = (1, 2, 4, 8, 16, 32)
    layers: Sequence[str] = tuple(LAYER_CHOICES)
    tile_sizes: Sequence[int] = (64, 96, 128, 192)
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16)
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        self.varied: dict[str, Sequence[Any]] = {
            WEIGHT: sorted(float(weight) for weight in self.source_weights),
            TILES: self.tiles,
            LAYERS: self.layers,
            TILE_SIZE: self.tile_sizes,
            BATCH_SIZE: self.batch_sizes,
        }

    def cases(self) -> list[AdaptationCase]:
        """Every choice for every transfer and seed."""
        return [
            self._case(name, choice, value, seed)
            for name in self.transfers
            for seed in self.seeds
            for choice, values in self.varied.items()
            for value in values
        ]

    def findings(self, tables: Tables) -> list[str]:
        """The safest source weight and layers, and how many tiles are enough."""
        weights, layers, tiles = (_means(tables.table, choice) for choice in (WEIGHT, LAYERS, TILES))
        worst = {choice: means.min() for choice, means in ((WEIGHT, weights), (LAYERS, layers))}
        enough = ", ".join(f"{_enough(tiles.loc[name])} for {name}" for name in self.transfers)
        return [
            "With the smallest gain over all transfers in mind, the safest source weight is"
            f" {worst[WEIGHT].idxmax()} ({worst[WEIGHT].max():+.3f} at worst), the safest layers are"
            f" {worst[LAYERS].idxmax()} ({worst[LAYERS].max():+.3f} at worst).",
            f"Tiles from which on the mean gain is within 0.01 of that with {tiles.columns[-1]}, or all there are:"
            f" {enough}.",
        ]

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """Curves over every choice, and a map over layers."""
        figures = {}
        for choice in (WEIGHT, TILES, TILE_SIZE, BATCH_SIZE):
            figures[choice.replace(" ", "-")] = StudyFigure(
                f"IoU over the {choice}",
                f"Foreground IoU on the target over the {choice}, all else by default.{NOTES.get(choice, '')} Bands"
                " are one standard deviation over seeds.",
                self._draw_curves(tables.table, choice),
            )
        figures[LAYERS] = StudyFigure(
            "Which layers",
            "Gain in IoU, mean over seeds, where only some layers, or only means or variances, adapt.",
            self._draw_layers(tables.table),
        )
        return figures

    def _case(self, name: str, choice: str, value: Any, seed: int) -> AdaptationCase:
        transfer = self.transfers[name]
        network = SourceNetwork(transfer.training, transfer.source, seed)
        labels = {"transfer": name, "varied": choice, "value": str(value), "seed": seed}
        policy, evaluation = _with_choice(choice, value, transfer.evaluation)
        return AdaptationCase(network, transfer.target, evaluation, labels, policy=policy, draw=seed)

    def _draw_curves(self, table: pd.DataFrame, choice: str) -> Figure:
        rows = table[table["varied"] == choice].assign(value=lambda rows: pd.to_numeric(rows["value"]))
        parts = {name: rows[rows["transfer"] == name] for name in self.transfers}
        figure, axes = curve_panels(parts, "value", 4, even=True)
        for panel in axes:
            panel.set_xlabel(choice, fontsize=7)
        return figure

    def _draw_layers(self, table: pd.DataFrame) -> Figure:
        means = _means(table, LAYERS)[list(self.varied[LAYERS])]
        figure, (panel,) = panels(1, 1, (1.5 + 0.75 * means.shape[1], 0.8 + 0.45 * len(means)))
        limit = max(0.1, float(means.abs().max().max()))
        figure.colorbar(heat_map(panel, means, (-limit, limit), "coolwarm"), ax=panel)
        write_in(panel, means)
        panel.tick_params(axis="x", rotation=30)
        return figure


def _with_choice(choice: str, value: Any, evaluation: Evaluation) -> tuple[Mapping[str, Any], Evaluation]:
    """Policy and evaluation with one choice of a value."""
    if choice == WEIGHT:
        return {"source_weight": value}, evaluation
    if choice == LAYERS:
        return LAYER_CHOICES[value], evaluation
    field = {TILES: "tiles", TILE_SIZE: "adaptation_tile_size", BATCH_SIZE: "batch_size"}[choice]
    return {}, replace(evaluation, **{field: value})


def _means(table: pd.DataFrame, choice: str) -> pd.DataFrame:
    """Mean gain over seeds: transfers by values, in the order of the cases."""
    rows = table[table["varied"] == choice]
    means = rows.groupby(["transfer", "value"], sort=False)["gain"].mean().unstack()
    return means.loc[list(dict.fromkeys(rows["transfer"])), list(dict.fromkeys(rows["value"]))]


def _enough(gains: pd.Series) -> str:
    """The smallest number from which on all gains are within 0.01 of the last one."""
    near = ((gains - gains.iloc[-1]).abs() <= 0.01)[::-1].cummin()[::-1]
    return str(near.idxmax())
