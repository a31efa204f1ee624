"""What classes take as parameters, and what their docstrings say of them, read from source files without importing."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def ours(path: str) -> Path:
    """A source file of bnadapt, such as `data/datamodule.py`."""
    return Path(__file__).parent.parent / path


def trainer_of_lightning() -> Path:
    """The source file of Lightning's Trainer."""
    return Path(find_spec("lightning").origin).parent / "pytorch" / "trainer" / "trainer.py"


@cache
def parameters(path: Path, class_name: str, method: str) -> Sequence[str]:
    """Names of the parameters of a method; of a dataclass's `__init__`, its fields; none if there is no such method."""
    node, kind = _method(path, class_name, method), _definition(path, class_name)
    if node is None:
        fields = kind.body if kind and method == "__init__" else ()
        return [each.target.id for each in fields if isinstance(each, ast.AnnAssign)]
    names = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    return [each.arg for each in names if each.arg != "self"]


@cache
def descriptions(path: Path, name: str, method: str = "__init__") -> Mapping[str, str]:
    """The first sentence of `documented` for every parameter."""
    return {parameter: _first_sentence(text) for parameter, text in documented(path, name, method).items()}


@cache
def documented(path: Path, name: str, method: str = "__init__") -> Mapping[str, str]:
    """What the docstring of a class's method, or else of the class or function, says of every parameter."""
    from docstring_parser import DocstringStyle, parse

    nodes = [_method(path, name, method), _definition(path, name)]
    texts = [ast.get_docstring(node) for node in nodes if node is not None]
    told = parse(next(filter(None, texts), ""), style=DocstringStyle.GOOGLE).params
    return {each.arg_name: " ".join((each.description or "").split()) for each in told}


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _definition(path: Path, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    """Definition of a class or function."""
    kinds = ast.ClassDef | ast.FunctionDef
    return next((node for node in _nodes(path) if isinstance(node, kinds) and node.name == name), None)


def _method(path: Path, class_name: str, name: str) -> ast.FunctionDef | None:
    kind = _definition(path, class_name)
    body = kind.body if kind else ()
    return next((each for each in body if isinstance(each, ast.FunctionDef) and each.name == name), None)


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(_tree(path))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
