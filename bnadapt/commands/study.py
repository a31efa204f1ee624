"""The command line of studies: `bnadapt study NAME --config FILE` and `bnadapt study report FOLDER`."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bnadapt.commands.options import check_study_options
from bnadapt.errors import InputError
from bnadapt.studies import STUDIES
from bnadapt.text import shell_line

if TYPE_CHECKING:
    from bnadapt.experiments.study import Study
    from bnadapt.reports.document import Document

FEW_ROWS = 12  # of the largest table that is also printed
NEEDED = ("distributed", "pyarrow", "sklearn")
INTERRUPTED = 130  # exit status, as of shells
USAGE = """\
usage: bnadapt study NAME --config FILE [OPTIONS]
       bnadapt study report FOLDER

Run an experiment, or draw the report of a finished one again.

studies:
{studies}

example:
  bnadapt study two-mean-grid --config configs/studies/quick/two-mean-grid.yaml

`bnadapt study NAME --help` lists the options of a study."""


def main(arguments: Sequence[str]) -> None:
    """Run a study, or draw the report of a finished one; `arguments` are those of `bnadapt study`."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE.format(studies="\n".join(f"  {name:20}{entry.about}" for name, entry in STUDIES.items())))
    elif missing := [name for name in NEEDED if find_spec(name) is None]:
        raise InputError(
            f"study: needs {', '.join(missing)}, which the minimal installation leaves out; pip install"
            " 'bnadapt[studies]', or '.[studies]' in the repository."
        )
    elif arguments[0] == "report":
        if len(arguments) != 2 or arguments[1].startswith("-"):
            raise InputError("study report: give the folder of a finished study, and nothing else.")
        from bnadapt.commands.study_config import read_config
        from bnadapt.experiments.report import report

        folder = Path(arguments[1])
        study, command = read_config(folder, study_class)
        _print_page(folder, report(study, folder, command))
    else:
        name, *options = arguments
        check_study_options(name, options)
        _run(name, options)


def study_class(name: str) -> "type[Study]":
    """The class of a study."""
    from importlib import import_module

    module, _, kind = STUDIES[name].path.partition(":")
    return getattr(import_module(module), kind)


def _run(name: str, arguments: Sequence[str]) -> None:
    from bnadapt.commands.study_config import ROOT, build, parser_of, write_config
    from bnadapt.experiments.plan import plan
    from bnadapt.experiments.report import report
    from bnadapt.experiments.scheduling import Folders, measure_all
    from bnadapt.files import ensure_folder, refusing_place

    kind = study_class(name)
    options = parser_of(kind, prog=f"bnadapt study {name}").parse_args(list(arguments))
    study = build(kind, options)
    folder = Path(options.output or ROOT / study.name)
    cases = study.cases()
    if options.config is None and not options.yes:
        print(plan(cases, Folders(folder, Path(options.networks))))
        raise InputError(
            f"study {name}: nothing was run; give --yes to run this, or a config, such as"
            f" --config configs/studies/quick/{name}.yaml."
        )
    folders = Folders(ensure_folder(str(folder)), ensure_folder(options.networks))
    try:
        measure_all(cases, folders, options.scheduler, options.workers)
    except KeyboardInterrupt:
        print("bnadapt: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    command = shell_line(["bnadapt", "study", name, *arguments])
    with refusing_place(folder):
        study.tables([(case, folders.records.read(case)) for case in cases]).write(folder)
        write_config(folder, kind, options, command)
        page = report(study, folder, command)
    _print_page(folder, page)


def _print_page(folder: Path, page: "Document") -> None:
    """Print the findings, and where the page is."""
    from bnadapt.reports.document import Answer, Bullets, Table
    from bnadapt.reports.terminal import Console

    console = Console()
    console.print(f"\n{page.title}", style="bold")
    for part in page.parts:
        if isinstance(part, Answer | Bullets) or (isinstance(part, Table) and len(part.rows) <= FEW_ROWS):
            console.print(part.printed())
    console.print(f"Page: {folder / 'index.html'}")
