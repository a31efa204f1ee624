"""Latents of any network in one pass: which places, in which layers, and what is left behind."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import StatisticsError
from bnadapt.distances import DistanceError, Sketch, Sketching, compare, latent_spaces, sketch_latents
from bnadapt.networks import UNet
from tests.processes import process_group, share


def network():
    torch.manual_seed(0)
    return UNet(base_channels=4).eval()


def images(count=10, size=48, seed=0):
    return torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(seed))


class Recorded(nn.Identity):
    """Its output is the position of every place in the tile, and the tile's number."""

    def forward(self, tiles):
        rows, columns = torch.meshgrid(*(torch.arange(float(side)) for side in tiles.shape[2:]), indexing="ij")
        where = torch.stack([rows, columns]).expand(len(tiles), -1, -1, -1)
        return torch.cat([where, tiles[:, :1]], 1)


def test_sketches_do_not_depend_on_batches():
    net, tiles = network(), images()
    whole, parts = (sketch_latents(net, latent_spaces(net), tiles.split(size)) for size in (10, 3))
    assert list(whole) == list(parts)
    for name, sketch in whole.items():
        assert sketch.samples == parts[name].samples
        for found in compare(sketch, parts[name]).values():
            assert found.value == pytest.approx(0, abs=0.02)  # convolutions of other batch sizes round differently
    torch.testing.assert_close(whole["bottleneck"].covariances.mean, parts["bottleneck"].covariances.mean)


def test_places_are_a_function_of_seed_and_number_alone():
    net = nn.Sequential(Recorded())
    numbers = torch.arange(10)
    tiles = numbers.view(10, 1, 1, 1).expand(10, 1, 40, 40).float()

    def places(batches, seed=0):
        with Sketching(net, {"0": net[0]}, positions_per_tile=16, seed=seed) as sketching:
            for tile, number in batches:
                sketching.update(tile, number)
        return sketching.examples["0"]

    one = places([(tiles, numbers)])
    assert one.shape == (160, 3)
    shuffled = numbers.flip(0)
    other = places(zip(tiles[shuffled].split(3), shuffled.split(3), strict=True))
    assert torch.equal(other[other[:, 2].argsort(stable=True)], one)
    assert not torch.equal(places([(tiles, numbers)], seed=1), one)
    assert len(one[:, :2].unique(dim=0)) > 100
    assert one[:, :2].min() < 4
    assert one[:, :2].max() > 35


def test_layers_of_all_shapes_and_what_is_no_latent():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.volume, self.vector, self.tuple = nn.Conv3d(1, 3, 1), nn.Linear(3, 2), nn.Identity()
            self.scalar, self.unused = nn.Flatten(0), nn.Identity()

        def forward(self, tiles):
            features = self.tuple((self.volume(tiles),))[0]
            return self.scalar(self.vector(features.mean((2, 3, 4))))

    net = Mixed()
    found = sketch_latents(net, dict(net.named_children()), torch.randn(4, 1, 6, 7, 8).split(2), positions_per_tile=50)
    assert {name: sketch.samples for name, sketch in found.items()} == {"volume": 200, "vector": 4}


def test_a_large_first_layer_and_a_wide_last_one():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(8), nn.Conv2d(2, 1024, 1))
    found = sketch_latents(net, {name: net[int(name)] for name in "02"}, [torch.randn(1, 1, 2048, 2048)] * 2)
    assert (found["0"].samples, found["2"].samples) == (192, 128)
    assert found["2"].width == 1024


def test_what_an_activation_does_in_place_is_not_seen():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).eval()
    for places in (4, 1000):
        found = sketch_latents(net, {"norm": net[1]}, [torch.randn(5, 1, 8, 8)], places)["norm"]
        assert (found.axes.bins.low < 0).any()


def test_half_precision_latents_are_taken_up():
    net = network()
    with torch.autocast("cpu", torch.bfloat16):
        found = sketch_latents(net, latent_spaces(net), images().split(5))
    exact = sketch_latents(net, latent_spaces(net), images().split(5))
    for name, sketch in exact.items():
        assert compare(sketch, found[name])["channel_wasserstein"].value < 0.05


def test_hooks_are_gone_and_the_network_is_as_before_also_after_an_exception():
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(RuntimeError):
        sketch_latents(net, latent_spaces(net), [images(), torch.randn(2, 3, 48, 48)])
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_latents_that_are_not_finite_are_refused_by_layer():
    net = network()
    tiles = images()
    with torch.no_grad():
        net.encoder[0].norm1.weight[1] = torch.nan
    with pytest.raises(DistanceError, match=r"Layer encoder\.0\.norm1: Latents are NaN or infinite"):
        sketch_latents(net, latent_spaces(net), [tiles], positions_per_tile=2304)
    tiles[3, 0, 5, 5] = torch.nan
    with pytest.raises(StatisticsError, match="Batch 1 has pixels that are NaN"):
        sketch_latents(network(), latent_spaces(net), tiles.split(2))


def test_nothing_seen_is_refused():
    net = network()
    with pytest.raises(DistanceError, match="No latents were seen"):
        sketch_latents(net, latent_spaces(net), [])


def test_default_spaces_are_norm_layers_and_stages_in_order():
    names = list(latent_spaces(UNet(base_channels=4)))
    assert names[:4] == ["encoder.0", "encoder.0.norm1", "encoder.0.norm2", "encoder.1"]
    assert "bottleneck" in names
    assert len(names) == 27
    net = network()
    called = list(sketch_latents(net, latent_spaces(net), [images()]))
    assert called[:3] == ["encoder.0.norm1", "encoder.0.norm2", "encoder.0"]
    assert called[-1] == "decoder.3"


def test_spaces_by_pattern():
    net = UNet(base_channels=4)
    assert list(latent_spaces(net, ["encoder.?", "head"])) == [f"encoder.{level}" for level in range(4)] + ["head"]
    with pytest.raises(DistanceError, match="No layer is named 'nosuch'"):
        latent_spaces(net, ["bottleneck", "nosuch"])
    with pytest.raises(DistanceError, match="has no BatchNorm layer to take latents from"):
        latent_spaces(nn.Sequential(nn.Conv2d(1, 1, 1)))


def work(rank, folder):
    net, tiles, numbers = network(), images(), torch.arange(10)
    shares = [slice(0, 7), slice(7, 10), slice(10, 10)]  # the last process sees nothing
    spaces = latent_spaces(net, ["encoder.*", "bottleneck"])
    with process_group(rank, 3, folder) as group, Sketching(net, spaces) as sketching:
        if len(numbers[shares[rank]]):
            sketching.update(tiles[shares[rank]], numbers[shares[rank]])
        torch.save(sketching.compute(group), f"{folder}/{rank}.pt")


def test_processes_that_share_the_tiles_get_the_sketches_of_one(tmp_path):
    share(work, 3, str(tmp_path))
    net = network()
    alone = sketch_latents(net, latent_spaces(net, ["encoder.*", "bottleneck"]), [images()])
    for rank in range(3):
        shared: dict[str, Sketch] = torch.load(tmp_path / f"{rank}.pt", weights_only=False)
        assert shared.keys() == alone.keys()
        for name, sketch in alone.items():
            assert shared[name].samples == sketch.samples
            torch.testing.assert_close(shared[name].covariances.scatter, sketch.covariances.scatter)
            assert compare(shared[name], sketch)["sliced_wasserstein"].value < 0.02
