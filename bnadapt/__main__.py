"""The console script `bnadapt`, also as `python -m bnadapt`."""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from bnadapt.commands.announcement import announce
from bnadapt.commands.defaults import defaults_in_force
from bnadapt.commands.docstrings import documented, ours
from bnadapt.commands.help import help_for
from bnadapt.commands.help_texts import HELP, STANDALONE_COMMANDS
from bnadapt.commands.input_checks import check_inputs
from bnadapt.commands.options import check_function_options, check_options
from bnadapt.commands.refusals import refusals
from bnadapt.errors import InputError
from bnadapt.text import show_safely

ALL_HELP = {"--help-all": "--help"}  # of the parsers


def run() -> None:
    """Run the command line: LightningCLI, or the function of a stand-alone command."""
    show_safely()
    arguments = sys.argv[1:]
    with refusals():
        _add_working_folder()
        if arguments == ["--version"]:
            from bnadapt import __version__

            print(__version__)
        elif text := help_for(arguments):
            print(text)
        else:
            if entry := STANDALONE_COMMANDS.get(arguments[0]):
                check_function_options(
                    arguments[0], arguments[1:], list(documented(ours(entry.module), entry.function))
                )
            elif arguments[0] != "study":
                check_options(arguments)
            check_inputs(arguments[0], arguments[1:])
            announce(arguments[0], arguments[1:])
            if arguments[0] in HELP and any(each.startswith("--print_config") for each in arguments):
                print(defaults_in_force(arguments), flush=True)
            _run(arguments[0], [ALL_HELP.get(each, each) for each in arguments])


def _add_working_folder() -> None:
    """Import from the working folder, too, where networks of one's own lie."""
    try:
        folder = os.getcwd()
    except FileNotFoundError as error:
        raise InputError("the working folder is gone; change to another one.") from error
    if folder not in sys.path:
        sys.path.append(folder)


def _run(command: str, arguments: Sequence[str]) -> None:
    gc.disable()
    work = _imported(command, arguments)
    gc.freeze()  # modules live as long as the process: looking for garbage among them took half of a short command
    gc.enable()
    work()


def _imported(command: str, arguments: Sequence[str]) -> Callable[[], object]:
    """What a command does with its arguments; all that it needs is imported now."""
    if command == "study":
        from bnadapt.commands.study import main as study

        return partial(study, arguments[1:])
    if command == "import":
        from bnadapt.commands.import_network import main as import_network

        return partial(import_network, arguments[1:])
    if command == "objects":
        from bnadapt.commands.objects import main as objects

        return partial(objects, arguments[1:])
    if command == "average":
        from bnadapt.commands.average import main as average

        return partial(average, arguments[1:])
    if command == "doctor":
        from bnadapt.commands.doctor import main as doctor

        return doctor
    from bnadapt.commands.cli import main

    return partial(main, arguments)


if __name__ == "__main__":
    run()
