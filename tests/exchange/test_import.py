"""Networks of others: their weights are adapted, and go back in the form in which they came."""

import pytest
import segmentation_models_pytorch as smp
import torch
from bioimageio.spec import load_description, save_bioimageio_package
from torch import nn

from bnadapt.commands.cli import main
from bnadapt.commands.import_network import main as import_network
from bnadapt.exchange.state_dicts import fitted
from bnadapt.networks import UNet
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE

CODE = '''
from torch import nn

class OneLogit(nn.Module):
    """Takes neither channels nor classes, and gives one logit, as networks of MitoNet's kind do."""

    def __init__(self, width=4, sigmoid=False):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 1, 1)
        )
        self.sigmoid = sigmoid

    def forward(self, images):
        logits = self.layers(images)
        return logits.sigmoid() if self.sigmoid else logits
'''
TARGET = [*TARGET_ALONE, "--data.intensity=zscore"]


@pytest.fixture
def one_logit(tmp_path, monkeypatch):
    """Weights of a network in code of one's own, `foreign.OneLogit`, inside of a checkpoint of another program."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foreign.py").write_text(CODE)
    space = {}
    exec(CODE, space)
    network = space["OneLogit"]()
    weights = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 7, "model_state_dict": weights}, "weights.pth")
    return network


def adapt(checkpoint, *options):
    target = [option for option in TARGET if option != "--data.intensity=dtype"]
    main(["adapt", "--ckpt_path", checkpoint, "--output", "adapted.ckpt", *target, *options])


def test_weights_of_a_foreign_network_come_back_adapted_in_their_own_form(one_logit):
    named = ["--model.network", "foreign.OneLogit"]
    import_network(["weights.pth", "--network", "foreign.OneLogit"])
    adapt("imported.ckpt", *named)
    like = ["--format=state_dict", "--like=weights.pth", "--output=back.pth"]
    main(["export", "--ckpt_path", "adapted.ckpt", *named, *like])
    before, after = (torch.load(path, weights_only=True) for path in ("weights.pth", "back.pth"))
    assert after["epoch"] == 7
    assert list(after["model_state_dict"]) == list(before["model_state_dict"])
    changed = {
        name.rpartition(".")[2]
        for name, tensor in after["model_state_dict"].items()
        if not torch.equal(tensor, before["model_state_dict"][name])
    }
    assert changed <= {"running_mean", "running_var", "num_batches_tracked"}
    assert {"running_mean", "running_var"} <= changed


def test_a_network_of_one_logit_segments_as_its_sigmoid_does(one_logit):
    import_network(["weights.pth", "--network", "foreign.OneLogit"])
    task = SegmentationTask.load_from_checkpoint("imported.ckpt", network="foreign.OneLogit", map_location="cpu")
    images = torch.randn(2, 1, 20, 30)
    with torch.no_grad():
        foreground = task.eval().logits({"image": images}).softmax(1)[:, 1]
        torch.testing.assert_close(foreground, one_logit.eval()(images).sigmoid()[:, 0])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet", {"encoder_name": "resnet18"}),
        ("fpn", {"encoder_name": "tu-test_resnet.r160_in1k"}),
    ],
)
def test_weights_of_segmentation_models_pytorch_are_imported(name, arguments):
    network = smp.create_model(name, encoder_weights=None, in_channels=1, classes=2, **arguments).eval()
    torch.save(network.state_dict(), "weights.pth")
    given = [f"--network_args.{key}={value}" for key, value in arguments.items()]
    import_network(["weights.pth", "--network", f"smp/{name}", *given])
    task = SegmentationTask.load_from_checkpoint("imported.ckpt", map_location="cpu").eval()
    images = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(task(images), network(images), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_safetensors_are_read_also_of_a_network_of_small_logits(seed):
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(UNet(base_channels=4).state_dict(), "weights.safetensors")
    import_network(["weights.safetensors", "--network", "unet", "--network_args.base_channels", "4"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nosuch.pth", "--network", "unet"], "nosuch.pth: no such file"),
        (["weights.pth"], "name their network by --network"),
        (["weights.pth", "--network", "unet"], "the weights do not fit the network: of its"),
        (["weights.pth", "--network", "foreign.OneLogit", "--network_args.width=5"], "7 of another shape"),
        (["weights.pth", "--network", "foreign.OneLogit", "--network_args.sigmoid=true"], "seem to be probabilities"),
        (["weights.pth", "--network", "foreign.OneLogit", "--num_classes=3"], "returns logits of shape"),
        (["foreign.py", "--network", "unet"], "not a file of weights"),
        (["empty.pth", "--network", "unet"], "holds no state dict"),
        (["broken.zip"], "cannot be read as a package"),
        (["weights.pth", "--network", "foreign.OneLogit", "--intensity=nosuch"], "intensity"),
        (["weights.pth", "--network", "foreign.OneLogit", "--output=foreign.py"], "foreign.py"),
        (["weights.pth", "--network", "foreign.OneLogit", "--in_channels=3"], "fails on images of 3 channels"),
        (["weights.pth", "--network", "foreign.OneLogit", "--pixel_size_nm=-4"], "give a number from 1e-06"),
        (["nan.pth", "--network", "foreign.OneLogit"], "nan.pth: layers.0.bias has values that are NaN or infinite"),
        (["integers.pth", "--network", "foreign.OneLogit"], "1 of another shape or type"),
        (["negative.pth", "--network", "foreign.OneLogit"], "running_var has negative values and is a variance"),
    ],
)
def test_what_cannot_be_imported_is_refused(one_logit, refused, options, words, tmp_path):
    torch.save({"epoch": 3}, "empty.pth")
    weights = one_logit.state_dict()
    torch.save({**weights, "layers.0.bias": torch.full_like(weights["layers.0.bias"], torch.nan)}, "nan.pth")
    variance = next(name for name in weights if name.endswith("running_var"))
    torch.save({**weights, variance: -weights[variance]}, "negative.pth")
    torch.save({**weights, variance: weights[variance].long()}, "integers.pth")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 nothing")
    assert words in refused("import", *options)
    assert not (tmp_path / "imported.ckpt").exists()


def test_a_file_that_would_run_code_is_not_loaded(refused, tmp_path):
    torch.save(nn.Conv2d(1, 1, 1), "module.pth")
    assert "without running code in it" in refused("import", "module.pth", "--network", "unet")


def test_an_exported_package_is_imported_adapted_and_written_back(package):
    import_network([str(package)])
    main(["adapt", "--ckpt_path", "imported.ckpt", *TARGET_ALONE, "--data.target.mean=[0.9, 0.6]", "--output=new.ckpt"])
    like = [f"--like={package}", "--output=back.zip"]
    main(["export", "--ckpt_path=new.ckpt", "--format=bioimageio", *like])
    before, after = load_description(package), load_description("back.zip")
    assert after.name == before.name
    assert after.inputs[0].preprocessing == before.inputs[0].preprocessing
    assert after.weights.torchscript is None
    assert after.outputs[0].test_tensor.sha256 != before.outputs[0].test_tensor.sha256


def test_code_of_a_package_is_named_by_the_user_or_not_run(refused, one_logit, tmp_path, package):
    foreign = foreign_package(tmp_path, one_logit, package)
    (tmp_path / "foreign.py").unlink()
    assert "give --intensity" in refused("import", foreign, "--network", "foreign.OneLogit")
    (tmp_path / "foreign.py").unlink(missing_ok=True)
    sentence = refused("import", foreign)
    assert "--network foreign.OneLogit" in sentence
    assert not (tmp_path / "foreign.py").exists()
    import_network([str(foreign), "--network", "foreign.OneLogit", "--intensity", "zscore"])
    adapt("imported.ckpt", "--model.network", "foreign.OneLogit")


def test_code_of_a_package_replaces_no_other(refused, one_logit, tmp_path, package):
    foreign = foreign_package(tmp_path, one_logit, package)
    (tmp_path / "foreign.py").write_text("# something else")
    assert "is another file than that of" in refused("import", foreign, "--network", "foreign.OneLogit")
    shadowing = foreign_package(tmp_path / "again", one_logit, package, "zarr.py")
    assert "like an installed module" in refused("import", shadowing, "--network", "zarr.OneLogit")
    assert not (tmp_path / "zarr.py").exists()


def test_a_package_of_several_inputs_is_refused(refused, package, monkeypatch):
    ours = load_description(package)
    second = ours.inputs[0].model_copy(update={"id": "second"})
    two = ours.model_copy(update={"inputs": [ours.inputs[0], second]})
    monkeypatch.setattr("bioimageio.spec.load_description", lambda path, **options: two)
    assert "takes 2 inputs and gives 1 outputs" in refused("import", package)


def test_options_that_a_package_states_are_refused_and_a_pixel_size_is_taken(refused, package):
    assert "leave out --network_args" in refused("import", package, "--num_classes", 3)
    import_network([str(package), "--pixel_size_nm", "7"])
    assert torch.load("imported.ckpt", weights_only=True)["DomainPair"]["pixel_size_nm"] == 7


def test_older_weights_without_counts_of_batches_are_read():
    weights = {name: each for name, each in UNet(base_channels=4).state_dict().items() if "num_batches" not in name}
    torch.save(weights, "old.pth")
    import_network(["old.pth", "--network", "unet", "--network_args.base_channels", "4"])
    main(["export", "--ckpt_path=imported.ckpt", "--format=state_dict", "--like=old.pth", "--output=back.pth"])
    assert torch.load("back.pth", weights_only=True).keys() == weights.keys()


def test_safetensors_come_back_with_their_metadata():
    from safetensors import safe_open
    from safetensors.torch import save_file

    save_file(UNet(base_channels=4).state_dict(), "weights.safetensors", {"who": "me"})
    import_network(["weights.safetensors", "--network", "unet", "--network_args.base_channels", "4"])
    like = ["--format=state_dict", "--like=weights.safetensors", "--output=back.safetensors"]
    main(["export", "--ckpt_path=imported.ckpt", *like])
    with safe_open("back.safetensors", "pt") as back:
        assert back.metadata() == {"who": "me"}


def test_inputs_are_not_overwritten(refused, adapted, one_logit):
    common = ["--network", "foreign.OneLogit", "--overwrite", "true"]
    assert "is read by this command" in refused("import", "weights.pth", *common, "--output", "weights.pth")
    own = ["--format=state_dict", "--overwrite=true", "--output", adapted]
    assert "is read by this command" in refused("export", "--ckpt_path", adapted, *own)
    torch.load("weights.pth", weights_only=True)


def foreign_package(folder, network, package, module="foreign.py"):
    """A package whose network is code in it, made of one of ours."""
    from bioimageio.spec.model import v0_5

    ours = load_description(package)
    (folder / "inside").mkdir(parents=True)
    torch.save(network.state_dict(), folder / "inside" / "weights.pth")
    (folder / "inside" / module).write_text(CODE)
    weights = v0_5.PytorchStateDictWeightsDescr(
        source=folder / "inside" / "weights.pth",
        architecture=v0_5.ArchitectureFromFileDescr(source=folder / "inside" / module, callable="OneLogit"),
        pytorch_version="2.6",
    )
    steps = [v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=0.3, offset=0.1))]
    pixels = ours.inputs[0].model_copy(update={"preprocessing": steps})
    changed = {"weights": v0_5.WeightsDescr(pytorch_state_dict=weights), "inputs": [pixels], "config": v0_5.Config()}
    save_bioimageio_package(ours.model_copy(update=changed), output_path=folder / "foreign.zip")
    return folder / "foreign.zip"


def test_wrappers_around_a_network_do_not_matter():
    network = {"layer.weight": torch.zeros(2), "layer.bias": torch.zeros(1)}
    for outer in ("", "module.", "model.", "_orig_mod."):
        stored = {outer + name: tensor + 1 for name, tensor in network.items()}
        assert all((tensor == 1).all() for tensor in fitted(stored, network).values())
        inside = {f"model.{name}": tensor for name, tensor in network.items()}
        assert fitted(stored, inside).keys() == inside.keys()


SEVERAL = '''
from torch import nn

class Panoptic(nn.Module):
    """Returns several maps by name, as networks of MitoNet's kind do."""

    def __init__(self, width=2):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.semantic_head, self.ins_center = nn.Conv2d(width, 1, 1), nn.Conv2d(width, 1, 1)

    def forward(self, images):
        features = self.encoder(images)
        return {"sem_logits": self.semantic_head(features), "ctr_hmp": self.ins_center(features)}

class Mito(Panoptic):
    def __init__(self):
        super().__init__(width=4)

    def forward(self, images):
        return super().forward(images)["sem_logits"]
'''


def test_torchscript_of_several_outputs_is_imported_by_way_of_its_class_as_the_docs_say(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "several.py").write_text(SEVERAL)
    from several import Panoptic

    network, images = Panoptic(width=4).eval(), torch.randn(1, 1, 16, 16)
    torch.jit.trace(network, images, strict=False).save("model.pth")
    torch.save(torch.jit.load("model.pth").state_dict(), "moved.pth")
    import_network(["moved.pth", "--network", "several.Mito", "--output", "moved.ckpt"])
    task = SegmentationTask.load_from_checkpoint("moved.ckpt", network="several.Mito", map_location="cpu").eval()
    expected = network(images)["sem_logits"].sigmoid()
    torch.testing.assert_close(task(images).softmax(1)[:, 1:], expected)
