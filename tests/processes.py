"""Processes of tests: copies of the one that runs them, so that none of them imports anything again."""

import logging
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager

import dask
import torch
from dask.distributed import LocalCluster
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import distributed, multiprocessing

from bnadapt.__main__ import run
from bnadapt.commands.cli import end_process_group

FORKED = {"distributed.worker.multiprocessing-method": "fork"}  # of dask
TWO = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]


class Command:
    """A command line of `bnadapt`, at work in a process of its own."""

    def __init__(self, *arguments, rank=0, environment=()):
        self.files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115, as long as the process
        self.status = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            os._exit(self._work([str(each) for each in arguments], rank, dict(environment)))

    def _work(self, arguments, rank, environment):
        os.setsid()
        for number, file in enumerate(self.files, 1):
            os.dup2(file.fileno(), number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1) for number in (1, 2))  # noqa: SIM115
        signal.signal(signal.SIGINT, signal.default_int_handler)
        logging.getLogger().handlers.clear()  # pytest's, so that logs go to standard error
        os.environ.update(environment)
        rank_zero_only.rank = rank
        sys.argv = ["bnadapt", *arguments]
        try:
            run()
        except SystemExit as ended:
            return ended.code or 0
        except KeyboardInterrupt:
            return 130
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            end_process_group()
            sys.stdout.flush()
            sys.stderr.flush()
        return 0

    def poll(self):
        """The exit status, or minus the signal that has killed it; None while it is at work."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def until(self, condition, seconds=100):
        """Wait until something has come to pass, while the process is at work."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.poll() is None, self.errors
            assert time.monotonic() < end, "it took too long"
            time.sleep(0.01)
        return self

    def send(self, number):
        os.killpg(self.pid, number)
        return self

    def wait(self, seconds=200):
        """Wait for its end; the exit status."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > end:
                self.send(signal.SIGKILL)
                raise AssertionError(f"it took too long: {self.errors}")
            time.sleep(0.01)
        return self.status

    @property
    def output(self):
        return self._written(0)

    @property
    def errors(self):
        return self._written(1)

    def _written(self, number):
        self.files[number].seek(0)
        return self.files[number].read().decode()


def in_two(*arguments):
    """Run a command in two processes of one group, as `torchrun` or a scheduler would start them; give both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    ranks = [Command(*arguments, *TWO, rank=rank, environment={**group, "LOCAL_RANK": str(rank)}) for rank in range(2)]
    for each in ranks:
        each.wait()
    return ranks


def run_in_two(*arguments):
    """Do that, and give what the first process printed."""
    ranks = in_two(*arguments)
    assert [each.status for each in ranks] == [0, 0], "\n".join(each.errors for each in ranks)
    return ranks[0].output


def share(work, count, *arguments):
    """Run work(rank, *arguments) in so many processes."""
    multiprocessing.start_processes(work, arguments, nprocs=count, start_method="fork")


@contextmanager
def forked_workers(count):
    """A scheduler with so many workers."""
    with (
        dask.config.set(FORKED),
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        yield cluster


@contextmanager
def process_group(rank, size, folder):
    """A gloo group of processes that meet in a folder; none leaves it before all are done, also after an error."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    try:
        yield distributed.group.WORLD
        distributed.barrier()
    finally:
        distributed.destroy_process_group()
