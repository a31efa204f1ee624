"""Packages of bioimage.io name networks, files and steps; they are followed as `bnadapt.networks.trust` says."""

import hashlib
import io
import os
import stat
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from bioimageio.spec import ValidationContext

from bnadapt.commands.cli import main
from bnadapt.commands.import_network import main as import_network
from bnadapt.data import DomainPair, Synthetic
from bnadapt.errors import InputError
from bnadapt.exchange import About, probabilities_of, write_model
from bnadapt.networks import build_network
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE

OURS = {"import_from": "bnadapt.exchange", "callable": "probabilities_of"}
NAMED = {"network": "unet", "in_channels": 1, "num_classes": 2, "arguments": {"base_channels": 4}}
HELPER = """
open("RAN", "w").write("code ran")
from bnadapt.networks import UNet
from bnadapt.exchange.modules import Probabilities
class Net(UNet): pass
def steps(*images): return images
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Whether the module `helper_module`, which lies where one works, was imported."""
    (tmp_path / "helper_module.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "helper_module", raising=False)
    return (tmp_path / "RAN").exists


@pytest.fixture(autouse=True)
def _no_downloads(monkeypatch):
    """Fails where anything asks for an address."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: pytest.fail(f"asked for {address}"))


def content(weights, architecture):
    """A package's description and files, of a U-Net with four channels as `export` writes it."""
    space = [{"type": "space", "id": name, "size": {"min": 32, "step": 16}} for name in "yx"]
    same = [{"type": "space", "id": name, "size": {"tensor_id": "pixels", "axis_id": name}} for name in "yx"]
    batch, names = {"type": "batch"}, ["background", "foreground"]
    files = {
        "README.md": b"# Validation\n",
        "cover.png": b"",
        "pixels.npy": _npy(np.zeros((1, 1, 32, 32), np.float32)),
        "probabilities.npy": _npy(np.zeros((1, 2, 32, 32), np.float32)),
        "weights.pth": weights,
    }
    stored = {"source": "weights.pth", "sha256": hashlib.sha256(weights).hexdigest(), "pytorch_version": "2.6"}
    description = {
        "format_version": "0.5.4",
        "type": "model",
        "name": "a network",
        "description": "segments",
        "authors": [{"name": "A"}],
        "cite": [{"text": "paper", "url": "https://example.org/paper"}],
        "documentation": "README.md",
        "license": "MIT",
        "covers": ["cover.png"],
        "inputs": [
            {
                "id": "pixels",
                "axes": [batch, {"type": "channel", "channel_names": ["c"]}, *space],
                "test_tensor": {"source": "pixels.npy"},
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "axes": [batch, {"type": "channel", "channel_names": names}, *same],
                "test_tensor": {"source": "probabilities.npy"},
            }
        ],
        "weights": {"pytorch_state_dict": {**stored, "architecture": architecture}},
        "config": {"bnadapt": {"intensity": "zscore"}},
    }
    return description, files


def _npy(values):
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


@pytest.fixture
def package(tmp_path):
    """Writes a package whose network is named so, after something was done to its description and files."""

    def write(arguments=None, architecture=OURS, change=lambda description, files: None):
        network = build_network("unet", 1, 2, {"base_channels": 4})
        stream = io.BytesIO()
        torch.save({f"network.{name}": each for name, each in network.state_dict().items()}, stream)
        kwargs = {"kwargs": {**NAMED, **(arguments or {})}} if architecture is OURS else {}
        description, files = content(stream.getvalue(), {**architecture, **kwargs})
        change(description, files)
        with zipfile.ZipFile(tmp_path / "package.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("rdf.yaml", yaml.safe_dump(description))
            for name, each in files.items():
                archive.writestr(name, each)
        return tmp_path / "package.zip"

    return write


def test_a_package_of_ours_is_imported_without_asking_for_any_address(package, tmp_path):
    import_network([str(package())])
    stored = torch.load("imported.ckpt", weights_only=True)
    assert stored["hyper_parameters"]["network_args"] == {"base_channels": 4}
    assert stored["DomainPair"]["intensity"] == "zscore"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"network": "helper_module.Net"}, "by --network helper_module.Net"),
        ({"network": "bnadapt.exchange.probabilities_of"}, "code that would be imported and run"),
        ({"network": "smp/unet", "arguments": {"encoder_name": "tu-hf-hub:some/model"}}, "names the encoder"),
        ({"arguments": {"base_channels": 100_000}}, "parameters; a file may name one"),
        ({"arguments": {"base_channels": 300}}, "the weights do not fit the network"),
        ({"arguments": {"base_channels": {"class_path": "helper_module.Net"}}}, "gives classes"),
        ({"num_classes": 10**6}, "num_classes 1000000"),
        ({"network": None}, "gives classes"),
        ({"in_channels": None}, "in_channels None"),
    ],
)
def test_what_our_own_callable_is_given_follows_the_rule(package, refused, ran, arguments, words):
    assert words in refused("import", package(arguments))
    assert not ran()
    assert not os.path.exists("imported.ckpt")


