"""A source against itself under image shifts of growing severity."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.figure import Figure

from bnadapt.data.image_shifts import SHIFTS, named_shift
from bnadapt.errors import InputError
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plots import curve_panels, heat_map, panels, write_in
from bnadapt.experiments.specs import Spec
from bnadapt.experiments.study import Study, StudyFigure
from bnadapt.experiments.tables import Tables

NONE = "none"
CLEAR = 0.05


@dataclass(frozen=True)
class ShiftedSource:
    """A source, how a network is trained on it, and how it is evaluated.

    Args:
        domain: its images.
        training: training of its network.
        evaluation: evaluation of it.
        without: shifts that make no sense for it.
    """

    domain: Spec
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    without: Sequence[str] = ()


@dataclass
class ImageShifts(Study):
    """Networks meet their own source's test images, shifted; the shifted training images are what adaptation reads.

    Args:
        sources: sources by name.
        shifts: names, see `bnadapt.data.image_shifts.SHIFTS`; all that need no colour by default.
        severities: severities of shifts by name, where they are not to be those of `SHIFTS`.
        seeds: seeds of training and of what is random in a shift.

    Raises:
        InputError: a shift is not known, has no severity, or a source leaves out all of them.
    """

    name = "image-shifts"
    title = "Image shifts: which of them does adaptation correct?"
    question = (
        "Networks are trained on a source and meet the same source again under one transformation of growing severity:"
        " of brightness, of sharpness, of noise, of geometry, and as electron microscopes do it. Nothing else differs,"
        " so what adaptation gains or loses is due to that transformation. Adaptation reads the transformed images of"
        " the training block, scores are of the test block."
    )

    sources: Mapping[str, ShiftedSource]
    shifts: Sequence[str] | None = None
    severities: Mapping[str, Sequence[float]] | None = None
    seeds: Sequence[int] = (1, 2, 3)

    def __post_init__(self) -> None:
        requested = self.severities or {}
        self.shifts = self.shifts or [name for name, shift in SHIFTS.items() if not shift.needs_colour]
        self.severities = {name: requested.get(name, named_shift(name).severities) for name in self.shifts}
        self._check(requested)

    def cases(self) -> list[AdaptationCase]:
        """Every source without a shift, and under every shift in every severity, with every seed."""
        return [
            self._case(name, shift, level, severity, seed)
            for name, source in self.sources.items()
            for seed in self.seeds
            for shift, level, severity in [(NONE, 0, 0.0), *self._shifted(source)]
        ]

    def findings(self, tables: Tables) -> list[str]:
        """Under which shifts adaptation gains clearly, and where it harms."""
        shifted = tables.table[tables.table["shift"] != NONE]
        gains = shifted.groupby(["shift", "source"])["gain"].mean().groupby("shift").mean().sort_values()
        return [
            f"Adaptation gains more than {CLEAR} IoU, mean over severities and {len(self.sources)}"
            f" source{'s' if len(self.sources) > 1 else ''}, under {_listed(gains[gains > CLEAR][::-1])}; it costs as"
            f" much under {_listed(gains[gains < -CLEAR])}."
        ]

    def figures(self, tables: Tables) -> dict[str, StudyFigure]:
        """A map of gains over all shifts, and curves over severity for every source."""
        figures = {
            "gain": StudyFigure(
                "The gain",
                "IoU with minus without adaptation, mean over seeds, for every shift from slight (1) to strong (5)."
                " Level 0 is the source as it is.",
                self._draw_gain(tables.table),
            )
        }
        for source in self.sources:
            figures[f"curves-{source}"] = StudyFigure(
                f"{source}: IoU over severity",
                "Foreground IoU on the shifted source; severities are in the unit named below, and apply to"
                " images as they are stored, before they are resampled to the network's pixel size. Bands are one"
                " standard deviation over seeds.",
                self._draw_curves(tables.table, source),
            )
        return figures

    def _check(self, severities: Mapping[str, Sequence[float]]) -> None:
        for name in (*severities, *(each for source in self.sources.values() for each in source.without)):
            named_shift(name)
        if empty := [name for name, levels in self.severities.items() if not len(levels)]:
            raise InputError(f"study.severities: {empty[0]} has none; give at least one, or leave the shift out.")
        if bare := [name for name, source in self.sources.items() if not self._of(source)]:
            raise InputError(f"study.sources: {bare[0]} leaves out every shift of study.shifts; keep at least one.")

    def _of(self, source: ShiftedSource) -> list[str]:
        return [shift for shift in self.shifts if shift not in source.without]

    def _shifted(self, source: ShiftedSource) -> Iterator[tuple[str, int, float]]:
        """Every shift of a source with its levels, from 1 on, and severities."""
        for shift in self._of(source):
            yield from ((shift, level, float(by)) for level, by in enumerate(self.severities[shift], start=1))

    def _case(self, name: str, shift: str, level: int, severity: float, seed: int) -> AdaptationCase:
        source = self.sources[name]
        network = SourceNetwork(source.training, source.domain, seed)
        labels = {"source": name, "shift": shift, "level": level, "severity": severity, "seed": seed}
        target = {"class": "Shifted", "domain": source.domain, "severity": severity, "seed": seed}
        target["shift"] = shift if level else self._of(source)[0]  # severity 0 of any of them
        return AdaptationCase(network, target, source.evaluation, labels)

    def _draw_gain(self, table: pd.DataFrame) -> Figure:
        names = list(self.sources)
        figure, axes = panels(len(names), len(names), (2.9, 0.8 + 0.28 * len(self.shifts)))
        for panel, source in zip(axes, names, strict=True):
            rows = table[(table["source"] == source) & (table["shift"] != NONE)]
            values = rows.pivot_table("gain", index="shift", columns="level", aggfunc="mean")
            values = values.reindex(self._of(self.sources[source])[::-1])
            image = heat_map(panel, values, (-1, 1), "coolwarm")
            write_in(panel, values)
            before = table[(table["source"] == source) & (table["shift"] == NONE)]
            panel.set_title(f"{source} (level 0: {before.gain.mean():+.2f})", fontsize=9)
        figure.colorbar(image, ax=axes, shrink=0.5)
        return figure

    def _draw_curves(self, table: pd.DataFrame, source: str) -> Figure:
        group = table[table["source"] == source]
        parts = {shift: group[group["shift"].isin([NONE, shift])] for shift in self._of(self.sources[source])}
        figure, axes = curve_panels(parts, "severity", 5, even=True)
        for panel, shift in zip(axes, parts, strict=True):
            panel.set_xlabel(SHIFTS[shift].unit, fontsize=7)
        return figure


def _listed(gains: pd.Series) -> str:
    return ", ".join(f"{shift} ({gain:+.2f})" for shift, gain in gains.items()) or "none"
