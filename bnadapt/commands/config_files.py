"""Options in YAML: names that look like other values, encodings, configs of other commands."""

import codecs
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from bnadapt.errors import InputError

MODE = "bnadapt"  # of parsers
TEXTS = {
    "authors", "bank", "cite", "ckpt_path", "classes", "description", "images", "images_key", "label", "labels",
    "license", "like", "mask", "mask_key", "masks", "masks_key", "networks", "output", "pair", "probability",
    "probability_key", "proposed", "save_dir", "shift", "test", "weights",
}  # fmt: skip
"""Options whose values are always texts, such as folders called 2024 or yes, and classes called 1."""
COUNTED = {"Synthetic": {"images"}}
"""Exceptions: options of a class that are numbers."""
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    **dict.fromkeys((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), "utf-32"),
    **dict.fromkeys((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE), "utf-16"),
}


def load_options(text: str) -> Any:
    """Parse YAML; text options stay texts, and a leading `#` does not start a comment.

    Raises:
        YAMLError: the text is not YAML, or has a number that YAML reads differently than it looks.
    """
    node = _composed(text)
    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == NULL):
        return None if text.strip() == "null" else text
    is_rewritten = isinstance(node, yaml.MappingNode) and _keep_texts(node)
    _check_numbers(node)
    return get_loader("yaml")(yaml.serialize(node, allow_unicode=True) if is_rewritten else text)


def read_config(
    path: Path, options: Collection[str], of_others: Collection[str], unread: Collection[str]
) -> tuple[str, Sequence[str]]:
    """The YAML of a config for a command, and the names of options left out because only other commands have them.

    Options that are null are left out too, so that they replace nothing.

    Args:
        path: file of the config.
        options: names of the command's options.
        of_others: names of options of other commands.
        unread: parts of `data` that the command does not read; left out of a config of another command.

    Raises:
        InputError: it is not text, or does not give options by name.
    """
    text = _decoded(path)
    try:
        node = _composed(text)
    except yaml.YAMLError:
        return text, []  # which the parser refuses with line and column
    if node is None or node.tag == NULL:
        return "{}", []
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}: does not give options by name, such as `seed_everything: 3`; give a config.")
    foreign = {key.value for key, _ in node.value if key.value not in options and key.value in of_others}
    entries = [(key.value, key, value) for key, value in node.value if value.tag != NULL]
    node.value = [(key, value) for name, key, value in entries if name not in foreign]
    for name, _, value in entries:
        if name == "data" and foreign and isinstance(value, yaml.MappingNode):
            value.value = [pair for pair in value.value if pair[0].value not in unread]
    left_out = [name for name, _, value in entries if name in foreign and value.value != "false"]
    _keep_texts(node)
    return yaml.serialize(node, allow_unicode=True), left_out


NULL, TEXT, INTEGER, MERGED = (f"tag:yaml.org,2002:{kind}" for kind in ("null", "str", "int", "merge"))
NUMBERS = (INTEGER, "tag:yaml.org,2002:float")
OCTAL = re.compile(r"[+-]?0[0-7_]+")
BASE_60 = re.compile(r"[+-]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?")
MOST_NODES = 100_000  # aliases counted as often as they are used


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    encoding = next((name for mark, name in BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not {encoding.upper()} text (byte {error.start + 1}); save it in UTF-8."
        ) from error


def _composed(text: str) -> yaml.Node | None:
    """The nodes of YAML.

    Raises:
        YAMLError: the text is not YAML, holds too much, or gives an option twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deep") from error
    for each in _nodes(node):
        if isinstance(each, yaml.MappingNode):
            _check_names([key for key, _ in each.value])
    return node


def _nodes(node: yaml.Node | None) -> Iterator[yaml.Node]:
    """A node and all values in it."""
    waiting = [] if node is None else [node]
    for _ in range(MOST_NODES):
        if not waiting:
            return
        each = waiting.pop()
        yield each
        if isinstance(each, yaml.SequenceNode):
            waiting += each.value
        elif isinstance(each, yaml.MappingNode):
            waiting += [value for _, value in each.value]
    raise yaml.YAMLError(f"it has more than {MOST_NODES} values, or refers to itself")


def _check_names(keys: Sequence[yaml.Node]) -> None:
    names: set[str] = set()
    for key in keys:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="the name of an option is not a text", problem_mark=key.start_mark)
        if key.value in names and key.tag != MERGED:
            raise yaml.MarkedYAMLError(
                problem=f"{key.value} is given twice; leave one out", problem_mark=key.start_mark
            )
        names.add(key.value)


def _check_numbers(node: yaml.Node) -> None:
    """Refuse 0123 and 1:30, which are 83 and 90 in YAML."""
    for each in _nodes(node):
        if each.tag in NUMBERS and BASE_60.fullmatch(each.value):
            raise yaml.YAMLError(f"{each.value} is a number to the base 60; write it to the base 10, or in quotes")
        if each.tag == INTEGER and OCTAL.fullmatch(each.value):
            raise yaml.YAMLError(f"{each.value} is an octal number; leave out its first 0, or put it in quotes")


def _keep_texts(node: yaml.Node, is_text: bool = False) -> bool:
    """Turn values of text options into texts; returns whether any value changed."""
    if isinstance(node, yaml.ScalarNode):
        if not is_text or node.style is not None or node.tag == NULL:
            return False
        node.tag, node.style = TEXT, "'"
        return True
    if isinstance(node, yaml.SequenceNode):
        return any([_keep_texts(each, is_text) for each in node.value])
    kind = next((value.value for key, value in node.value if key.value == "class"), None)  # in configs of studies
    texts = TEXTS - COUNTED.get(kind, set())
    return any([_keep_texts(value, key.value in texts) for key, value in node.value])


set_loader(MODE, load_options, (yaml.YAMLError,))
