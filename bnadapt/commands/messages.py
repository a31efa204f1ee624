"""Messages of jsonargparse as one sentence."""

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

from bnadapt.commands.option_classes import CLASSES, imported, short_names
from bnadapt.commands.options import refusal_of_option

FEW = 20  # names that are all listed
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


class Refused(NamedTuple):
    """A message of jsonargparse, the dotted name of the option or "", and the names of all options."""

    message: str
    key: str
    options: Sequence[str]


def one_sentence(message: str, options: Sequence[str] = ()) -> str:
    r"""A message of jsonargparse in one sentence, with the nearest name if one is misspelt.

    `options` are the dotted names of all options.

    Examples:
        >>> one_sentence('Parser key "data.crop_size":\n  Expected a <class \'int\'>. Got value: abc')
        '--data.crop_size: abc is not a whole number.'
    """
    keys = re.findall(r'Parser key "([^"]+)"', message)
    nested = re.search(r"NestedArg\(key='([^']+)'", message)
    option = "--" + ".".join(keys) if keys else ""
    for pattern, clause_of in RULES:
        if match := re.search(pattern, message, re.DOTALL):
            key = ".".join([*keys, *([nested[1]] if nested else [])])
            sentence = clause_of(match, Refused(message, key, options))
            return f"{option}: {sentence}." if option and not sentence.startswith("--") else f"{sentence}."
    lines = [re.sub(r'Parser key "[^"]+":', "", line).strip(" -") for line in message.splitlines()]
    clauses = [line for line in lines if line and not line.startswith(NOISE)]
    sentence = "; ".join(dict.fromkeys(clauses)) or f"{_value(message)} is not valid"
    return f"{option}: {sentence.rstrip('.')}." if option else f"{sentence.rstrip('.')}."


def _no_option(match: re.Match, refused: Refused) -> str:
    name = match[1]
    classes = re.findall(r"class_path[= ]'([\w.]+)'", refused.message[: match.end() + 200])
    kind = imported(classes[-1]) if classes else None
    if kind is not None and any(issubclass(imported(base), kind) for _, base in CLASSES.values()):
        return _abstract(match, refused)
    names = [each for each in inspect.signature(kind).parameters if each != "self"] if kind else []
    where = classes[-1].rpartition(".")[2] if classes else "it"
    return f"{where} has no option {name!r}{_nearest_or_all(name, names)}"


def _no_class(match: re.Match, refused: Refused) -> str:
    return f"unknown class {match[1]!r}{_nearest_or_all(match[1], short_names(refused.key))}"


def _no_attribute(match: re.Match, refused: Refused) -> str:
    names = [each for each in dir(import_module(match[1])) if not each.startswith("_")]
    return f"{match[1]} has no {match[2]!r}{_nearest_or_all(match[2], names)}"


def _no_choice(match: re.Match, refused: Refused) -> str:
    literals = re.findall(r"Expected a typing\.Literal\[([^\]]*)\]", refused.message)
    choices = [choice.strip(" '") for literal in literals for choice in literal.split(",")]
    value = _value(refused.message)
    return f"{value!r} is not one of {', '.join(dict.fromkeys(choices))}{_nearest(value, choices)}"


def _wrong_kind(match: re.Match, refused: Refused) -> str:
    kinds = re.findall(match.re.pattern, refused.message)
    return f"{_value(refused.message)} is not {' or '.join(dict.fromkeys(KINDS[each] for each in kinds))}"


def _missing(match: re.Match, refused: Refused) -> str:
    prefix = re.search(r'Parser key "([^"]+)"', refused.message)
    options = ", ".join(
        f"--{prefix[1]}.{name.strip()}" if prefix else f"--{name.strip()}" for name in match[1].split(",")
    )
    classes = re.findall(r"class_path[= ]'([\w.]+)'", refused.message)
    return f"{classes[0].rpartition('.')[2] if classes else 'this'} needs {options}"


def _abstract(match: re.Match, refused: Refused) -> str:
    names = short_names(refused.key)
    return f"say first which class it is, one of {', '.join(names)}" if names else "say first which class it is"


def _not_expected(match: re.Match, refused: Refused) -> str:
    command = re.search(r"Subcommand '(\w+)'", refused.message)
    if command and (sentence := refusal_of_option(command[1], match[1])):
        return sentence
    near = get_close_matches(match[1], [name.rpartition(".")[2] for name in refused.options], 1)
    remedy = f"did you mean {near[0]}" if near else "check its spelling and where it stands"
    return f"unknown option {match[1]!r}; {remedy}"


RULES: Sequence[tuple[str, Callable[[re.Match, Refused], str]]] = (
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
    """The refused value."""
    values = re.findall(r"NestedArg\(key='[^']+', val='([^']*)'|Got value: ([^\n]*)|Given value: ([^\n]*)", message)
    return next((next(filter(None, each)).strip() for each in values if any(each)), "this value")


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name.rpartition(".")[2], known, 1)
    return f"; did you mean {near[0]}" if near else ""


def _nearest_or_all(name: str, known: Collection[str]) -> str:
    listed = f"; there are {', '.join(known)}" if 0 < len(known) <= FEW else ""
    return _nearest(name, known) or listed
