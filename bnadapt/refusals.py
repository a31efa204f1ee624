"""What the user can put right ends a command with a sentence, not with a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from bnadapt.batchnorm import BatchNormError
from bnadapt.distances import DistanceError
from bnadapt.errors import InputError

REFUSALS = (InputError, BatchNormError, DistanceError, MisconfigurationException)


@contextmanager
def refusals() -> Iterator[None]:
    """End the process with a sentence and exit status 2 on what the user can put right."""
    try:
        yield
    except Exception as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        print(f"bnadapt: error: {refusal}", file=sys.stderr)
        sys.exit(2)


def _refusal(error: BaseException | None) -> BaseException | None:
    """What the user can put right, in an error or what caused it (jsonargparse wraps what constructors raise)."""
    while error is not None and not isinstance(error, REFUSALS):
        error = error.__cause__
    return error
