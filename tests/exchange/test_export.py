"""What is exported gives the probabilities of the network, whoever runs it."""

import zipfile

import imageio.v3
import numpy as np
import onnxruntime
import pytest
import torch
from bioimageio.spec import load_description

from bnadapt.commands.cli import main
from bnadapt.data import DomainPair, Synthetic
from bnadapt.data.intensity import IntensityRange, by_data_set, by_data_type, by_percentiles, by_zscore
from bnadapt.errors import InputError
from bnadapt.exchange import FixedScaling
from bnadapt.exchange.bioimageio_package import report_on
from bnadapt.exchange.fixed_scaling import fixed
from bnadapt.exchange.traced_files import traced
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE
from tests.exchange.conftest import ABOUT


@pytest.fixture
def export(adapted, tmp_path):
    """Export the adapted network in a format, and give the file."""

    def export(form, *options):
        path = tmp_path / f"exported-{form}"
        arguments = ["--ckpt_path", str(adapted), "--format", form, "--output", str(path.with_suffix(".zip"))]
        main(["export", *arguments, *TARGET_ALONE, *options])
        return path.with_suffix(".zip")

    return export


@pytest.fixture
def of_network(adapted):
    """Class probabilities (N, K, H, W) of images of the target as files have them, by the pipeline itself."""
    task = SegmentationTask.load_from_checkpoint(adapted, map_location="cpu").eval()

    def probabilities(pixels):
        scaled = np.stack([by_data_type(image) for image in pixels])  # DOMAINS: --data.intensity=dtype
        with torch.no_grad():
            return task.logits({"image": torch.from_numpy(scaled)}).softmax(1).numpy()

    return probabilities


@pytest.fixture
def images():
    """Images of the target, as files have them, in sizes that the network must pad."""
    domain = Synthetic(size=48, images=2, object_size=12, mean=[0.4, 0.1], seed=9)
    whole = np.stack([section.read_image() for section in domain.labelled()])[:, np.newaxis]
    return [whole, whole[:1, :, :37, :45]]


def test_torchscript_gives_the_networks_probabilities(export, of_network, images):
    model = torch.jit.load(export("torchscript"))
    assert not model.training
    for pixels in images:
        given = model(torch.from_numpy(pixels.astype(np.float32))).detach().numpy()
        np.testing.assert_allclose(given, of_network(pixels), atol=1e-5)


def test_onnx_gives_the_networks_probabilities(export, of_network, images):
    session = onnxruntime.InferenceSession(export("onnx"), providers=["CPUExecutionProvider"])
    for pixels in images:
        given = session.run(["probabilities"], {"pixels": pixels.astype(np.float32)})[0]
        np.testing.assert_allclose(given, of_network(pixels), atol=1e-5)


def test_a_package_passes_the_test_of_bioimageio_core(package, of_network):
    report = report_on(package)
    assert report.status == "passed"
    tested = " ".join(detail.name for detail in report.details)
    assert "pytorch_state_dict" in tested
    assert "torchscript" in tested
    with zipfile.ZipFile(package) as inside:
        given, pixels = (np.load(inside.open(f"{name}.npy")) for name in ("probabilities", "pixels"))
    unsigned = pixels.astype(Synthetic(size=48, images=1).labelled()[0].read_image().dtype)
    np.testing.assert_allclose(given, of_network(unsigned), atol=1e-5)


def test_a_package_tells_units_scaling_and_where_it_comes_from(export):
    path = export("bioimageio", *ABOUT, "--about.name=Cells", "--data.target.label=mine", "--data.intensity=zscore")
    model = load_description(path)
    assert model.name == "Cells"
    assert [author.name for author in model.authors] == ["A. Tester"]
    (step,) = (step for step in model.inputs[0].preprocessing if step.id == "scale_linear")
    with zipfile.ZipFile(path) as package:
        pixels = np.load(package.open("pixels.npy"))
    scaled = step.kwargs.gain * pixels + step.kwargs.offset
    assert abs(scaled.mean()) < 0.3
    assert abs(scaled.std() - 1) < 0.3
    with zipfile.ZipFile(path) as package:
        readme = package.read("README.md").decode()
        assert not torch.jit.load(package.open("weights.pt")).training
    assert "re-estimated on" in readme
    assert "mine" in readme


def test_a_module_in_train_mode_is_not_written():
    with pytest.raises(ValueError, match="train mode"):
        traced(torch.nn.Conv2d(1, 2, 1).train(), 1)


