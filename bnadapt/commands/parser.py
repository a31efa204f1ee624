"""Argument parsers that refuse in one sentence, with the nearest right name."""

import inspect
import logging
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args, get_origin

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace
from lightning.pytorch.cli import LightningArgumentParser

from bnadapt.commands.config_files import MODE, read_config
from bnadapt.commands.options import options_of_commands, refusal_of_option
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

NOISE = (
    "Does not validate against any of the Union subtypes",
    "Subtypes:",
    "Errors:",
    "Expected a <class 'NoneType'>",
    "Given value type:",
    "Given value:",
    "Expected a path but",
    "Problem with given class_path",
)
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "dict": "a mapping of names to values",
    "list": "a list",
    "tuple": "a list",
    "collections.abc.Sequence": "a list",
    "collections.abc.Mapping": "a mapping of names to values",
}
OF_TARGET = ("predict", "preview", "propose", "finetune", "export")  # commands that read the target alone
CLASSES = {  # where the classes are that options of these names take, and what they are subclasses of
    "source": ("bnadapt.data", "bnadapt.data.Domain"),
    "target": ("bnadapt.data", "bnadapt.data.Domain"),
    "test": ("bnadapt.data", "bnadapt.data.Domain"),
    "domain": ("bnadapt.data", "bnadapt.data.Domain"),
    "optimizer": ("torch.optim", "torch.optim.Optimizer"),
    "lr_scheduler": ("torch.optim.lr_scheduler", "torch.optim.lr_scheduler.LRScheduler"),
    "callbacks": ("bnadapt.callbacks", "lightning.pytorch.Callback"),
    "logger": ("lightning.pytorch.loggers", "lightning.pytorch.loggers.Logger"),
    "loss": ("torch.nn", "torch.nn.modules.loss._Loss"),
    "source_weight": ("bnadapt.batchnorm", "bnadapt.batchnorm.SourceWeight"),
    "model": ("bnadapt.tasks", "bnadapt.tasks.AdaptableTask"),
}


class Verbatim(str):
    """A value of an option of a class, such as `--data.target.images`, that is read once it is known what it is."""


class OneSentence:
    """A parser whose refusals are the sentence of an InputError; what is true or false may stand alone for true.

    Options on the command line go before those of a config, wherever it is given.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"parser_mode": MODE, **kwargs})

    def parse_args(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Parse arguments, in which names may be such as `[1]` or `null`."""
        given = list(sys.argv[1:] if args is None else args)
        if strange := [each for each in given if re.search("[\ud800-\udfff]", each)]:
            raise InputError(f"{strange[0]}: is not a UTF-8 name, which configs need; rename it, or give a link to it.")
        return super().parse_args(self._verbatim(self._configs_first(given)), *others, **options)

    def parse_path(self, path: str, *args: Any, **options: Any) -> Any:
        """Parse a config, which another command may have kept."""
        own = {action.dest.partition(".")[0] for action in self._actions}
        is_of_target = self.prog.split()[-1] in OF_TARGET
        text, left_out = read_config(Path(path), own, self.options_of_others(), is_of_target)
        if left_out:
            log.warning("%s: %s left out, which other commands take.", path, ", ".join(left_out))
        return self.parse_string(text, Path(path).name, *args, **options)

    def parse_object(self, given: Any, *args: Any, **options: Any) -> Any:
        """Parse values of options by name."""
        if isinstance(given, Namespace):
            for name, value in given.items():
                if isinstance(value, Verbatim):  # it is known by now what the class takes
                    given[name] = str(value)
        return super().parse_object(given, *args, **options)

    def options_of_others(self) -> Collection[str]:
        """Names of options that other commands have."""
        return ()

    def _configs_first(self, arguments: list[str]) -> list[str]:
        if self._subparsers:  # a command's configs are its own
            return arguments
        names = {name for each in self._actions if isinstance(each, ActionConfigFile) for name in each.option_strings}
        starts = [index for index, each in enumerate(arguments) if each.partition("=")[0] in names]
        taken = {place for index in starts for place in (index, index + 1)[: 1 if "=" in arguments[index] else 2]}
        places = sorted(range(len(arguments)), key=lambda place: place not in taken)
        return [arguments[place] for place in places]

    def _verbatim(self, arguments: list[str]) -> list[str]:
        """Keep values of options of classes from being read as YAML before these classes know what they take."""
        kept: list[str] = []
        for each in arguments:
            name, equals, value = each.partition("=")
            if kept and self._is_of_a_class(kept[-1]) and not each.startswith("--"):
                kept.append(Verbatim(each))
            elif equals and self._is_of_a_class(name) and not value.startswith("-"):
                kept += [name, Verbatim(value)]
            else:
                kept.append(each)
        return kept

    def _is_of_a_class(self, name: str) -> bool:
        if not name.startswith("--") or "." not in name or name in self._option_string_actions:
            return False
        parts = name.split(".")
        above = (self._option_string_actions.get(".".join(parts[:length])) for length in range(len(parts) - 1, 0, -1))
        kind = getattr(next(filter(None, above), None), "_typehint", None)
        return kind is not None and not any(get_origin(each) in (dict, Mapping) for each in (kind, *get_args(kind)))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse, with what the message says in one sentence."""
        cause = ex
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        if cause is not None:
            raise cause
        if not self.exit_on_error:
            super().error(message, ex)
        raise InputError(one_sentence(message, [action.dest for action in self._actions])) from ex

    def _alone(self, names: list[str]) -> list[str]:
        """Let those of the options that are true or false stand alone for true."""
        for action in self._actions:
            if action.dest in names and getattr(action, "_typehint", None) is bool:
                action.nargs, action.const = "?", True
        return names


class CommandParser(OneSentence, LightningArgumentParser):
    """Parser of the LightningCLI commands."""

    def options_of_others(self) -> Collection[str]:
        """Names of options that other commands have."""
        return options_of_commands()

    def add_method_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the parameters of a method as options."""
        return self._alone(super().add_method_arguments(*args, **kwargs))


