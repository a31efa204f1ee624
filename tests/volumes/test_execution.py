"""How `predict` runs a network: as fast as changes nothing but ties."""

import json
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bnadapt.commands.cli import main
from bnadapt.errors import InputError
from bnadapt.networks import UNet, openvino_network
from bnadapt.volumes import execution
from bnadapt.volumes.execution import HALF, OPENVINO, SINGLE, TORCH, Execution, Executions

SIDE, MANY = 192, 10**9  # pixels of a block, and of a segmentation


class Waves(nn.Module):
    """Logits (N, K, H, W) that differ by waves of the image; the more waves, the more it matters how one rounds."""

    def __init__(self, waves, height, classes=2):
        super().__init__()
        self.scale = nn.Conv2d(1, classes, 1)
        self.scale.weight.data = waves * torch.arange(1.0, classes + 1)[:, None, None, None]
        self.scale.bias.data.zero_()
        self.height = height

    def forward(self, images):
        return self.height * torch.sin(self.scale(images))


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """A processor that computes in bfloat16, and no OpenVINO."""
    monkeypatch.setattr(execution, "computes_in_bfloat16", lambda device: True)
    monkeypatch.setattr(openvino_network, "is_installed", lambda: False)


def executions(network, classes=2, pixels=MANY, side=SIDE):
    torch.manual_seed(0)
    return Executions(network.eval(), classes, torch.rand(2, 1, side, side), 16, pixels)


def test_bfloat16_is_taken_where_it_changes_nothing():
    chosen = executions(Waves(1, 9))
    found = chosen.fastest()
    assert (found.library, found.precision) == (TORCH, HALF)
    assert found.reason == "bfloat16 changes the class of 0 of 57600 compared pixels, ties apart"
    images = torch.rand(1, 1, 16, 16)
    assert chosen.run(found)(images).dtype == torch.bfloat16


@pytest.mark.parametrize("classes", [2, 3])
def test_float32_is_kept_where_bfloat16_changes_classes(classes):
    chosen = executions(Waves(1000, 9, classes), classes)
    found = chosen.fastest()
    assert found.precision == SINGLE
    assert "bfloat16 changes the class of" in found.reason
    assert chosen.run(found)(torch.rand(1, 1, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize("classes", [2, 3])
def test_ties_do_not_count(classes):
    assert executions(Waves(1000, 1e-3, classes), classes).fastest().precision == HALF


def test_values_that_are_not_finite_count():
    class Overflowing(nn.Module):
        def forward(self, images):
            logits = torch.cat([images, 1 - images], 1)
            return logits if logits.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") else logits / 0

    assert executions(Overflowing()).fastest().precision == SINGLE


@pytest.mark.parametrize(("pixels", "side"), [(900_000, SIDE), (MANY, 112)])
def test_few_pixels_are_segmented_as_ever(pixels, side):
    network = UNet(base_channels=4)
    chosen = executions(network, pixels=pixels, side=side)
    found, images = chosen.fastest(), torch.rand(1, 1, 32, 32)
    assert (found.precision, found.folded) == (SINGLE, 0)
    assert "too few pixels" in found.reason
    assert torch.equal(chosen.run(found)(images), network(images))


def test_a_processor_without_bfloat16_computes_in_float32(monkeypatch):
    monkeypatch.setattr(execution, "computes_in_bfloat16", lambda device: False)
    found = executions(UNet(base_channels=4)).fastest()
    assert (found.precision, found.folded) == (SINGLE, 18)
    assert "18 BatchNorm layers folded into convolutions" in str(found)


def test_what_fails_is_left_to_the_segmentation():
    found = executions(nn.Conv2d(2, 2, 1)).fastest()  # of two channels, where the images have one
    assert (found.precision, found.folded) == (SINGLE, 0)


def test_a_precision_that_is_given_is_taken():
    found = executions(UNet(base_channels=4)).in_precision("16-mixed")
    assert (found.library, found.precision, found.folded) == (TORCH, "16-mixed", 18)


@pytest.fixture
def openvino(monkeypatch):
    """OpenVINO as a function of the network, which takes a share of the time of PyTorch."""

    def install(share, run):
        seconds = chain.from_iterable((0.0, each) for each in chain(repeat(40.0, 3), repeat(40 * share, 3)))
        monkeypatch.setattr(execution, "time", SimpleNamespace(process_time=lambda: next(seconds)))
        monkeypatch.setattr(openvino_network, "is_installed", lambda: True)
        monkeypatch.setattr(openvino_network, "compiled", lambda network, images, in_bfloat16: run(network))

    return install


@pytest.mark.parametrize(
    ("share", "run", "library"),
    [
        (0.5, lambda network: network, OPENVINO),
        (0.95, lambda network: network, TORCH),
        (0.5, lambda network: lambda images: -network(images), TORCH),
        (0.5, lambda network: lambda images: network(images[..., 1:]), TORCH),
    ],
    ids=["faster", "as fast", "of other classes", "failing"],
)
def test_openvino_is_taken_where_it_is_faster_and_as_exact(openvino, share, run, library):
    openvino(share, run)
    found = executions(Waves(1, 9)).fastest()
    assert (found.library, found.precision) == (library, HALF)
    assert "OpenVINO" in found.reason


def test_a_short_segmentation_does_not_wait_for_openvino(openvino):
    openvino(0.5, None)
    assert executions(Waves(1, 9), pixels=47_000).fastest().library == TORCH


def test_openvino_runs_the_network():
    pytest.importorskip("openvino")
    network = UNet(base_channels=4).eval()
    run = openvino_network.compiled(network, torch.rand(1, 1, 64, 64), in_bfloat16=False)
    images = torch.rand(2, 1, 48, 80).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(run(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_run_that_was_begun_with_openvino_needs_it():
    with pytest.raises(InputError, match=r"pip install 'bnadapt\[fast\]'"):
        executions(UNet(base_channels=4)).run(Execution(OPENVINO, HALF, 18, ""))


@pytest.fixture
def predict(best, tmp_path):
    """Run `predict` on a volume that is large enough; returns its record."""
    pixels = np.random.default_rng(0).integers(255, size=(26, SIDE, SIDE), dtype=np.uint8)
    np.save(tmp_path / "volume.npy", pixels)
    target = ["--data.target=Stack", f"--data.target.images={tmp_path / 'volume.npy'}"]
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]

    def run(*options, output="out"):
        main(["predict", "--ckpt_path", str(best), *target, *quiet, "--output", output, *options])
        path = Path(output) / "volume_segmentation.json"
        return json.loads(path.read_text())["execution"] if path.exists() else None

    return run


def test_the_execution_is_said_and_recorded(predict, capsys):
    found = predict()
    assert (found["precision"], found["folded"]) == (HALF, 18)
    said = f"Execution: PyTorch in bf16-mixed, 18 BatchNorm layers folded into convolutions; {found['reason']}."
    assert said in " ".join(capsys.readouterr().out.split())
    assert predict("--trainer.precision=32-true", output="given")["precision"] == SINGLE
    masks = [np.load(Path(folder) / "volume_mask.npy") for folder in ("out", "given")]
    is_tie = np.abs(np.load("given/volume_probability.npy") / 255 - 0.5) < 0.025  # stored in steps of 1 / 255
    assert ((masks[0] != masks[1]) & ~is_tie).mean() < 1e-4


def test_a_run_that_is_resumed_goes_on_in_the_same_way(predict, monkeypatch):
    predict("--sections=[0]")
    monkeypatch.setattr(execution, "computes_in_bfloat16", lambda device: False)
    assert predict()["precision"] == HALF
