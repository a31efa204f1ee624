"""Options in the words of a command line, before any parser of their values."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

OPTION = re.compile("--?[A-Za-z]")  # not a negative number


def options_in(words: Sequence[str]) -> dict[str, list[str]]:
    """Values of every option by its name, such as `data.source`; an option given twice has its last values."""
    return {name: values for name, values, _ in split_options(words)}


def single_values(words: Sequence[str]) -> dict[str, str]:
    """The first value of every option, without options that have no value or null."""
    return {name: values[0] for name, values in options_in(words).items() if values and values[0] != "null"}


def split_options(words: Sequence[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, values and words of every option, `--name value` or `--name=value`; words before the first are skipped."""
    starts = [number for number, word in enumerate(words) if OPTION.match(word)]
    for start, end in pairwise([*starts, len(words)]):
        first, *values = words[start:end]
        option, equals, value = first.partition("=")
        yield option.lstrip("-").rstrip("+"), [value, *values] if equals else values, list(words[start:end])
