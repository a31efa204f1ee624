"""The pages in docs/studies say what the code says of the tables beside them."""

from pathlib import Path

import pytest

from bnadapt.commands.study import study_class
from bnadapt.commands.study_config import read_config
from bnadapt.experiments.tables import Tables
from bnadapt.reports.document import Answer, Bullets

DOCS = Path(__file__).parents[2] / "docs" / "studies"
OLDER = {"comparison-short"}  # of methods that have been removed since; it is measured anew by `make table`
STORED = sorted({path.parent.name for path in DOCS.glob("*/table.parquet")} - OLDER)


@pytest.mark.parametrize("name", STORED)
def test_a_page_says_what_its_table_says(name):
    folder = DOCS / name
    study, command = read_config(folder, study_class)
    tables = Tables.read(folder)
    page = (folder / "README.md").read_text(encoding="utf-8")
    answer, *further = study.findings(tables)
    parts = [Answer(answer), *([Bullets(further)] if further else []), *filter(None, [study.summary(tables)])]
    for part in parts:
        assert part.markdown() in page, f"draw it again: bnadapt study report on the folder of '{command}'"
