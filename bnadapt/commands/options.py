"""The names of commands and options, known without loading torch, so that help and refusals come at once.

Options are the parameters of classes and methods. Their names are read from the source files of the installed versions
of bnadapt and Lightning.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from bnadapt.commands.command_line import options_in
from bnadapt.commands.docstrings import class_of_study, method_of_trainer, ours, parameters, trainer_of_lightning
from bnadapt.errors import InputError
from bnadapt.studies import STUDIES

COMMANDS = {
    "fit": "train a network on the source",
    "recommend": "say whether and how to adapt a network to the target, and what to expect",
    "preview": "show some regions of a target under every candidate, before all of it is segmented",
    "adapt": "re-estimate a network's BatchNorm statistics on images of the target",
    "propose": "choose the tiles of a target that are most worth labelling, and write them to be drawn on",
    "finetune": "learn from a few labelled tiles of the target, with BatchNorm statistics of all of it",
    "test": "score a network on labelled test sets",
    "predict": "segment images of the target",
    "objects": "make a table of the objects in a predicted mask, also of a volume larger than memory",
    "average": "average several segmentations of the same images, such as those in three planes of a volume",
    "export": "write a network for other programs: TorchScript, ONNX, a package of bioimage.io, or weights alone",
    "import": "convert a network trained elsewhere: a file of weights, or a package of bioimage.io",
    "distances": "measure how far source and target lie apart in a network's latent spaces",
    "source_summary": "add a summary of the source to a checkpoint",
    "validate": "score a network on the source's validation block",
    "study": "run an experiment",
    "doctor": "report what this installation and machine have, and what is missing",
}
OF_PARSERS = ("config", "c", "help", "help-all", "print_config", "print_shtab")
OF_ALL = (*OF_PARSERS, "seed_everything", "trainer", "model", "data")
OF_STUDY = (*OF_PARSERS, "yes", "study", "output", "networks", "scheduler", "workers")
OF_COMMAND = ("ckpt_path", "verbose", "weights_only", "return_predictions")


def check_options(arguments: Sequence[str]) -> None:
    """Refuse a command or an option that does not exist, by an InputError that gives the nearest name.

    Options of classes, such as `--data.source.images`, are left to the parser.
    """
    command = arguments[0]
    if command.startswith("-"):  # options in front of the command are rare
        return
    if command not in COMMANDS:
        raise InputError(f"unknown command {command!r}; {_nearest(command, COMMANDS)}.")
    for option in options_in(arguments[1:]):
        if refusal := refusal_of_option(command, option):
            raise InputError(f"{command}: {refusal}.")


def check_function_options(command: str, arguments: Sequence[str], known: Sequence[str]) -> None:
    """Refuse unknown options of a command, such as `objects`, that takes the parameters of a function."""
    for option in options_in(arguments):
        first = option.partition(".")[0]
        if first not in (*known, *OF_ALL):
            raise InputError(f"{command}: {_no_option(option, first, known, '')}.")


def options_of_commands() -> set[str]:
    """Names of the options of all LightningCLI commands, without those of trainer, model and data."""
    by_command = (parameters(*method_of_trainer(command)) for command in COMMANDS)
    return {*OF_COMMAND, *(name for each in by_command for name in each)} - {"model", "datamodule", "dataloaders"}


def check_study_options(name: str, arguments: Sequence[str]) -> None:
    """Refuse an unknown study, and unknown options of a known one."""
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}; {_nearest(name, [*STUDIES, 'report'])}.")
    study_options = parameters(*class_of_study(name), "__init__")
    for option in options_in(arguments):
        first, _, rest = option.partition(".")
        if first not in OF_STUDY:
            raise InputError(f"study {name}: {_no_option(option, first, OF_STUDY, '')}.")
        if first == "study" and rest and study_options and rest.partition(".")[0] not in (*study_options, "help"):
            raise InputError(f"study {name}: {_no_option(option, rest.partition('.')[0], study_options, 'study.')}.")


def refusal_of_option(command: str, option: str) -> str | None:
    """Why a command has no option of a dotted name, with the nearest one; None if names alone cannot decide."""
    first, _, rest = option.partition(".")
    known = [*OF_ALL, *OF_COMMAND, *parameters(*method_of_trainer(command))]
    if first not in known:
        return _no_option(option, first, known, "")
    members = {"trainer": _trainer, "data": _data}.get(first)
    second = rest.partition(".")[0]
    if members is None or second in ("", "help", "class_path", "init_args") or second in (names := members()):
        return None
    return _no_option(option, second, names, f"{first}.")


def _no_option(option: str, name: str, known: Sequence[str], prefix: str) -> str:
    near = get_close_matches(name, known, 1)
    remedy = f"did you mean --{prefix}{near[0]}" if near else "--help lists what there is"
    return f"unknown option --{option}; {remedy}"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}" if near else f"take one of {', '.join(known)}"


def _trainer() -> Sequence[str]:
    return parameters(trainer_of_lightning(), "Trainer", "__init__")


def _data() -> Sequence[str]:
    return parameters(ours("data/datamodule.py"), "DomainPair", "__init__")
