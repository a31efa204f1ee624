"""Two processes that share the images get the statistics of one."""

import pytest
import torch

from bnadapt.batchnorm import StatisticsError, UntilConverged, estimate
from bnadapt.networks import UNet
from tests.processes import process_group, share

CASES = {
    "one pass": {},
    "layer consistent": {"propagation": "layer_consistent"},
    "until known": {"until": UntilConverged(0.02, min_tiles=4)},
    "layer consistent until known": {"propagation": "layer_consistent", "until": UntilConverged(0.02, min_tiles=4)},
    "until the ceiling": {"until": UntilConverged(1e-6, min_tiles=4, max_tiles=12)},
}


def network_and_batches():
    """A network and 5 batches, so that one of two processes has more; in batches, because one pass depends on them."""
    torch.manual_seed(0)
    return UNet(base_channels=4).double(), torch.randn(19, 1, 32, 32, dtype=torch.float64).split(4)


def work(rank, folder):
    net, batches = network_and_batches()
    with process_group(rank, 2, folder) as group:
        found = {name: estimate(net, iter(batches[rank::2]), group=group, **options) for name, options in CASES.items()}
        try:
            estimate(net, batches[:1] if rank == 0 else [], group=group, propagation="layer_consistent")
        except StatisticsError as error:
            found["starved"] = str(error)
        torch.save(found, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    share(work, 2, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("case", ["one pass", "layer consistent"])
def test_two_processes_get_the_statistics_of_one(shared, case):
    net, batches = network_and_batches()
    alone = estimate(net, batches, **CASES[case])
    for found in shared:
        assert found[case].tiles == alone.tiles == 19
        assert found[case].pixels == alone.pixels
        assert found[case].bank.count == alone.bank.count
        shifts = found[case].bank.compared(alone.bank, eps=1e-12).values()
        assert max(shift.mean + shift.log_variance for shift in shifts) < 1e-6


@pytest.mark.parametrize("case", [name for name in CASES if "until" in name])
def test_two_processes_stop_together_with_the_same_statistics(shared, case):
    one, other = (found[case] for found in shared)
    assert one.tiles == other.tiles
    assert one.converged == other.converged
    assert one.convergence == other.convergence
    assert all(torch.equal(mean, other.bank.mean[name]) for name, mean in one.bank.mean.items())
    if case == "until the ceiling":
        assert (one.tiles, one.converged) == (16, False)


def test_layer_consistency_needs_a_batch_in_each_process(shared):
    for found in shared:
        assert "One of the processes got no image" in found["starved"]