@pytest.mark.parametrize(
    "architecture",
    [
        {"import_from": "helper_module", "callable": "Net"},
        {"import_from": "os", "callable": "system", "kwargs": {"command": "touch RAN"}},
        {"source": "helper_module.py", "callable": "Net"},
    ],
)
def test_code_that_a_package_names_does_not_run(package, refused, ran, architecture):
    def hold(description, files):
        files["helper_module.py"] = HELPER.encode()

    assert "code that would be imported and run" in refused("import", package(None, architecture, hold))
    assert not ran()


def test_code_of_a_package_is_not_written_through_a_link(package, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "new_module", raising=False)
    (tmp_path / "new_module.py").symlink_to(tmp_path / "elsewhere.py")
    architecture = {"source": "new_module.py", "callable": "Net"}
    path = package(None, architecture, lambda description, files: files.update({"new_module.py": b"x = 1"}))
    with pytest.raises(FileExistsError):
        import_network([str(path), "--network", "new_module.Net", "--intensity", "zscore"])
    assert not (tmp_path / "elsewhere.py").exists()


def test_our_callable_knows_networks_by_name_alone(ran):
    assert probabilities_of(**NAMED).num_classes == 2
    with pytest.raises(InputError, match=r"names the network helper_module\.Net"):
        probabilities_of(**{**NAMED, "network": "helper_module.Net"})
    with pytest.raises(InputError, match="a file may name one"):
        probabilities_of(**{**NAMED, "arguments": {"base_channels": 10**5}})
    assert not ran()


@pytest.mark.parametrize("source", ["../weights.pth", "/etc/passwd", "https://example.org/weights.pth"])
def test_files_elsewhere_are_not_read(package, refused, source):
    def change(description, files):
        description["weights"]["pytorch_state_dict"] |= {"source": source, "sha256": None}

    sentence = refused("import", package(change=change))
    assert "package.zip" in sentence
    assert not os.path.exists("imported.ckpt")


def test_files_beside_a_description_are_not_reached_through_links(package, refused, tmp_path):
    folder = tmp_path / "folder"
    zipfile.ZipFile(package()).extractall(folder)
    (folder / "weights.pth").rename(tmp_path / "weights.pth")
    (folder / "weights.pth").symlink_to(tmp_path / "weights.pth")
    assert "names the file weights.pth, which is not in it" in refused("import", folder / "rdf.yaml")


def test_weights_other_than_described_are_refused(package, refused):
    def change(description, files):
        files["weights.pth"] += b" "

    assert "weights.pth cannot be read" in refused("import", package(change=change))


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "C:\\outside.txt", "a/../../outside.txt"])
def test_an_archive_that_leads_out_is_refused(package, refused, tmp_path, name):
    path = package(change=lambda description, files: files.update({name: b"x"}))
    assert f"holds {name}, a link or a place elsewhere" in refused("import", path)
    assert not (tmp_path.parent / "outside.txt").exists()


