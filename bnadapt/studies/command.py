"""The command line of studies: `bnadapt study NAME --config FILE` and `bnadapt study report FOLDER`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser
from rich.console import Console

from bnadapt.errors import InputError
from bnadapt.files import written_whole
from bnadapt.reports.document import Bullets, Document
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
ROOT = Path("lightning_logs") / "studies"


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
        _tell(folder, report(*_stored(folder)))
        return
    options = asked[asked.subcommand]
    parser = _parser_of(STUDIES[asked.subcommand])
    folder = Path(options.output or ROOT / asked.subcommand)
    study = parser.instantiate(options).study
    command = shlex.join(["bnadapt", "study", *arguments])
    config = yaml.safe_load(parser.dump(options, skip_none=False))["study"]
    with written_whole(folder / "study.yaml") as partial:
        stored = {"name": study.name, "command": command, "study": config}
        partial.write_text(yaml.safe_dump(stored, sort_keys=False), encoding="utf-8")
    cases = study.cases()
    folders = Folders(folder, Path(options.networks))
    measure_all(cases, folders, options.scheduler, options.workers)
    measured = [(case, folders.records.read(case)) for case in cases]
    study.tables(measured).write(folder)
    _tell(folder, report(study, folder, command))


def _parser() -> ArgumentParser:
    """Of all studies, and of `report`."""
    parser = ArgumentParser(prog="bnadapt study", description="Run an experiment, or draw its report again.")
    subcommands = parser.add_subcommands()
    for name, study in STUDIES.items():
        subcommands.add_subcommand(name, _parser_of(study), help=study.title)
    again = ArgumentParser(description="Draw figures and page of a finished study again, from its tables alone.")
    again.add_argument("folder", help="folder of a study, with study.yaml and table.parquet")
    subcommands.add_subcommand("report", again, help="draw a report again")
    return parser


def _parser_of(study: type[Study]) -> ArgumentParser:
    """Of one study: its own arguments under `study`, and how it is run."""
    parser = ArgumentParser(description=study.question)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file with these options")
    parser.add_class_arguments(study, "study")
    parser.add_argument("--output", type=str | None, help=f"folder of results; {ROOT}/{study.name} by default")
    parser.add_argument("--networks", type=str, default=str(ROOT / "networks"), help="folder of trained networks")
    parser.add_argument("--scheduler", type=str | None, help="address of a dask scheduler, such as tcp://host:8786")
    parser.add_argument("--workers", type=int | None, help="processes on this machine; by default one per GPU or core")
    return parser


def _stored(folder: Path) -> tuple[Study, Path, str]:
    """The study whose folder it is, the folder, and the command that made it."""
    path = folder / "study.yaml"
    try:
        stored: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        parser = _parser_of(STUDIES[stored["name"]])
        study = parser.instantiate(parser.parse_object({"study": stored["study"]})).study
        return study, folder, stored["command"]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is no config of a study ({error}); give the folder of one.") from error


def _tell(folder: Path, page: Document) -> None:
    """Print what was found, and where the page is."""
    console = Console(soft_wrap=True, markup=False)
    console.print(f"\n{page.title}", style="bold")
    for part in page.parts:
        if isinstance(part, Bullets):
            console.print(part.markdown(), highlight=False)
    console.print(f"Page: {folder / 'index.html'}", highlight=False)
