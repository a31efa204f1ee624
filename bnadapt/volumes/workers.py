"""Have the workers of a dask scheduler do pieces of work."""

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from rich.progress import track

from bnadapt.errors import InputError

log = logging.getLogger(__name__)
GROUPS_OF_A_WORKER = 8
RETRIES = 2


def done_by_workers(
    address: str, work: Callable[[Any, list[int]], None], shared: Any, pieces: Sequence[int], description: str
) -> None:
    """Spread pieces of work, in groups, over the workers; what fails there is told, and left.

    Args:
        address: of the scheduler.
        work: is given what is shared, and the numbers of some pieces; a group whose worker is lost is done by another.
        shared: sent to every worker once; no list, tuple or dict, whose parts dask would send one by one.
        pieces: their numbers.
        description: of the work, beside the progress.

    Raises:
        InputError: dask is not installed, there is no scheduler, or it has no workers.
    """
    if find_spec("distributed") is None:
        raise InputError("--scheduler needs dask; pip install 'bnadapt[studies]', or leave it out.")
    from dask.distributed import as_completed

    from bnadapt.dask_client import connected

    with connected(address) as client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"{address}: the scheduler has no workers; start some with `dask worker {address}`.")
        size = max(1, len(pieces) // (GROUPS_OF_A_WORKER * threads))
        groups = [list(pieces[start : start + size]) for start in range(0, len(pieces), size)]
        sent = client.scatter(shared, broadcast=True)
        futures = [client.submit(work, sent, group, pure=False, retries=RETRIES) for group in groups]
        for future in track(as_completed(futures), total=len(futures), description=description, transient=True):
            if future.status == "error":
                log.warning("%s: a worker has failed: %s", address, future.exception())
