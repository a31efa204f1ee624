"""Measure the cases of a study by dask, on this machine or on the workers of a scheduler."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import dask
import torch
from dask.distributed import Client, Future, LocalCluster, Worker, as_completed, get_worker
from distributed.system import MEMORY_LIMIT
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case, RunLocation
from bnadapt.experiments.networks import SourceNetwork, quiet, trained
from bnadapt.experiments.records import Records
from bnadapt.reports.terminal import Console
from bnadapt.text import counted
from bnadapt.volumes.dask_client import connected

AT_ONCE = 4  # cases that a worker is given together
MEMORY_OF_A_WORKER = 4 * 2**30  # bytes; there are fewer workers than cores where they would not find as much


class Folders:
    """Folders of a study's files, which every worker must reach by the same paths.

    Args:
        study: the study's own folder.
        networks: folder of trained networks, which studies share.
    """

    def __init__(self, study: Path, networks: Path) -> None:
        self.study = study.absolute()
        self.networks = networks.absolute()
        self.pictures = self.study / "pictures"
        self.runs = self.study / "runs"
        self.records = Records(self.study / "records")


def measure_all(cases: Sequence[Case], folders: Folders, scheduler: str | None, workers: int | None) -> None:
    """Measure cases without a record; finished ones are kept, whatever happens.

    Args:
        cases: cases of the study.
        folders: folders of its files.
        scheduler: address of a dask scheduler; by default a cluster on this machine, with one worker per GPU or
            core: fewer workers with more threads took 1.3 times as long.
        workers: workers of the cluster on this machine; 0 does all in this process, one case after the other.

    Raises:
        InputError: cases failed, were cancelled or left no record; all others are measured.
    """
    different = dict.fromkeys(cases)
    missing = [case for case in different if folders.records.read(case) is None]
    console = Console()
    if not different:
        return
    console.print(f"{counted(len(different), 'case')}, {len(different) - len(missing)} measured already.")
    if not missing:
        return
    if workers == 0 and scheduler is None:
        _measure_here(missing, folders, console)
    else:
        with _client(scheduler, workers, _pieces(missing)) as (client, threads):
            console.print(f"Dashboard: {client.dashboard_link}")
            _follow(_submitted(client, missing, folders, threads))
    _refuse_gaps(missing, folders)


def _measure_here(cases: Sequence[Case], folders: Folders, console: Console) -> None:
    """Measure cases in this process; those that fail do not stop the others."""
    errors: list[Exception] = []
    with progress_bars(console) as progress:
        for case in progress.track(sorted(cases, key=_by_network), description="cases"):
            try:
                if case.needs:
                    _train(case.needs, folders.networks, None)
                _measure([case], folders, None, None)
            except Exception as error:
                errors.append(error)
    _refuse_failures(errors)


def _submitted(
    client: Client, cases: Sequence[Case], folders: Folders, threads: int | None
) -> dict[Future, list[Case] | SourceNetwork]:
    """All work as futures: networks to train, and cases in small groups that wait for their network."""
    networks = {case.needs: None for case in cases if case.needs}
    training = {
        network: client.submit(_train, network, folders.networks, threads, key=f"train-{network.key}")
        for network in networks
        if not network.path(folders.networks).exists()
    }
    futures: dict[Future, list[Case] | SourceNetwork] = {future: network for network, future in training.items()}
    for network, group in groupby(sorted(cases, key=_by_network), key=lambda case: case.needs):
        waiting = list(group)
        for few in (waiting[start : start + AT_ONCE] for start in range(0, len(waiting), AT_ONCE)):
            futures[client.submit(_measure, few, folders, threads, training.get(network), pure=False)] = few
    return futures


def _follow(futures: dict[Future, list[Case] | SourceNetwork]) -> None:
    """Show progress until all is done; then report failures."""
    networks = [each for each in futures.values() if isinstance(each, SourceNetwork)]
    cases = sum(len(each) for each in futures.values() if isinstance(each, list))
    errors: list[BaseException] = []
    with progress_bars() as progress:
        bars: dict[type, TaskID] = {list: progress.add_task("cases", total=cases, start=not networks)}
        if networks:
            bars[SourceNetwork] = progress.add_task("networks to train", total=len(networks))
        for future in as_completed(futures):
            work = futures[future]
            progress.start_task(bars[list])
            progress.advance(bars[type(work)], len(work) if isinstance(work, list) else 1)
            if future.status == "error":
                errors.append(future.exception())
            elif future.status != "finished":
                errors.append(RuntimeError(f"its work was {future.status}, by another client or with the scheduler"))
    _refuse_failures(errors)


def progress_bars(console: Console | None = None) -> Progress:
    """Bars with the time left."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeftColumn(), console=console
    )


