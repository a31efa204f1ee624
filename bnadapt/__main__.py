"""The console script `bnadapt`, also as `python -m bnadapt`."""

import os
import sys

from bnadapt.options import check_options, overview
from bnadapt.refusals import refusals


def run() -> None:
    """Do what the command line says: `study` is an entry of its own, all else is LightningCLI's."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # networks of one's own lie where one works
    arguments = sys.argv[1:]
    with refusals():
        if arguments == ["--version"]:
            from bnadapt import __version__

            print(__version__)
        elif not arguments or arguments[0] in ("-h", "--help"):
            print(overview())
        elif arguments[0] == "study":
            from bnadapt.studies.command import main as study

            study(arguments[1:])
        else:
            check_options(arguments)
            from bnadapt.cli import main

            main()


if __name__ == "__main__":
    run()
