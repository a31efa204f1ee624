"""The console script `bnadapt`, also as `python -m bnadapt`."""

import sys

from bnadapt.refusals import refusals


def run() -> None:
    """Do what the command line says: `study` is an entry of its own, all else is LightningCLI's."""
    with refusals():
        if sys.argv[1:2] == ["study"]:
            from bnadapt.studies.command import main as study

            study(sys.argv[2:])
        else:
            from bnadapt.cli import main

            main()


if __name__ == "__main__":
    run()
