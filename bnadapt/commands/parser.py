"""Argument parsers that refuse in one sentence; options on the command line take precedence over those of configs."""

import logging
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from bnadapt.commands.config_files import MODE, read_config
from bnadapt.commands.messages import one_sentence
from bnadapt.commands.options import options_of_commands
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

OF_TARGET = ("predict", "preview", "propose", "finetune", "export")  # commands that read the target alone
OF_SOURCE = ("source", "sources", "source_weights", "test")  # options of the data that these leave out


class Verbatim(str):
    """The value of an option of a class, such as `--data.target.images`, not parsed as YAML until its type is known."""


class RefusingParser:
    """A parser that refuses with the one sentence of an InputError; boolean options without a value are true.

    Options on the command line take precedence over those of a config, wherever it is given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"parser_mode": MODE, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Parse arguments, which may contain names such as `[1]` or `null`."""
        arguments = list(sys.argv[1:] if args is None else args)
        if strange := [each for each in arguments if re.search("[\ud800-\udfff]", each)]:
            raise InputError(f"{strange[0]}: is not a UTF-8 name, which configs need; rename it, or give a link to it.")
        return super().parse_args(self._verbatim(self._configs_first(arguments)), *more, **options)

    def parse_path(self, path: str, *args: Any, **options: Any) -> Any:
        """Parse a config, which may be that of another command."""
        names = {action.dest.partition(".")[0] for action in self._actions}
        unread = OF_SOURCE if self.prog.split()[-1] in OF_TARGET else ()
        text, left_out = read_config(Path(path), names, self.options_of_others(), unread)
        if left_out:
            log.warning("%s: %s ignored, which only other commands take.", path, ", ".join(left_out))
        return self.parse_string(text, Path(path).name, *args, **options)

    def parse_object(self, values: Any, *args: Any, **options: Any) -> Any:
        """Parse values of options by name."""
        if isinstance(values, Namespace):
            for name, value in values.items():
                if isinstance(value, Verbatim):  # the class is known by now
                    values[name] = str(value)
        return super().parse_object(values, *args, **options)

    def options_of_others(self) -> Collection[str]:
        """Names of options that other commands have."""
        return ()

    def _configs_first(self, arguments: list[str]) -> list[str]:
        if self._subparsers:  # a command's configs are its own
            return arguments
        names = {name for each in self._actions if isinstance(each, ActionConfigFile) for name in each.option_strings}
        starts = [index for index, each in enumerate(arguments) if each.partition("=")[0] in names]
        config_places = {
            place for index in starts for place in (index, index + 1)[: 1 if "=" in arguments[index] else 2]
        }
        places = sorted(range(len(arguments)), key=lambda place: place not in config_places)
        return [arguments[place] for place in places]

    def _verbatim(self, arguments: list[str]) -> list[str]:
        """Mark the values of options of classes as `Verbatim`."""
        marked: list[str] = []
        for each in arguments:
            name, equals, value = each.partition("=")
            if marked and self._is_of_a_class(marked[-1]) and not each.startswith("--"):
                marked.append(Verbatim(each))
            elif equals and self._is_of_a_class(name) and not value.startswith("-"):
                marked += [name, Verbatim(value)]
            else:
                marked.append(each)
        return marked

    def _is_of_a_class(self, name: str) -> bool:
        if not name.startswith("--") or "." not in name or name in self._option_string_actions:
            return False
        parts = name.split(".")
        above = (self._option_string_actions.get(".".join(parts[:length])) for length in range(len(parts) - 1, 0, -1))
        kind = getattr(next(filter(None, above), None), "_typehint", None)
        return kind is not None and not any(get_origin(each) in (dict, Mapping) for each in (kind, *get_args(kind)))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as an InputError of one sentence."""
        cause = ex
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        if cause is not None:
            raise cause
        if not self.exit_on_error:
            super().error(message, ex)
        raise InputError(one_sentence(message, [action.dest for action in self._actions])) from ex

    def _with_flags(self, names: list[str]) -> list[str]:
        """Let boolean options without a value be true."""
        for action in self._actions:
            if action.dest in names and getattr(action, "_typehint", None) is bool:
                action.nargs, action.const = "?", True
        return names


class CommandParser(RefusingParser, LightningArgumentParser):
    """Parser of the LightningCLI commands."""

    def options_of_others(self) -> Collection[str]:
        """Names of options that other commands have."""
        return options_of_commands()

    def add_method_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the parameters of a method as options."""
        return self._with_flags(super().add_method_arguments(*args, **kwargs))


class PlainParser(RefusingParser, ArgumentParser):
    """Parser of the other commands."""

    def add_function_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the parameters of a function as options."""
        return self._with_flags(super().add_function_arguments(*args, **kwargs))


def options_of(
    function: Callable, command: str, arguments: Sequence[str], as_positional: bool = False
) -> dict[str, Any]:
    """Parse a command's arguments as the parameters of a function.

    With `as_positional`, parameters without a default are positional arguments. Raises InputError if they do not fit.
    """
    parser = PlainParser(prog=f"bnadapt {command}", description=function.__doc__)
    parser.add_function_arguments(function, as_positional=as_positional)
    return parser.parse_args(list(arguments)).as_dict()
