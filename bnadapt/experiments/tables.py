"""The tables of a study: one row per record, and the distances of all records.

`table.parquet` has the study's labels (which identify cases: source, target, shift, severity, seed, ...), then

| column | what |
| --- | --- |
| `iou_source` | foreground IoU of the source network on its source's test block |
| `iou_unadapted`, `iou_adapted` | of the target's test block, without and with adaptation |
| `gain` | their difference |
| `foreground_source`, `foreground` | share of foreground pixels in the test blocks of source and target |
| `foreground_unadapted`, `foreground_adapted` | share of the target's pixels that are predicted as foreground |
| `tiles`, `seconds` | that adaptation read, and took |
| `network` | key of the source network, which records of one network share |
| `record` | key of the record |

and whatever else the study's cases give. `distances.parquet` has `record`, `state` (`noise_floor`, `unadapted`,
`adapted`), `layer`, `depth` (its index along the network), `measure` and `value`; see `bnadapt.distances`.

The study of class proportions has further scores (`iou_mixed`, ..., see `ROWS` in
bnadapt/studies/proportions/case.py), and the share of foreground that is estimated without labels
(`foreground_estimated`). Older tables have more columns than these, in every study.

The comparison of methods has a record per method, direction and seed, and a `row` for everything that is done
afterwards:

| column | what |
| --- | --- |
| `iou`, `dice`, `iou_source`, `dice_source` | of the foreground, on the test blocks of target and source |
| `seconds_training`, `seconds_adaptation` | that it took |
| `target_crops`, `target_tiles` | images of the target that training and adaptation have read |
| `parameters` | of the network that segments |
| `failed` | why it could not be measured, where it could not |

The study of candidates has a record per source network and target, and a row for every `candidate`: its `iou` on the
target's test block, and its label-free features `feature_...` (see `FEATURES` in
bnadapt/gain/features.py); `part` is `real` or `synthetic`, `family` the kind of target,
`seconds` what all candidates and features of the record took.

The study `verdict` has no records of its own. Its `table.parquet` has a row per real record of the candidates,
`candidate` and `scheme` (what the fit has not seen), with the `true_gain` over no adaptation, the one that is
`predicted` (of candidates that leave images as they are), the probability that bright and dark are `exchanged`, the
`inverted_consistency` of predictions on inverted images, the `adapted_width` of what is predicted after adaptation, the
IoU after self-training (`self_trained`), and the tissue or laboratory of source and target (`source_origin`,
`target_origin`). Rows of the scheme `learning curve` are predictions by fits to records of some tissues and
laboratories (`origins`, their number), one `draw` of these, with the synthetic records (`with_synthetic`) or without.

The study of labels has a record per source network, target, `start` (`none`, `adapted`, `scratch`), number of labelled
`tiles` (-1 for all of the train block), `draw` and `choice` of them (`random`, `proposed`), and what is learnt
(`learn`; `statistics` without a label), with the `iou`, the `labelled_tiles` that there were, and `seconds` of
processor time.

The study of self-training has a record per source network, target, `start` (the candidate that it starts from) and
`method` (`statistics` learns nothing), with the `iou`, the `foreground` that there is and that is `predicted`, and
`seconds` of processor time.

The study of latent spaces has no records. Its `table.parquet` has a row per `part` (a study's records, or some of
them), `state`, `layer`, `depth`, `measure` and `score` (`iou_unadapted`, `iou_adapted`, `gain`):

| column | what |
| --- | --- |
| `n` | records |
| `spearman`, `low`, `high` | rank correlation of distance and score, and its 95 % interval over source networks |
| `kendall`, `kendall_low`, `kendall_high` | tau-b; intervals only of the dozen closest |
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, TableRow

DISTANCES = ["record", "state", "layer", "depth", "measure", "value"]


class Tables(NamedTuple):
    """The measurements of a study.

    Attributes:
        table: a row per record.
        distances: a row per record, state, latent space and measure; possibly empty.
    """

    table: pd.DataFrame
    distances: pd.DataFrame = pd.DataFrame(columns=DISTANCES)

    @classmethod
    def of(cls, measured: Iterable[tuple[Case, Sequence[TableRow]]]) -> "Tables":
        """Build the tables from cases and their rows."""
        rows, distances = [], []
        for case, measured_rows in measured:
            key = case.key
            for row in measured_rows:
                rows.append({**case.labels, **{k: v for k, v in row.items() if k != "distances"}, "record": key})
                distances += [
                    (key, state, layer, depth, measure, value)
                    for state, layers in row.get("distances", {}).items()
                    for depth, (layer, measures) in enumerate(layers.items())
                    for measure, value in measures.items()
                ]
        long = pd.DataFrame(distances, columns=DISTANCES).astype({"value": "float32", "depth": "int16"})
        return cls(pd.DataFrame(rows), _categorical(long))

    @classmethod
    def read(cls, folder: Path) -> "Tables":
        """Read the tables that `write` has written.

        Raises:
            InputError: a table is missing or broken.
        """
        table, distances = folder / "table.parquet", folder / "distances.parquet"
        if not table.exists():
            raise InputError(f"{table}: does not exist; run the study, or give the folder of one.")
        return cls(_read(table), _read(distances)) if distances.exists() else cls(_read(table))

    def write(self, folder: Path) -> None:
        """Write `table.parquet` and, if there are any distances, `distances.parquet`."""
        self.table.to_parquet(folder / "table.parquet", index=False)
        if len(self.distances):
            self.distances.to_parquet(folder / "distances.parquet", index=False, compression="zstd")


def mean_and_std(values: pd.Series, signed: bool = False) -> str:
    """Mean and, for several values, sample standard deviation, as text."""
    mean = f"{values.mean():+.3f}" if signed else f"{values.mean():.3f}"
    return f"{mean} ± {values.std():.3f}" if len(values) > 1 else mean


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run the study again.") from error


def _categorical(distances: pd.DataFrame) -> pd.DataFrame:
    """Names as categories, which take a hundredth of the space."""
    return distances.astype(dict.fromkeys(["record", "state", "layer", "measure"], "category"))
