"""Work that does not come to its end is reported, whatever the reason."""

import os
import threading
import time
from dataclasses import dataclass, field

import dask
import pytest
from dask.distributed import Client, Future, LocalCluster

from bnadapt.errors import InputError
from bnadapt.experiments.case import Case
from bnadapt.experiments.records import Records
from bnadapt.experiments.scheduling import Folders, measure_all


@dataclass(frozen=True, eq=False)
class Waiting(Case):
    """A case that takes some time."""

    seconds: float
    labels: dict = field(default_factory=dict)

    @property
    def needs(self):
        return None

    def measure(self, location):
        time.sleep(self.seconds)
        return [{"seconds": self.seconds}]


@dataclass(frozen=True, eq=False)
class Dying(Waiting):
    """A case that ends the process of its worker."""

    def measure(self, location):
        os._exit(1)


@pytest.fixture
def folders(tmp_path):
    return Folders(tmp_path / "study", tmp_path / "networks")


def cancel_all():
    """Cancel the work of this process's client, as another client of the scheduler can."""
    client = Client.current()
    client.cancel([Future(key, client) for key in list(client.futures)])


def test_cancelled_work_is_reported_and_what_was_measured_is_kept(folders):
    cases = [Waiting(0.0), *(Waiting(2 + number / 100) for number in range(8))]
    measure_all(cases[:1], folders, None, 0)
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        threading.Timer(1, cancel_all).start()
        with pytest.raises(InputError, match="2 pieces of work failed, the first one because: its work was cancelled"):
            measure_all(cases, folders, cluster.scheduler_address, None)
    assert folders.records.read(cases[0]) == [{"seconds": 0.0}]


def test_records_that_do_not_arrive_are_reported(folders, monkeypatch):
    """As from workers on other machines whose folders have the same path and are others."""
    monkeypatch.setattr(Records, "write", lambda *arguments: None)
    with pytest.raises(InputError, match=r"2 cases have no record in .*records, although all work has finished"):
        measure_all([Waiting(0.0), Waiting(0.001)], folders, None, 0)


@pytest.mark.slow
def test_a_case_that_ends_its_worker_is_reported(folders):
    at_once = {"distributed.scheduler.allowed-failures": 0}
    with dask.config.set(at_once), pytest.raises(InputError, match="1 pieces of work failed"):
        measure_all([Dying(0.0)], folders, None, 1)
