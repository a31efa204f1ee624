"""Findings from the table of the comparison."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bnadapt.experiments.specs import REAL
from bnadapt.experiments.tables import mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.comparison.methods import ADABN, PUBLISHED, row_name

BASE, REFERENCE, CEILING = "U-Net", row_name("U-Net", ADABN), "target-trained"
DIRECTION = ["task", "source", "target"]
DRAWS = 2000  # of the bootstrap


def comparison_table(table: pd.DataFrame) -> Table:
    """A row for every method: scores, difference from BatchNorm adaptation, cost; the published numbers beside it."""
    rows = [_row(name, group, table) for name, group in rows_of(table).items()]
    columns = [
        "method",
        "IoU target",
        "Dice target",
        f"minus {REFERENCE} [95 %]",
        "better / worse in",
        "IoU source",
        "training [s]",
        "adaptation [s]",
        "s per point",
        "target images",
        "parameters",
        "published",
    ]
    return Table(columns, rows)


def real(table: pd.DataFrame) -> pd.DataFrame:
    """The directions between real data sets; all where there are none."""
    rows = table[table["part"] == REAL]
    return rows if len(rows) else table


def synthetic(table: pd.DataFrame) -> pd.DataFrame:
    """The directions that `real` leaves out."""
    return table.drop(real(table).index)


def by_direction(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The measurements of every direction."""
    yield from table.groupby(DIRECTION, sort=False)


def of_direction(rows: pd.DataFrame) -> str:
    """The best and the worst row of a direction, besides no adaptation and training on the target."""
    means = rows.groupby("row", sort=False)["iou"].mean()
    spread = rows[rows["row"] == BASE].groupby("row")["iou"].std().get(BASE, np.nan)
    others = means.drop([BASE, CEILING], errors="ignore")
    base = f"{BASE} {means[BASE]:.3f}" + ("" if np.isnan(spread) else f" ± {spread:.3f} over seeds")
    ceiling = f", {CEILING} {means[CEILING]:.3f}" if CEILING in means else ""
    direction = _named(tuple(rows[DIRECTION].iloc[0]))
    return (
        f"{direction}: {base}{ceiling}; of all others the best is {others.idxmax()} with {others.max():.3f}, the worst"
        f" {others.idxmin()} with {others.min():.3f}."
    )


