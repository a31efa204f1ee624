"""The command line of studies: `bnadapt study NAME --config FILE` and `bnadapt study report FOLDER`."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser
from rich.console import Console

from bnadapt.files import ensure_folder
from bnadapt.reports.document import Bullets, Document
from bnadapt.studies.config import ROOT, made, parser_of, read_config, write_config
from bnadapt.studies.how_much import HowMuch
from bnadapt.studies.image_shifts import ImageShifts
from bnadapt.studies.irregular_training import IrregularTraining
from bnadapt.studies.latent_spaces import LatentSpaces
from bnadapt.studies.pairs import Pairs
from bnadapt.studies.report import report
from bnadapt.studies.scheduling import Folders, measure_all
from bnadapt.studies.study import Study
from bnadapt.studies.two_mean_grid import TwoMeanGrid

STUDIES: dict[str, type[Study]] = {
    each.name: each for each in (TwoMeanGrid, ImageShifts, Pairs, IrregularTraining, LatentSpaces, HowMuch)
}
INTERRUPTED = 130  # exit status, as of shells


def main(arguments: Sequence[str]) -> None:
    """Run a study, or draw the report of a finished one.

    Args:
        arguments: what stands behind `bnadapt study`.

    Raises:
        InputError: the study cannot be done.
    """
    asked = _parser().parse_args(list(arguments))
    if asked.subcommand == "report":
        folder = Path(asked.report.folder)
        study, command = read_config(folder, STUDIES)
        _tell(folder, report(study, folder, command))
        return
    kind, options = STUDIES[asked.subcommand], asked[asked.subcommand]
    study = made(kind, options)
    folder = ensure_folder(options.output or str(ROOT / study.name))
    folders = Folders(folder, ensure_folder(options.networks))
    cases = study.cases()
    try:
        measure_all(cases, folders, options.scheduler, options.workers)
    except KeyboardInterrupt:
        print("bnadapt: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    tables = study.tables([(case, folders.records.read(case)) for case in cases])
    command = shlex.join(["bnadapt", "study", *arguments])
    tables.write(folder)
    write_config(folder, kind, options, command)
    _tell(folder, report(study, folder, command))


def _parser() -> ArgumentParser:
    """Of all studies, and of `report`."""
    parser = ArgumentParser(prog="bnadapt study", description="Run an experiment, or draw its report again.")
    subcommands = parser.add_subcommands()
    for name, study in STUDIES.items():
        subcommands.add_subcommand(name, parser_of(study), help=study.title)
    again = ArgumentParser(description="Draw figures and page of a finished study again, from its tables alone.")
    again.add_argument("folder", help="folder of a study, with study.yaml and table.parquet")
    subcommands.add_subcommand("report", again, help="draw a report again")
    return parser


def _tell(folder: Path, page: Document) -> None:
    """Print what was found, and where the page is."""
    console = Console(soft_wrap=True, markup=False)
    console.print(f"\n{page.title}", style="bold")
    for part in page.parts:
        if isinstance(part, Bullets):
            console.print(part.markdown(), highlight=False)
    console.print(f"Page: {folder / 'index.html'}", highlight=False)
