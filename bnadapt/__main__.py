"""`python -m bnadapt` does what the console script `bnadapt` does."""

from bnadapt.cli import run

run()
