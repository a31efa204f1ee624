"""The options of a study: their parser, and `study.yaml`, which keeps them beside the results."""

import inspect
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from bnadapt.commands.help_texts import OF_STUDIES
from bnadapt.commands.parser import PlainParser
from bnadapt.errors import InputError
from bnadapt.experiments.study import Study
from bnadapt.files import atomic_write
from bnadapt.networks.stored import values_of

ROOT = Path("lightning_logs") / "studies"


def parser_of(study: type[Study], **options: Any) -> ArgumentParser:
    """Parser of a study's options: its own under `study`, and how to run it."""
    parser = PlainParser(description=study.question, **options)
    parser.add_argument("--config", action=ActionConfigFile, help=OF_STUDIES["config"])
    parser.add_class_arguments(study, "study")
    parser.add_argument("--yes", action="store_true", help=OF_STUDIES["yes"])
    parser.add_argument("--networks", type=str, default=str(ROOT / "networks"), help=OF_STUDIES["networks"])
    for name, kind in (("output", str), ("scheduler", str), ("workers", int)):
        parser.add_argument(f"--{name}", type=kind | None, help=OF_STUDIES[name])
    return parser


def build(kind: type[Study], options: Namespace) -> Study:
    """The study of parsed options; raises InputError if they are empty, or the study refuses them."""
    _refuse_empty(kind, options.study)
    return parser_of(kind).instantiate(options).study


def write_config(folder: Path, kind: type[Study], options: Namespace, command: str) -> None:
    """Write the options of a study, and its command, as `study.yaml`."""
    config = yaml.safe_load(parser_of(kind).dump(options, skip_none=False))["study"]
    with atomic_write(folder / "study.yaml") as partial:
        stored = {"name": kind.name, "command": command, "study": config}
        partial.write_text(yaml.safe_dump(stored, sort_keys=False), encoding="utf-8")


def read_config(folder: Path, study_class: Callable[[str], type[Study]]) -> tuple[Study, str]:
    """The study in the folder of a finished one, and the command that ran it.

    `study_class` returns the class of a study by its name. Raises InputError if `study.yaml` is missing or invalid.
    """
    path = folder / "study.yaml"
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8"))
        if any(isinstance(each, dict) and "class_path" in each for each in values_of(stored)):
            raise ValueError("it names classes, and code that a file names is not run")
        kind = study_class(stored["name"])
        options = parser_of(kind, exit_on_error=False).parse_object({"study": stored["study"]})
        return build(kind, options), stored["command"]
    except InputError:
        raise
    except KeyError as error:
        reason = f"there is no {error}"
    except (OSError, ValueError, TypeError, yaml.YAMLError, ArgumentError) as error:
        reason = " ".join(str(error).split())
    raise InputError(f"{path}: is not a config of a study ({reason}); give the folder of a finished one.")


def _refuse_empty(kind: type[Study], options: Namespace) -> None:
    """Refuse an empty option that is not empty by default, since the study needs something to vary."""
    for name, parameter in inspect.signature(kind).parameters.items():
        value = options.get(name)
        if isinstance(value, Sized) and not len(value) and parameter.default not in (None, ()):
            raise InputError(f"study.{name} is empty; give at least one.")
