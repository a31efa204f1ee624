"""Segment sections on the workers of a dask scheduler."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from rich.progress import track

from bnadapt.errors import InputError

log = logging.getLogger(__name__)
GROUPS_OF_A_WORKER = 8
RETRIES = 2


@dataclass(frozen=True)
class Segmenting:
    """Everything that a worker needs, in one object, since dask would send the parts of a tuple one by one."""

    folder: str  # of relative paths
    trainer: Callable[[], Trainer]
    model: LightningModule
    datamodule: LightningDataModule
    options: Mapping[str, Any]  # of the Trainer's `predict`

    def segment(self, sections: list[int]) -> None:
        """Segment sections by number; failures become RuntimeError, since errors of libraries may not be picklable."""
        os.chdir(self.folder)
        try:
            self.trainer().predict(self.model, datamodule=self.datamodule, sections=sections, **self.options)
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None


def segmented_by_workers(
    address: str,
    trainer: Callable[[], Trainer],
    model: LightningModule,
    datamodule: LightningDataModule,
    options: Mapping[str, Any],
    sections: Sequence[int],
) -> None:
    """Distribute groups of sections over the workers; failures are logged, and their sections left out.

    If a worker is lost, another one takes its group.

    Args:
        address: address of the scheduler.
        trainer: factory of Trainers, called in the worker.
        model: the task.
        datamodule: data module with the target.
        options: options of the Trainer's `predict`.
        sections: numbers of the sections.

    Raises:
        InputError: dask is not installed, no scheduler answers, or it has no workers.
    """
    if find_spec("distributed") is None:
        raise InputError("--scheduler needs dask; pip install 'bnadapt[studies]', or leave it out.")
    from dask.distributed import as_completed

    from bnadapt.volumes.dask_client import connected

    with connected(address) as client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise InputError(f"{address}: the scheduler has no workers; start some with `dask worker {address}`.")
        size = max(1, len(sections) // (GROUPS_OF_A_WORKER * threads))
        groups = [list(sections[start : start + size]) for start in range(0, len(sections), size)]
        work = client.scatter(Segmenting(os.getcwd(), trainer, model, datamodule, options), broadcast=True)
        futures = [client.submit(Segmenting.segment, work, group, pure=False, retries=RETRIES) for group in groups]
        for future in track(as_completed(futures), total=len(futures), description="Segmenting", transient=True):
            if future.status == "error":
                log.warning("%s: a worker has failed: %s", address, future.exception())
            elif future.status != "finished":
                log.warning("%s: work on some sections was %s.", address, future.status)