def test_an_archive_of_links_is_refused(package, refused):
    path, link = package(), zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc")
    assert "holds link, a link" in refused("import", path)


def test_an_archive_that_is_far_larger_unpacked_is_refused(package, refused, monkeypatch):
    monkeypatch.setattr("bnadapt.exchange.archives.SMALL", 10**5)
    path = package(change=lambda description, files: files.update({"zeros": bytes(10**8)}))
    assert "would take 0.1 GB, unpacked" in refused("import", path)


def test_tags_in_a_description_make_no_objects(refused, tmp_path):
    (tmp_path / "rdf.yaml").write_text("type: !!python/object/apply:builtins.open ['RAN', 'w']\n")
    assert "cannot be read as a package" in refused("import", tmp_path / "rdf.yaml")
    assert not os.path.exists("RAN")


def test_a_package_of_a_class_of_ones_own_names_no_code(tmp_path, monkeypatch):
    monkeypatch.setattr("bnadapt.exchange.bioimageio_package.report_on", lambda path: SimpleNamespace(status="passed"))
    data = DomainPair(target=Synthetic(size=48, images=3), tile_size=48)
    data.setup("predict")
    task = SegmentationTask("tests.networks.own.Plain")
    with ValidationContext(perform_io_checks=False):
        write_model(task, data, "bioimageio", tmp_path / "own.zip", About(["A"], "MIT"))
    with zipfile.ZipFile("own.zip") as package:
        weights = yaml.safe_load(package.read("rdf.yaml"))["weights"]
        torch.jit.load(package.open(weights["torchscript"]["source"]))
    assert list(weights) == ["torchscript"]


# As a form to write into


@pytest.fixture
def imported(package):
    """A checkpoint of the package's network."""
    import_network([str(package())])
    return "imported.ckpt"


def like(imported, path):
    return ["export", "--ckpt_path", imported, "--format=bioimageio", f"--like={path}", "--output=back.zip"]


def test_a_package_comes_back_with_the_networks_weights(imported, package):
    main(["adapt", "--ckpt_path", imported, *TARGET_ALONE[:-1], "--output=adapted.ckpt"])
    main(like("adapted.ckpt", package()))
    with zipfile.ZipFile("back.zip") as back:
        weights = torch.load(back.open("weights.pth"), weights_only=True)
        outputs = np.load(back.open("probabilities.npy"))
        cited = yaml.safe_load(back.read("rdf.yaml"))["cite"]
    adapted = torch.load("adapted.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(weights[name], adapted[name]) for name in weights)
    np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-5)
    assert cited == [{"text": "paper", "url": "https://example.org/paper"}]


@pytest.mark.parametrize(
    "architecture",
    [
        {"import_from": "helper_module", "callable": "Net"},
        {"source": "helper_module.py", "callable": "Net"},
        {**OURS, "kwargs": {**NAMED, "network": "helper_module.Net"}},
    ],
)
def test_code_of_a_package_to_be_like_does_not_run(imported, package, refused, ran, architecture):
    path = package(None, architecture, lambda description, files: files.update({"helper_module.py": HELPER.encode()}))
    assert "code that would be imported and run" in refused(*like(imported, path))
    assert not ran()


def test_steps_that_are_code_of_a_package_to_be_like_do_not_run(imported, package, refused, ran):
    def change(description, files):
        files["helper_module.py"] = HELPER.encode()
        step = {"id": "custom", "source": "helper_module.py", "callable": "steps", "kwargs": {}}
        description["outputs"][0]["postprocessing"] = [step]

    sentence = refused(*like(imported, package(change=change)))
    assert "package.zip" in sentence
    assert not ran()


@pytest.mark.parametrize("source", ["../weights.pth", "https://example.org/w.pth", "nosuch.pth"])
def test_a_package_to_be_like_is_written_nowhere_else(imported, package, refused, tmp_path, source):
    def change(description, files):
        description["weights"]["pytorch_state_dict"] |= {"source": source, "sha256": None}

    assert "package.zip" in refused(*like(imported, package(change=change)))
    assert not (tmp_path / "back.zip").exists()
