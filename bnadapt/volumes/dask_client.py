"""Connect to a dask scheduler."""

from dask.distributed import Client

from bnadapt.errors import InputError

TIMEOUT = 10  # seconds


def connected(address: str) -> Client:
    """Connect to the scheduler at an address, such as tcp://host:8786; refuses one that does not answer."""
    try:
        return Client(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{address}: no dask scheduler answers there ({error}); start one with `dask scheduler`, or leave out"
            " --scheduler."
        ) from error
