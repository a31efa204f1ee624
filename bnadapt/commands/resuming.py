"""Options to resume a training with, from the config kept beside its logs.

The config may come from others, as a checkpoint may. So it sets the data, how to train and for how long, with classes
that bnadapt knows by name, but neither networks (see `bnadapt.networks.trust`) nor files to write.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn

import yaml

from bnadapt.commands.command_line import options_in
from bnadapt.commands.config_files import load_options
from bnadapt.commands.option_classes import CLASSES, imported
from bnadapt.commands.training_length import STOPPING
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.networks.trust import is_plain
from bnadapt.tasks.checkpoints import NETWORK_PARAMETERS

CONFIG = "config.yaml"
VERSION = re.compile(r"version_\d+")  # folder of a run
TILING = ("tile_size", "overlap")
SOURCE = re.compile(r"config|c|data|data\.sources?(\..*)?")  # options that may name the training data
KNOWN = {**CLASSES, "sources": CLASSES["source"]}
LENGTH = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")
TRAINED = (
    *("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "limit_train_batches"),
    *("val_check_interval", "check_val_every_n_epoch", "precision"),
)


def kept_config(arguments: Sequence[str]) -> Path | None:
    """The kept config of the training to resume; None if nothing is resumed, or the command line names the data.

    Raises:
        InputError: there is neither.
    """
    options = options_in(arguments[1:])
    if arguments[0] != "fit" or "ckpt_path" not in options or any(map(SOURCE.fullmatch, options)):
        return None
    checkpoint = Path(options["ckpt_path"][-1])
    path = checkpoint.parent.parent / CONFIG
    if not checkpoint.is_file() or path.is_file():
        return path if path.is_file() else None
    raise InputError(
        f"{checkpoint}: the options of its training were not stored in {path}; give --data.source and the other options"
        " again."
    )


def kept_options(path: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Options of a kept config, unless given among `arguments`; refuses a config that names code, or no source."""
    try:
        config = load_options(path.read_text(encoding="utf-8"))
        data, model, trainer = (dict(config.get(name) or {}) for name in ("data", "model", "trainer"))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is not a config that `bnadapt fit` has stored; give --data.source.") from error
    if not (data.get("source") or data.get("sources")):
        raise InputError(f"{path}: is not the config of a training, it has no source; give --data.source.")
    options = {"data": data, "trainer": _of_trainer(trainer, options_in(arguments[1:]), path)}
    if type(config.get("seed_everything")) is int:
        options["seed_everything"] = config["seed_everything"]
    if _is_known("model", model.get("class_path")):
        settings = {
            name: each for name, each in (model.get("init_args") or {}).items() if name not in NETWORK_PARAMETERS
        }
        options["model"] = {"class_path": model["class_path"], "init_args": settings}
        _check(settings, "", path, are_texts=False)
    _check(data, "", path, are_texts=True)
    return options


def kept_words(data: Mapping[str, Any], arguments: Sequence[str]) -> list[str]:
    """Kept options of the target and of tiles as words of a command line, unless they are defaults or given again."""
    requested = options_in(arguments[1:])
    given = _changed("data", {name: data.get(name) for name in TILING}, DomainPair)
    if (target := data.get("target")) and not any(name.startswith("data.target") for name in requested):
        target = {"class_path": target} if isinstance(target, str) else target
        kind = target["class_path"].rpartition(".")[2]
        known_class = getattr(import_module(KNOWN["target"][0]), kind)
        given = {"data.target": kind, **_changed("data.target", target.get("init_args") or {}, known_class), **given}
    return [f"--{name}={value}" for name, value in given.items() if name not in requested]


def logger_words(path: Path, arguments: Sequence[str]) -> list[str]:
    """Options that log a resumed training beside the run of a kept config, if that is one of numbered runs."""
    name, folder = path.parent.parent.name, path.parent.parent.parent
    is_given = any(option.startswith("trainer.logger") for option in options_in(arguments[1:]))
    if is_given or not name or not VERSION.fullmatch(path.parent.name):
        return []
    return [f"--trainer.logger.save_dir={folder}", f"--trainer.logger.name={name}"]


def _changed(prefix: str, values: Mapping[str, Any], kind: type) -> dict[str, str]:
    """Arguments of a class that differ from its defaults, as texts by the name of their option."""
    defaults = {name: each.default for name, each in signature(kind).parameters.items()}
    texts = {}
    for name, value in values.items():
        default = defaults.get(name)
        if value is not None and value != (list(default) if isinstance(default, tuple) else default):
            texts[f"{prefix}.{name}"] = value if isinstance(value, str) else json.dumps(value)
    return texts


def _of_trainer(trainer: Mapping[str, Any], requested: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Options of how to train, and for how long unless the command line says so."""
    names = TRAINED if any(f"trainer.{name}" in requested for name in LENGTH) else (*TRAINED, *LENGTH)
    options = {name: trainer[name] for name in names if name in trainer}
    if not is_plain(options):
        _refuse(path, "trainer", "an object")
    callbacks = [each for each in trainer.get("callbacks") or [] if isinstance(each, Mapping)]
    stopping = [each for each in callbacks if each.get("class_path") == STOPPING["class_path"]]
    if names == TRAINED or not all(is_plain(each.get("init_args")) for each in stopping):
        return options
    return {**options, "callbacks+": stopping} if stopping else options


def _check(value: Any, option: str, path: Path, are_texts: bool) -> None:
    """Refuse values of an option that would be imported, other than its classes with short names.

    With `are_texts`, texts with dots are plain texts; otherwise they may be import paths of functions.
    """
    match value:
        case {"class_path": kind, **others}:
            if not _is_known(option, kind):
                _refuse(path, option, kind)
            for name, each in _members(others.pop("init_args", None), path, option):
                _check(each, name, path, are_texts)
            if others:
                _refuse(path, option, next(iter(others)))
        case dict():
            for name, each in _members(value, path, option):
                _check(each, name if name in KNOWN or not option else option, path, are_texts)
        case list():
            for each in value:
                _check(each, option, path, are_texts)
        case str() if option in KNOWN and not _is_known(option, value):
            _refuse(path, option, value)
        case str() if not are_texts and "." in value:
            _refuse(path, option, value)


def _members(value: Any, path: Path, option: str) -> Iterator[tuple[str, Any]]:
    """Names and values of a mapping; refuses names that denote part of an option, or an addition to one."""
    for name, each in (value or {}).items():
        if not isinstance(name, str) or "." in name or name.endswith("+"):
            _refuse(path, option, name)
        yield name, each


def _is_known(option: str, kind: Any) -> bool:
    """Whether a class is one that an option takes by its short name, from a module that is imported anyway."""
    if option not in KNOWN or not isinstance(kind, str):
        return False
    module, base = KNOWN[option]
    known_class = getattr(import_module(module), kind.rpartition(".")[2], None)
    if not (isinstance(known_class, type) and issubclass(known_class, imported(base))):
        return False
    return kind in (
        known_class.__name__,
        f"{module}.{known_class.__name__}",
        f"{known_class.__module__}.{known_class.__qualname__}",
    )


def _refuse(path: Path, option: str, value: object) -> NoReturn:
    raise InputError(
        f"{path}: gives {option or 'data'} {value}, which may be code that would be imported and run; look at it, and"
        f" if you trust it, name the config yourself by --config {path}."
    )