class PlainParser(OneSentence, ArgumentParser):
    """Parser of the other commands."""

    def add_function_arguments(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add the parameters of a function as options."""
        return self._alone(super().add_function_arguments(*args, **kwargs))


def options_of(
    function: Callable, command: str, arguments: Sequence[str], as_positional: bool = False
) -> dict[str, Any]:
    """Arguments of a function, from the command line of the command that calls it.

    Args:
        function: whose parameters are the options.
        command: its name.
        arguments: of the command.
        as_positional: whether parameters without a default are given by their place.

    Raises:
        InputError: they do not fit.
    """
    parser = PlainParser(prog=f"bnadapt {command}", description=function.__doc__)
    parser.add_function_arguments(function, as_positional=as_positional)
    return parser.parse_args(list(arguments)).as_dict()


class Refused(NamedTuple):
    """What a parser refuses: jsonargparse's message, the option's dotted name or "", and names of all its options."""

    message: str
    key: str
    options: Sequence[str]


def one_sentence(message: str, options: Sequence[str] = ()) -> str:
    r"""What a message of jsonargparse says, with the nearest right name where a name is wrong.

    Args:
        message: of jsonargparse.
        options: dotted names of the options that there are.

    Examples:
        >>> one_sentence('Parser key "data.crop_size":\n  Expected a <class \'int\'>. Got value: abc')
        '--data.crop_size: abc is not a whole number.'
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    nested = re.search(r"NestedArg\(key='([^']+)'", message)
    option = "--" + ".".join(keys) if keys else ""
    for pattern, told in RULES:
        if found := re.search(pattern, message, re.DOTALL):
            key = ".".join([*keys, *([nested[1]] if nested else [])])
            sentence = told(found, Refused(message, key, options))
            return f"{option}: {sentence}." if option and not sentence.startswith("--") else f"{sentence}."
    lines = [re.sub(r'Parser key "[^"]+":', "", line).strip(" -") for line in message.splitlines()]
    rest = [line for line in lines if line and not line.startswith(NOISE)]
    sentence = "; ".join(dict.fromkeys(rest)) or f"{_value(message)} does not fit"
    return f"{option}: {sentence.rstrip('.')}." if option else f"{sentence.rstrip('.')}."


def _no_option(found: re.Match, refused: Refused) -> str:
    name = found[1]
    classes = re.findall(r"class_path[= ]'([\w.]+)'", refused.message[: found.end() + 200])
    kind = imported(classes[-1]) if classes else None
    if kind is not None and any(issubclass(imported(base), kind) for _, base in CLASSES.values()):
        return _abstract(found, refused)
    known = [each for each in inspect.signature(kind).parameters if each != "self"] if kind else []
    where = classes[-1].rpartition(".")[2] if classes else "it"
    return f"{where} has no option {name!r}{_nearest(name, known)}"


def _no_class(found: re.Match, refused: Refused) -> str:
    return f"there is no class {found[1]!r}{_nearest(found[1], _short_names(refused.key))}"


def _no_attribute(found: re.Match, refused: Refused) -> str:
    names = [each for each in dir(import_module(found[1])) if not each.startswith("_")]
    return f"{found[1]} has no {found[2]!r}{_nearest(found[2], names)}"


def _no_choice(found: re.Match, refused: Refused) -> str:
    literals = re.findall(r"Expected a typing\.Literal\[([^\]]*)\]", refused.message)
    choices = [choice.strip(" '") for literal in literals for choice in literal.split(",")]
    given = _value(refused.message)
    return f"{given!r} is none of {', '.join(dict.fromkeys(choices))}{_nearest(given, choices, say_all=False)}"


def _wrong_kind(found: re.Match, refused: Refused) -> str:
    kinds = re.findall(found.re.pattern, refused.message)
    return f"{_value(refused.message)} is not {' or '.join(dict.fromkeys(KINDS[each] for each in kinds))}"


def _missing(found: re.Match, refused: Refused) -> str:
    prefix = re.search(r'Parser key "([^"]+)"', refused.message)
    options = ", ".join(
        f"--{prefix[1]}.{name.strip()}" if prefix else f"--{name.strip()}" for name in found[1].split(",")
    )
    classes = re.findall(r"class_path[= ]'([\w.]+)'", refused.message)
    return f"{classes[0].rpartition('.')[2] if classes else 'this'} needs {options}"


def _abstract(found: re.Match, refused: Refused) -> str:
    names = _short_names(refused.key)
    return f"say first which class it is, one of {', '.join(names)}" if names else "say first which class it is"


def _not_expected(found: re.Match, refused: Refused) -> str:
    command = re.search(r"Subcommand '(\w+)'", refused.message)
    if command and (sentence := refusal_of_option(command[1], found[1])):
        return sentence
    near = get_close_matches(found[1], [name.rpartition(".")[2] for name in refused.options], 1)
    remedy = f"did you mean {near[0]}" if near else "check its spelling and where it stands"
    return f"there is no option {found[1]!r}; {remedy}"


Told = Callable[[re.Match, Refused], str]
RULES: Sequence[tuple[str, Told]] = (
    (r"the following arguments are required: ([\w., ]+)", _missing),
    (r"Option '([^']+)' is not accepted", _no_option),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _no_attribute),
    (r"Expected a dot import path string: (\S+)", _no_class),
    (r"Expected a typing\.Literal\[([^\]]*)\]", _no_choice),
    (r"Expected an instantiatable class, but", _abstract),
    (rf"Expected a <class '({'|'.join(KINDS)})'>", _wrong_kind),
    (r"[Kk]ey ['\"]([\w.]+)['\"] is not expected", _not_expected),
    (r"does not accept option '([\w.]+)'", _not_expected),
    (r"[Uu]nrecognized arguments: (?:--)?([\w.]+)", _not_expected),
)


def _value(message: str) -> str:
    """The value that is refused."""
    values = re.findall(r"NestedArg\(key='[^']+', val='([^']*)'|Got value: ([^\n]*)|Given value: ([^\n]*)", message)
    return next((next(filter(None, each)).strip() for each in values if any(each)), "this value")


def _nearest(name: str, known: Iterable[str], say_all: bool = True) -> str:
    known = list(known)
    if near := get_close_matches(name.rpartition(".")[2], known, 1):
        return f"; did you mean {near[0]}"
    return f"; there are {', '.join(known)}" if say_all and 0 < len(known) <= 20 else ""


def _short_names(key: str) -> list[str]:
    """Classes that an option takes by their short names."""
    chosen = next((CLASSES[part] for part in reversed(key.split(".")[-2:]) if part in CLASSES), None)
    if chosen is None:
        return []
    module, base = import_module(chosen[0]), imported(chosen[1])
    named = {name: getattr(module, name) for name in getattr(module, "__all__", dir(module))}
    subclasses = {name: each for name, each in named.items() if inspect.isclass(each) and issubclass(each, base)}
    return [name for name, each in subclasses.items() if each is not base and not inspect.isabstract(each)]


def imported(path: str) -> Any:
    """What is at an import path; None if nothing is."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
