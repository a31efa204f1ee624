"""The names of commands and options, known without loading torch, so that help and refusals come at once.

Options are the parameters of classes and methods. Their names are read from the source files of these, ours and
Lightning's, so that they are those of the installed versions.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bnadapt.errors import InputError
from bnadapt.studies import STUDIES

COMMANDS = {
    "fit": "train a network on the source",
    "recommend": "say whether and how to adapt it to the target, and what to expect",
    "adapt": "re-estimate its BatchNorm statistics on images of the target",
    "test": "score it on labelled test sets",
    "predict": "segment images",
    "distances": "measure how far source and target lie apart in its latent spaces",
    "source_summary": "add to a checkpoint what is to be known of its source",
    "validate": "score it on the source's validation block",
    "study": "run an experiment",
}
EXAMPLES = """\
  bnadapt fit --data.source Folder --data.source.images source/images --data.source.masks source/masks \\
      --trainer.max_epochs 10
  bnadapt adapt --ckpt_path lightning_logs/default/version_0/checkpoints/best.ckpt \\
      --data.target Folder --data.target.images target/images --output adapted.ckpt
  bnadapt predict --ckpt_path adapted.ckpt --data.target Folder --data.target.images target/images"""
OF_ALL = ("config", "c", "help", "print_config", "print_shtab", "seed_everything", "trainer", "model", "data")
OF_STUDY = ("config", "help", "print_config", "study", "output", "networks", "scheduler", "workers")
OF_COMMAND = ("ckpt_path", "verbose", "weights_only", "return_predictions")


def overview() -> str:
    """What `bnadapt --help` prints."""
    commands = "\n".join(f"  {name:14} {what}" for name, what in COMMANDS.items())
    return (
        "usage: bnadapt COMMAND [OPTIONS]\n\n"
        "Adapt segmentation networks to new electron-microscopy data by their BatchNorm statistics.\n\n"
        f"commands:\n{commands}\n\n"
        f"examples:\n{EXAMPLES}\n\n"
        "`bnadapt COMMAND --help` lists the options of a command, `bnadapt --version` tells the version."
    )


def check_options(arguments: Sequence[str]) -> None:
    """Refuse a command or an option that does not exist, as far as names alone can tell.

    What stands below an option that takes a class, such as `--data.source.images`, is left to the parser.

    Raises:
        InputError: there is no such command or option; the sentence gives the nearest one.
    """
    command = arguments[0]
    if command.startswith("-"):  # options in front of the command are rare
        return
    if command not in COMMANDS:
        raise InputError(f"there is no command {command!r}; {_nearest(command, COMMANDS)}.")
    for option in _options(arguments[1:]):
        if refusal := refusal_of_option(command, option):
            raise InputError(f"{command}: {refusal}.")


def check_study_options(name: str, arguments: Sequence[str]) -> None:
    """The same for `bnadapt study NAME`."""
    if name not in STUDIES:
        raise InputError(f"there is no study {name!r}; {_nearest(name, [*STUDIES, 'report'])}.")
    module, _, kind = STUDIES[name].path.partition(":")
    path = _ours("/".join(module.split(".")[1:]) + ".py")
    for option in _options(arguments):
        first, _, rest = option.partition(".")
        if first not in OF_STUDY:
            raise InputError(f"study {name}: {_no_option(option, first, OF_STUDY, '')}.")
        own = _parameters(path, kind, "__init__")
        if first == "study" and rest and own and rest.partition(".")[0] not in (*own, "help"):
            raise InputError(f"study {name}: {_no_option(option, rest.partition('.')[0], own, 'study.')}.")


def refusal_of_option(command: str, option: str) -> str | None:
    """Why there is no such option, with the nearest one; None if names alone do not tell.

    Args:
        command: such as `fit`.
        option: such as `trainer.max_epochs`.
    """
    first, _, rest = option.partition(".")
    known = [*OF_ALL, *OF_COMMAND, *_parameters(_ours("trainer.py"), "AdaptationTrainer", command)]
    if first not in known:
        return _no_option(option, first, known, "")
    members = {"trainer": _trainer, "data": _data}.get(first)
    second = rest.partition(".")[0]
    if members is None or second in ("", "help", "class_path", "init_args") or second in (names := members()):
        return None
    return _no_option(option, second, names, f"{first}.")


def _options(arguments: Sequence[str]) -> Iterator[str]:
    """Names of the options among arguments."""
    return (each[2:].partition("=")[0].rstrip("+") for each in arguments if each.startswith("--") and len(each) > 2)


def _no_option(option: str, name: str, known: Sequence[str], prefix: str) -> str:
    near = get_close_matches(name, known, 1)
    remedy = f"did you mean --{prefix}{near[0]}" if near else "--help lists what there is"
    return f"there is no option --{option}; {remedy}"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}" if near else f"take one of {', '.join(known)}"


def _trainer() -> list[str]:
    folder = Path(find_spec("lightning").origin).parent
    return _parameters(folder / "pytorch" / "trainer" / "trainer.py", "Trainer", "__init__")


def _data() -> list[str]:
    return _parameters(_ours("data/datamodule.py"), "DomainPair", "__init__")


def _ours(path: str) -> Path:
    return Path(__file__).parent / path


@cache
def _parameters(path: Path, class_name: str, method: str) -> list[str]:
    """Names of the parameters of a method, from the source file of its class; none if the class has no such method."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name == method:
                    parameters = (*each.args.posonlyargs, *each.args.args, *each.args.kwonlyargs)
                    return [parameter.arg for parameter in parameters if parameter.arg != "self"]
    return []
