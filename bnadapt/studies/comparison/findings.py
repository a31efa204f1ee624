"""Findings from the table of the comparison, and its figure."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnadapt.experiments.plots import heat_map, panels, write_in
from bnadapt.experiments.specs import REAL
from bnadapt.experiments.tables import mean_and_std
from bnadapt.reports.document import Table
from bnadapt.studies.comparison.methods import ADABN, PUBLISHED, row_name
from bnadapt.studies.pairing import PAIR
from bnadapt.text import counted

BASE, REFERENCE, CEILING = "U-Net", row_name("U-Net", ADABN), "target-trained"
DRAWS = 2000  # of the bootstrap


def comparison_table(table: pd.DataFrame) -> Table:
    """A row for every method: scores, difference from BatchNorm adaptation, cost; the published numbers beside it."""
    rows = [_row(name, group, table) for name, group in rows_of(table).items()]
    return Table(list(rows[0]) if rows else [], [list(row.values()) for row in rows])


def real(table: pd.DataFrame) -> pd.DataFrame:
    """The directions between real data sets; all where there are none."""
    rows = table[table["part"] == REAL]
    return rows if len(rows) else table


def rows_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The measurements of every row of the table, in the order of the config, without failed ones."""
    scored = table.dropna(subset=["iou"])
    return {name: scored[scored["row"] == name] for name in dict.fromkeys(scored["row"])}


def difference(table: pd.DataFrame, name: str, reference: str = REFERENCE) -> pd.Series:
    """IoU of a row minus that of another, paired by direction and seed."""
    keys = [*PAIR, "seed"]
    scores, baseline = (table[table["row"] == each].set_index(keys)["iou"] for each in (name, reference))
    return (scores - baseline).dropna()


def interval(differences: pd.Series) -> tuple[float, float]:
    """95 % interval of a mean over directions and seeds, by a bootstrap of directions and of seeds within them.

    Args:
        differences: indexed by direction and seed.
    """
    generator = np.random.default_rng(0)
    groups = [rows.to_numpy() for _, rows in differences.groupby(level=PAIR)]
    means = []
    for _ in range(DRAWS):
        sample = [groups[index] for index in generator.integers(len(groups), size=len(groups))]
        means.append(np.mean([generator.choice(each, len(each)).mean() for each in sample]))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def clear_directions(differences: pd.Series) -> tuple[int, int]:
    """Directions with a mean over seeds two standard errors above zero, and below it; none for one seed."""
    groups = differences.groupby(level=PAIR)
    error = 2 * groups.std() / np.sqrt(groups.size())
    return int((groups.mean() > error).sum()), int((groups.mean() < -error).sum())


def sentences(table: pd.DataFrame) -> list[str]:
    """The mean IoU of the rows that matter, and what failed."""
    means = table.groupby("row", sort=False)["iou"].mean().dropna().sort_values(ascending=False)
    best = [name for name in means.index if name != CEILING][:1]
    names = [name for name in dict.fromkeys([*best, BASE, REFERENCE, CEILING]) if name in means]
    listed = ", ".join(f"{name} {means[name]:.3f}" for name in names)
    best_first = ", the best without labels of the target first" if best else ""
    directions = counted(table.groupby(PAIR).ngroups, "direction")
    return [f"Mean IoU over {directions}{best_first}: {listed}.", *_failures(table)]


def _row(name: str, rows: pd.DataFrame, table: pd.DataFrame) -> dict[str, str]:
    by_seed = rows.groupby("seed")
    differences = difference(table, name)
    base = table[table["row"] == BASE]
    extra = rows["seconds_training"].mean() + rows["seconds_adaptation"].mean() - base["seconds_training"].mean()
    gained = 100 * difference(table, name, BASE).mean() if len(base) else np.nan
    worth = name not in (BASE, CEILING) and gained > 0 and extra > 0
    apart, directions = ("", "") if name == REFERENCE or differences.empty else _compared(differences)
    return {
        "method": name,
        "IoU target": mean_and_std(by_seed["iou"].mean()),
        "Dice target": mean_and_std(by_seed["dice"].mean()),
        f"minus {REFERENCE} [95 %]": apart,
        "better / worse in": directions,
        "IoU source": mean_and_std(by_seed["iou_source"].mean()),
        "training [s]": "" if rows["seconds_training"].isna().all() else f"{rows['seconds_training'].mean():.0f}",
        "adaptation [s]": f"{rows['seconds_adaptation'].mean():.1f}",
        "s per point": f"{extra / gained:.1f}" if worth else "",
        "target images": f"{rows['target_crops'].mean() + rows['target_tiles'].mean():.0f}",
        "parameters": f"{rows['parameters'].iloc[0] / 1e6:.2f} M",
        "published": " / ".join(f"{score:.3f}" for score in PUBLISHED.get(name, ())),
    }


def _compared(differences: pd.Series) -> tuple[str, str]:
    if len(differences) == 1:
        return f"{differences.mean():+.3f}", ""
    wins, losses = clear_directions(differences)
    low, high = interval(differences)
    of_directions = f"{wins} / {losses} of {differences.groupby(level=PAIR).ngroups}"
    return f"{differences.mean():+.3f} [{low:+.3f}, {high:+.3f}]", of_directions


def _failures(table: pd.DataFrame) -> list[str]:
    """What failed, and why the first one did."""
    if "failed" not in table or table["failed"].isna().all():
        return []
    failed = table.dropna(subset=["failed"])
    return [
        f"{name} failed in {len(rows)} of {(table['row'] == name).sum()} cases: {rows['failed'].iloc[0]}"
        for name, rows in failed.groupby("row", sort=False)
    ]


def draw_directions(table: pd.DataFrame) -> Figure:
    """Mean IoU over seeds of every method (rows) in every direction (columns), with numbers."""
    means = table.pivot_table("iou", "row", PAIR, sort=False).reindex(list(rows_of(table)))[::-1]
    means.columns = [f"{source}\n-> {target}\n({task})" for task, source, target in means.columns]
    figure, (panel,) = panels(1, 1, (2.2 + 1.05 * means.shape[1], 0.9 + 0.26 * len(means)))
    heat_map(panel, means, (0, 1), "viridis")
    write_in(panel, means)
    return figure