def rows_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The measurements of every row of the table, in the order of the config, without failed ones."""
    scored = table.dropna(subset=["iou"])
    return {name: scored[scored["row"] == name] for name in dict.fromkeys(scored["row"])}


def difference(table: pd.DataFrame, name: str, reference: str = REFERENCE) -> pd.Series:
    """IoU of a row minus that of another, paired by direction and seed."""
    keys = [*DIRECTION, "seed"]
    one, other = (table[table["row"] == each].set_index(keys)["iou"] for each in (name, reference))
    return (one - other).dropna()


def interval(differences: pd.Series) -> tuple[float, float]:
    """95 % interval of a mean over directions and seeds, by a bootstrap of directions and of seeds within them.

    Args:
        differences: indexed by direction and seed.
    """
    generator = np.random.default_rng(0)
    groups = [rows.to_numpy() for _, rows in differences.groupby(level=DIRECTION)]
    means = []
    for _ in range(DRAWS):
        drawn = [groups[index] for index in generator.integers(len(groups), size=len(groups))]
        means.append(np.mean([generator.choice(each, len(each)).mean() for each in drawn]))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def clear_directions(differences: pd.Series) -> tuple[int, int]:
    """Directions whose mean over seeds is two standard errors above zero, and below it; one seed has none."""
    groups = differences.groupby(level=DIRECTION)
    error = 2 * groups.std() / np.sqrt(groups.size())
    return int((groups.mean() > error).sum()), int((groups.mean() < -error).sum())


def sentences(table: pd.DataFrame) -> list[str]:
    """Where each wins, ties and loses against BatchNorm adaptation; what is forgotten; what failed."""
    if not (table["row"] == REFERENCE).any():
        return [f"Without the row {REFERENCE} there is nothing to compare with."]
    methods = table["method"].unique()
    said = [_against_reference(name, table) for name in rows_of(table) if name in methods]
    return [*said, _forgotten(table), _asymmetry(table), *_failures(table)]


def _row(name: str, rows: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    by_seed = rows.groupby("seed")
    differences = difference(table, name)
    base = table[table["row"] == BASE]
    extra = rows["seconds_training"].mean() + rows["seconds_adaptation"].mean() - base["seconds_training"].mean()
    gained = 100 * difference(table, name, BASE).mean() if len(base) else np.nan
    worth = name not in (BASE, CEILING) and gained > 0 and extra > 0
    return [
        name,
        mean_and_std(by_seed["iou"].mean()),
        mean_and_std(by_seed["dice"].mean()),
        *(("", "") if name == REFERENCE or differences.empty else _compared(differences)),
        mean_and_std(by_seed["iou_source"].mean()),
        f"{rows['seconds_training'].mean():.0f}",
        f"{rows['seconds_adaptation'].mean():.1f}",
        f"{extra / gained:.1f}" if worth else "",
        f"{rows['target_crops'].mean() + rows['target_tiles'].mean():.0f}",
        f"{rows['parameters'].iloc[0] / 1e6:.2f} M",
        " / ".join(f"{score:.3f}" for score in PUBLISHED.get(name, ())),
    ]


def _compared(differences: pd.Series) -> tuple[str, str]:
    wins, losses = clear_directions(differences)
    return _with_interval(differences), f"{wins} / {losses} of {differences.groupby(level=DIRECTION).ngroups}"


def _with_interval(differences: pd.Series) -> str:
    low, high = interval(differences)
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def _against_reference(name: str, table: pd.DataFrame) -> str:
    differences = difference(table, name)
    means = differences.groupby(level=DIRECTION, sort=False).mean()
    wins, losses = clear_directions(differences)
    best, worst = means.idxmax(), means.idxmin()
    return (
        f"{name}: {_with_interval(differences)} against {REFERENCE}; of {len(means)} directions better in {wins},"
        f" worse in {losses} by more than two standard errors over seeds; best in {_named(best)}"
        f" ({means[best]:+.3f}), worst in {_named(worst)} ({means[worst]:+.3f})."
    )


def _forgotten(table: pd.DataFrame) -> str:
    base = table.loc[table["row"] == BASE, "iou_source"].mean()
    listed = ", ".join(
        f"{name} {rows['iou_source'].mean():.3f}"
        for name, rows in rows_of(table).items()
        if rows["iou_source"].mean() < base - 0.1 and name != CEILING
    )
    return f"On the source's own test block the {BASE} has {base:.3f}; more than 0.1 below it are: {listed or 'none'}."


def _asymmetry(table: pd.DataFrame) -> str:
    """The two directions whose gain by BatchNorm adaptation differs most."""
    gains = difference(table, REFERENCE, BASE).groupby(level=DIRECTION, sort=False).mean()
    if len(gains) < 2:
        return "A single direction does not tell how much directions differ."
    best, worst = gains.idxmax(), gains.idxmin()
    return (
        f"{REFERENCE} gains most in {_named(best)} ({gains[best]:+.3f}) and least in {_named(worst)}"
        f" ({gains[worst]:+.3f})."
    )


def _failures(table: pd.DataFrame) -> list[str]:
    """What failed, and why the first one did."""
    if "failed" not in table or table["failed"].isna().all():
        return []
    failed = table.dropna(subset=["failed"])
    return [
        f"{name} failed in {len(rows)} of {(table['row'] == name).sum()} cases: {rows['failed'].iloc[0]}"
        for name, rows in failed.groupby("row", sort=False)
    ]


def _named(direction: tuple[str, str, str]) -> str:
    task, source, target = direction
    return f"{source} -> {target} ({task})"
