"""Parameters of classes and functions, and their descriptions, read from source files without importing them."""

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bnadapt.studies import STUDIES


def ours(path: str) -> Path:
    """A source file of bnadapt, such as `data/datamodule.py`."""
    return Path(__file__).parent.parent / path


@cache
def method_of_trainer(command: str) -> tuple[Path, str, str]:
    """Source file, class and name of the method of a command; the class lacks it if it is Lightning's own."""
    files = sorted(ours("commands/trainer").glob("*.py"))
    classes = [(path, node.name) for path in files for node in _nodes(path) if isinstance(node, ast.ClassDef)]
    owners = (each for each in classes if _method(*each, command))
    return *next(owners, classes[0]), command


def class_of_study(name: str) -> tuple[Path, str]:
    """Source file and name of the class of a study."""
    module, _, kind = STUDIES[name].path.partition(":")
    return ours("/".join(module.split(".")[1:]) + ".py"), kind


def trainer_of_lightning() -> Path:
    """The source file of Lightning's Trainer."""
    return Path(find_spec("lightning").origin).parent / "pytorch" / "trainer" / "trainer.py"


@cache
def parameters(path: Path, class_name: str, method: str) -> Sequence[str]:
    """Parameter names of a method, or a dataclass's fields for `__init__`; empty if the method does not exist."""
    node, kind = _method(path, class_name, method), _definition(path, class_name)
    if node is None:
        fields = kind.body if kind and method == "__init__" else ()
        return [each.target.id for each in fields if isinstance(each, ast.AnnAssign)]
    names = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return [each.arg for each in names if each.arg != "self"]


@cache
def descriptions(path: Path, name: str, method: str = "__init__") -> Mapping[str, str]:
    """The first sentence of `documented` for every parameter."""
    texts = documented(path, name, method)
    return {parameter: text.partition(". ")[0].rstrip(".") for parameter, text in texts.items()}


@cache
def documented(path: Path, name: str, method: str = "__init__") -> Mapping[str, str]:
    """Description of every parameter in the docstring of a class's method, or else of the class or function."""
    from docstring_parser import DocstringStyle, parse

    nodes = [_method(path, name, method), _definition(path, name)]
    texts = [ast.get_docstring(node) for node in nodes if node is not None]
    described = parse(next(filter(None, texts), ""), style=DocstringStyle.GOOGLE).params
    return {each.arg_name: " ".join((each.description or "").split()) for each in described}


def _definition(path: Path, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    """Definition of a class or function."""
    kinds = ast.ClassDef | ast.FunctionDef
    return next((node for node in _nodes(path) if isinstance(node, kinds) and node.name == name), None)


def _method(path: Path, class_name: str, name: str) -> ast.FunctionDef | None:
    kind = _definition(path, class_name)
    body = kind.body if kind else ()
    return next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == name), None)


@cache
def _nodes(path: Path) -> Sequence[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