class TimeLeftColumn(ProgressColumn):
    """Time left at the mean pace since the start; rich's own column looks back 30 seconds."""

    def render(self, task: Task) -> Text:
        """Hours, minutes and seconds left."""
        if not task.completed or task.elapsed is None:
            return Text("")
        seconds = task.elapsed / task.completed * task.remaining
        return Text(f"{timedelta(seconds=round(seconds))} left", style="progress.remaining")


def _refuse_failures(errors: Sequence[BaseException]) -> None:
    if errors:
        first = str(errors[0]).rstrip(".")
        raise InputError(
            f"{len(errors)} pieces of work failed, the first one because: {first}. Finished measurements are kept; once"
            " the cause is fixed, the same command resumes with the rest."
        ) from errors[0]


def _refuse_gaps(cases: Sequence[Case], folders: Folders) -> None:
    """Refuse to go on with cases that have no record, although no work has failed."""
    count = sum(folders.records.read(case) is None for case in cases)
    if count:
        raise InputError(
            f"{count} cases have no record in {folders.records.folder}, although all work has finished; workers on"
            " other machines must reach that folder by the same path. The same command measures what is missing."
        )


def _by_network(case: Case) -> str:
    return case.needs.key if case.needs else ""


def _pieces(cases: Sequence[Case]) -> int:
    """Greatest number of busy workers: one for each network, or case that needs none."""
    return len({case.needs.key if case.needs else case.key for case in cases})


def _train(network: SourceNetwork, folder: Path, threads: int | None) -> None:
    with _threads(threads):
        trained(network, folder, _device())


def _measure(cases: Sequence[Case], folders: Folders, threads: int | None, network: None) -> None:
    """Measure cases; `network` is there to wait for its training."""
    location = RunLocation(folders.networks, folders.pictures, folders.runs, _device())
    with _threads(threads), quiet():
        for case in cases:
            if folders.records.read(case) is None:
                folders.records.write(case, case.measure(location))


@contextmanager
def _client(scheduler: str | None, workers: int | None, pieces: int) -> Iterator[tuple[Client, int | None]]:
    """A client with at most one worker per piece of work, and the threads of each worker on this machine."""
    if scheduler:
        with connected(scheduler) as client:
            yield client, None
        return
    cores = os.cpu_count() or 1
    affordable = torch.cuda.device_count() or max(1, min(cores, int(MEMORY_LIMIT // MEMORY_OF_A_WORKER)))
    count = workers or min(affordable, pieces)
    with (
        # dask's default makes workers return memory at once, which takes torch longer than computing
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address="localhost:0",
            silence_logs=logging.CRITICAL,
            preload=__name__,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client, max(1, cores // count)


def dask_setup(worker: Worker) -> None:
    """Called by dask in every worker on this machine; Ctrl-C is left to the process that started and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _device() -> torch.device:
    """A separate GPU for each worker, if there are any."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        name = str(get_worker().name)
    except ValueError:  # this process is not a worker
        name = ""
    return torch.device("cuda", int(name) % torch.cuda.device_count() if name.isdigit() else 0)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