def test_weights_alone_need_no_target(adapted, tmp_path):
    main(["export", "--ckpt_path", str(adapted), "--format", "state_dict", "--output", "weights.pth"])
    weights = torch.load("weights.pth", weights_only=True)
    task = SegmentationTask.load_from_checkpoint(adapted, map_location="cpu")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in task.network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format=onnx"], "give --data.target"),
        (["--format=bioimageio", *TARGET_ALONE], "--about.license"),
        (["--format=onnx", *TARGET_ALONE, "--data.intensity=histogram"], "train with another"),
        (["--format=onnx", *TARGET_ALONE, "--data.target_change.zoom=2"], "enlarges images of the target 2 times"),
        (["--format=tensorflow", *TARGET_ALONE], "format"),
        (["--format=torchscript", "--data.target=Folder", "--data.target.images=coloured"], "images have 3 channels"),
        (["--format=bioimageio", *TARGET_ALONE, *ABOUT, '--about.cite=["A paper"]'], "has no DOI or address"),
        (["--format=state_dict", "--like=nosuch.pth"], "nosuch.pth: no such file"),
        (["--format=bioimageio", "--like=nosuch.zip"], "nosuch.zip: cannot be read as a package"),
        (["--format=onnx", *TARGET_ALONE, "--like=nosuch.pth"], "--like is for state_dict and bioimageio"),
        (["--format=bioimageio", *TARGET_ALONE, *ABOUT, "--about.name=a/b:c"], "check --about"),
        (["--format=bioimageio", *TARGET_ALONE, *ABOUT, "--about.license=NOPE"], "check --about"),
        (["--format=bioimageio", *TARGET_ALONE, *ABOUT, "--about.authors=[]"], "--about.license"),
    ],
)
def test_what_cannot_be_exported_is_refused(adapted, refused, options, words, tmp_path):
    (tmp_path / "coloured").mkdir()
    colours = np.random.default_rng(0).integers(255, size=(40, 40, 3), dtype=np.uint8)
    imageio.v3.imwrite(tmp_path / "coloured" / "a.png", colours)
    output = tmp_path / "model.bin"
    options = [*(each for each in options if "intensity=dtype" not in each or "histogram" not in str(options))]
    assert words in refused("export", "--ckpt_path", adapted, "--output", output, *options)
    assert not output.exists()


def test_a_network_that_decides_by_its_values_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "deciding.py").write_text(DECIDING)
    torch.save({"conv.weight": torch.randn(2, 1, 1, 1), "norm.weight": torch.ones(2), "norm.bias": torch.zeros(2),
                "norm.running_mean": torch.zeros(2), "norm.running_var": torch.ones(2),
                "norm.num_batches_tracked": torch.tensor(1)}, "weights.pth")  # fmt: skip
    from bnadapt.commands.import_network import main as import_network

    import_network(["weights.pth", "--network", "deciding.Deciding", "--intensity", "dtype"])
    common = ["export", "--ckpt_path", "imported.ckpt", "--model.network", "deciding.Deciding", *TARGET_ALONE]
    assert "differs from its original" in refused(*common, "--format=torchscript")


DECIDING = """
import torch

class Deciding(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(1, 2, 1, bias=False), torch.nn.BatchNorm2d(2)

    def forward(self, images):
        logits = self.norm(self.conv(images))
        return logits if images.shape[-1] == 70 else logits + torch.tensor([9.0, -9.0])[:, None, None]
"""


@pytest.mark.parametrize("name", ["dtype", "dataset"])
def test_scalings_of_a_data_set_are_the_same_fixed(name):
    data = DomainPair(target=Synthetic(size=48, images=3), intensity=name)
    scaling = data.scalings.of("target", data.target)
    image = by_data_type(data.target.labelled()[0].read_image()[None])
    found = fixed(name, [image], data.scalings.ranges["target"])
    np.testing.assert_allclose(found(image), scaling(image), atol=1e-5)


@pytest.mark.parametrize(("name", "scale"), [("zscore", by_zscore), ("percentile", by_percentiles)])
def test_scalings_of_an_image_are_the_same_for_a_data_set_of_one(name, scale):
    image = np.random.default_rng(0).normal(0.3, 0.1, (2, 40, 50))
    np.testing.assert_allclose(fixed(name, [image], None)(image), scale(image), atol=1e-5)


def test_a_fixed_scaling_does_not_depend_on_tiles():
    images = np.random.default_rng(0).normal(0.3, 0.1, (3, 1, 40, 50))
    found = fixed("zscore", list(images), None)
    np.testing.assert_array_equal(found(images[0])[:, :7, 5:9], found(images[0][:, :7, 5:9]))
    scaled = np.stack([found(image) for image in images])
    assert abs(scaled.mean()) < 1e-5


def test_an_inverted_scaling_is_about_minus_the_scaling():
    occupied = IntensityRange([0.2], [0.8])
    image = np.linspace(0, 1, 12).reshape(1, 3, 4)
    for name, about in (("dataset", 0.0), ("percentile", 1.0)):
        scaling = fixed(name, [image], occupied)
        np.testing.assert_allclose(scaling.inverted(about)(image), about - scaling(image), atol=1e-6)
    np.testing.assert_allclose(fixed("dataset", [image], occupied)(image), by_data_set(image, occupied), atol=1e-6)


def test_a_scaling_of_file_values_is_that_of_data_type_scaled_ones():
    scaling = FixedScaling([2.0], [1.0])
    pixels = np.arange(12.0).reshape(1, 3, 4)
    np.testing.assert_allclose(scaling.of_values(255)(pixels), scaling(pixels / 255), atol=1e-6)


def test_a_network_that_torch_cannot_write_is_refused():
    class Unwritable(torch.nn.Module):
        def forward(self, pixels):
            raise RuntimeError("no way")

    with pytest.raises(InputError, match=r"TorchScript \(no way\); take another format"):
        traced(Unwritable().eval(), 1)
