"""Help of the commands, laid out for a screen."""

from collections.abc import Iterable, Iterator, Sequence
from textwrap import fill

from bnadapt.commands.docstrings import class_of_study, descriptions, method_of_trainer, ours, parameters
from bnadapt.commands.help_texts import DESCRIPTIONS, HELP, OF_STUDIES, STANDALONE_COMMANDS
from bnadapt.commands.options import COMMANDS
from bnadapt.studies import STUDIES

WIDTH, INDENT = 110, 36
ASKING = {"-h", "--help"}
NOT_SHOWN = ("model", "datamodule", "dataloaders", "verbose", "ckpt_path")


def help_for(arguments: Sequence[str]) -> str | None:
    """The help that the arguments of `bnadapt` ask for; None if they do not."""
    command, *options = [*arguments, *([] if arguments else ["--help"])]
    if command in ASKING:
        return overview()
    if not ASKING & set(options):
        return None
    if command == "study" and options[0] in STUDIES:
        return help_of_study(options[0])
    if command in HELP:
        return help_of(command)
    if command in STANDALONE_COMMANDS:
        return help_of_function(command)
    return f"usage: bnadapt doctor\n\n{_sentence(COMMANDS[command])}" if command == "doctor" else None


def overview() -> str:
    """The text of `bnadapt --help`."""
    commands = "\n".join(f"  {name:14} {about}" for name, about in COMMANDS.items())
    examples = "\n".join(f"  bnadapt {name} {HELP[name].example}" for name in ("fit", "adapt", "predict"))
    return (
        "usage: bnadapt COMMAND [OPTIONS]\n\n"
        "Adapt segmentation networks to new electron-microscopy data by their BatchNorm statistics.\n\n"
        f"commands:\n{commands}\n\n"
        f"examples:\n{examples}\n\n"
        "`bnadapt COMMAND --help` explains a command, `bnadapt --version` prints the version."
    )


def help_of(command: str) -> str:
    """The text of `bnadapt COMMAND --help`."""
    entry = HELP[command]
    note = (
        f"{entry.note} `bnadapt {command} --help-all` lists all options, Lightning's too; `--data.source.help Folder`"
        " those of a class; `--print_config` prints them as YAML."
    )
    return _screen(command, COMMANDS[command], f"bnadapt {command} {entry.example}", _options(command), note)


def help_of_function(command: str) -> str:
    """The text of `bnadapt COMMAND --help` for one of `STANDALONE_COMMANDS`."""
    entry = STANDALONE_COMMANDS[command]
    described = descriptions(ours(entry.module), entry.function)
    options = [(name, text) for name, text in described.items() if name not in entry.positional]
    title = " ".join([command, *map(str.upper, entry.positional)])
    return _screen(title, COMMANDS[command], entry.example, options, entry.note.format(**described), entry.usage)


def help_of_study(name: str) -> str:
    """The text of `bnadapt study NAME --help`."""
    described = descriptions(*class_of_study(name))
    options = (*((f"study.{each}", text) for each, text in described.items()), *OF_STUDIES.items())
    note = (
        "It resumes where it was stopped, and writes a table, figures and a page. configs/studies has its full form,"
        f" configs/studies/quick one of a minute or two. `bnadapt study {name} --help-all` lists types and defaults."
    )
    example = f"bnadapt study {name} --config configs/studies/quick/{name}.yaml"
    return _screen(f"study {name}", STUDIES[name].about, example, options, note)


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."


def _screen(
    command: str,
    about: str,
    example: str,
    options: Iterable[tuple[str, str]],
    note: str,
    usage: str = "[--config FILE] [OPTIONS]",
) -> str:
    lines = [
        f"usage: bnadapt {command} {usage}",
        _sentence(about),
        f"example:\n  {example}",
        "options:\n" + "\n".join(_option(name, text) for name, text in options),
        fill(note.strip(), WIDTH),
    ]
    return "\n\n".join(lines)


def _options(command: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions of the options that are shown."""
    yield from ((name, DESCRIPTIONS[name]) for name in ("config", "ckpt_path"))
    method = method_of_trainer(command)
    described = descriptions(*method)
    yield from ((name, DESCRIPTIONS.get(name) or _described(name)) for name in HELP[command].options)
    yield from ((name, described[name]) for name in parameters(*method) if name not in NOT_SHOWN)


def _described(name: str) -> str:
    """Description of an option of the data or the task, from its docstring."""
    group, _, parameter = name.partition(".")
    where = {
        "data": (ours("data/datamodule.py"), "DomainPair"),
        "model": (ours("tasks/segmentation.py"), "SegmentationTask"),
    }[group]
    return descriptions(*where)[parameter]


def _option(name: str, text: str) -> str:
    margin = " " * INDENT
    filled = fill(text, WIDTH, initial_indent=margin, subsequent_indent=margin)
    label = f"  --{name}"
    return f"{label}\n{filled}" if len(label) >= INDENT else label + filled[len(label) :]
