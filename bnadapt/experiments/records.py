"""Records of a study on disk: one JSON file for every case, under the key of its config, whole or not at all."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from bnadapt.experiments.case import Case, TableRow
from bnadapt.files import atomic_write

log = logging.getLogger(__name__)


class Records:
    """The records in a folder.

    Args:
        folder: folder of the records, created with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, case: Case) -> list[TableRow] | None:
        """The rows of a case; None if it has not been measured, or its record is broken, which is reported."""
        path = self._path(case)
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["case"] != case.config:
                raise ValueError("it belongs to another case")
            rows = record["rows"]
            if not (isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows)):
                raise ValueError("it holds no rows")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: is not a record (%s); it is measured again.", path, error)
            return None
        return rows

    def write(self, case: Case, rows: list[TableRow]) -> None:
        """Keep the rows of a case."""
        record = json.dumps({"case": case.config, "rows": _plain(rows)}, allow_nan=False)
        with atomic_write(self._path(case)) as partial:
            partial.write_text(record, encoding="utf-8")

    def _path(self, case: Case) -> Path:
        return self.folder / f"{case.key}.json"


def _plain(value: Any) -> Any:
    """The value with None in place of non-finite numbers, which JSON does not support."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
