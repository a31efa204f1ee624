"""Options in the words of a command line, before any parser of their values."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

OPTION = re.compile("--?[A-Za-z]")  # which a negative number is not


def options_in(words: Sequence[str]) -> dict[str, list[str]]:
    """Values of every option by its name, such as `data.source`; the last ones of an option that is given twice."""
    return {name: values for name, values, _ in split_options(words)}


def split_options(words: Sequence[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Name, values and words of every option, `--name value` or `--name=value`; words in front of them are left out."""
    starts = [number for number, word in enumerate(words) if OPTION.match(word)]
    for start, end in pairwise([*starts, len(words)]):
        first, *values = words[start:end]
        option, equals, value = first.partition("=")
        yield option.lstrip("-").rstrip("+"), [value, *values] if equals else values, list(words[start:end])
