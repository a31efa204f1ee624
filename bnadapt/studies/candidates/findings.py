"""What the records of candidates say before anything is predicted."""

import pandas as pd

from bnadapt.experiments.tables import mean_and_std
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, CORRECTED, NONE
from bnadapt.reports.document import Table

CLEAR = 0.02  # gain or loss of IoU that counts
FEATURE = "feature_"


def scores_by_candidate(table: pd.DataFrame) -> pd.DataFrame:
    """IoU of every record (rows) by every candidate (columns), in the candidates' order; without ensembles."""
    wide = table.pivot_table("iou", "record", "candidate", sort=False)
    return wide[[name for name in CANDIDATES if name in wide]]


def scores_of_ensembles(table: pd.DataFrame) -> pd.DataFrame:
    """IoU of every record (rows) by every ensemble of candidates (columns)."""
    return table[~table["candidate"].isin(CANDIDATES)].pivot_table("iou", "record", "candidate", sort=False)


def candidates_table(table: pd.DataFrame) -> Table:
    """IoU of every candidate by part, of the best of each record (oracle), and of ensembles.

    Means, and their standard deviations over seeds.
    """
    rows = []
    for part, own in table.groupby("part", sort=False):
        seeds = own.drop_duplicates("record").set_index("record")["seed"]
        wide = scores_by_candidate(own)
        wide = wide.assign(oracle=wide.max(axis=1)).join(scores_of_ensembles(own))
        by_seed = wide.groupby(seeds.reindex(wide.index)).mean()
        rows.append([part, str(len(wide)), *(mean_and_std(by_seed[name]) for name in by_seed)])
    names = [*scores_by_candidate(table), "oracle", *scores_of_ensembles(table)]
    return Table(["part", "records", *names], rows)


def sentences(table: pd.DataFrame) -> list[str]:
    """Per part: means, how often adaptation helps and harms, and what the best choice would give."""
    return [sentence for part, own in table.groupby("part", sort=False) for sentence in _of_part(part, own)]


def _of_part(part: str, table: pd.DataFrame) -> list[str]:
    wide = scores_by_candidate(table)
    means, oracle = wide.mean(), wide.max(axis=1)
    gain, corrected = wide[ADAPTED] - wide[NONE], wide[CORRECTED] - wide[NONE]
    best = wide.idxmax(axis=1).value_counts(normalize=True)
    listed = ", ".join(f"{name} {means[name]:.3f}" for name in wide)
    chosen = ", ".join(f"{name} {100 * best.get(name, 0):.0f} %" for name in wide)
    return [
        f"{part}, {len(wide)} records of {table['network'].nunique()} networks: IoU {listed}; the best of each record"
        f" {oracle.mean():.3f}, the better of none and adapted {wide[[NONE, ADAPTED]].max(axis=1).mean():.3f}.",
        f"{part}: plain adaptation helps by more than {CLEAR:g} in {_share(gain > CLEAR)} of the records and harms by"
        f" more in {_share(gain < -CLEAR)}; with estimated class proportions in"
        f" {_share(corrected > CLEAR)} and {_share(corrected < -CLEAR)}.",
        f"{part}: the best candidate is {chosen}.",
    ]


def _share(chosen: pd.Series) -> str:
    return f"{100 * chosen.mean():.0f} %"
