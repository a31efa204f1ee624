"""The console script `bnadapt`, also as `python -m bnadapt`."""

import os
import sys
from collections.abc import Sequence

from bnadapt.command_help import OWN, help_for
from bnadapt.options import check_options
from bnadapt.refusals import refusals
from bnadapt.text import show_safely

ALL_HELP = {"--help-all": "--help"}  # of the parsers


def run() -> None:
    """Do what the command line says; by LightningCLI, apart from commands with options of their own and `doctor`."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # networks of one's own lie where one works
    show_safely()
    arguments = sys.argv[1:]
    with refusals():
        if arguments == ["--version"]:
            from bnadapt import __version__

            print(__version__)
        elif text := help_for(arguments):
            print(text)
        else:
            if arguments[0] not in ("study", *OWN):
                check_options(arguments)
            _run(arguments[0], [ALL_HELP.get(each, each) for each in arguments])


def _run(command: str, arguments: Sequence[str]) -> None:
    if command == "study":
        from bnadapt.studies.command import main as study

        study(arguments[1:])
    elif command == "import":
        from bnadapt.exchange.command import main as import_network

        import_network(arguments[1:])
    elif command == "objects":
        from bnadapt.volumes.objects_command import main as objects

        objects(arguments[1:])
    elif command == "average":
        from bnadapt.volumes.average_command import main as average

        average(arguments[1:])
    elif command == "doctor":
        from bnadapt.doctor import main as doctor

        doctor()
    else:
        from bnadapt.cli import main

        main(arguments)


if __name__ == "__main__":
    run()
