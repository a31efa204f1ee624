"""A file decides by itself about no code that runs, about nothing that is fetched, and about no memory.

Every door through which a file comes in follows the rule of `bnadapt.networks.trust`, which is tested by itself in
tests/networks/test_trust.py, and for packages in tests/exchange/test_packages.py.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from bnadapt.commands.cli import main
from bnadapt.errors import InputError
from bnadapt.exchange.importing import ImportedNetwork, write_checkpoint
from bnadapt.networks import build_network
from bnadapt.tasks import SegmentationTask
from bnadapt.tasks.checkpoints import without_other_files
from tests import conftest
from tests.conftest import DOMAINS, SMALL, TARGET_ALONE, without

LOADING = [*conftest.LOADING, "--trainer.logger=false"]
TRACE = """
import pathlib
pathlib.Path({trace!r}).write_text("code ran")
import torch
from bnadapt.tasks import SegmentationTask as Task
def net(**arguments):
    return torch.nn.Conv2d(1, 2, 1)
class Net(torch.nn.Conv2d):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes, 1)
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Whether the module `hubconf` was imported, which can be."""
    trace = tmp_path / "trace"
    (tmp_path / "hubconf.py").write_text(TRACE.format(trace=str(trace)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hubconf", raising=False)
    return trace.exists


@pytest.fixture
def foreign(best, tmp_path):
    """Writes a checkpoint with other parameters and content."""

    def write(parameters, **others):
        checkpoint = torch.load(best, weights_only=True)
        checkpoint["hyper_parameters"].update(parameters)
        checkpoint.update(others)
        torch.save(checkpoint, tmp_path / "foreign.ckpt")
        return tmp_path / "foreign.ckpt"

    return write


HUB = {"network": "torch.hub.load", "network_args": {"repo_or_dir": ".", "model": "net", "source": "local"}}
FOREIGN = [
    (HUB, {}, "names the network torch.hub.load"),
    ({"network": "hubconf.Net", "network_args": None}, {}, "name it yourself by --model.network hubconf.Net"),
    ({"network": "hubconf.Net"}, {"signature": "0" * 64}, "names the network hubconf.Net"),
    ({"network_args": {"base_channels": {"class_path": "hubconf.Net"}}}, {}, "gives classes"),
    ({"network_args": {"base_channels": "hubconf.Net"}}, {}, "cannot be built with"),
    ({"loss": {"class_path": "hubconf.Net", "init_args": {}}}, {}, "gives classes"),
    ({"network": "smp/hubconf.Net", "network_args": None}, {}, "cannot be built with"),
    ({"network": ["hubconf.Net"]}, {}, "is not a checkpoint"),
    ({}, {"task": "hubconf.Task"}, "name it yourself by --model hubconf.Task"),
]


@pytest.mark.parametrize(("parameters", "others", "words"), FOREIGN)
def test_code_that_a_checkpoint_names_does_not_run(foreign, ran, refused, tmp_path, parameters, others, words):
    path = foreign(parameters, **others)
    assert words in refused("predict", *LOADING, "--ckpt_path", path, "--output", tmp_path / "out")
    assert not ran()


@pytest.mark.parametrize("command", ["fit", "validate", "adapt", "test", "recommend", "preview", "export", "distances"])
def test_all_commands_follow_the_same_rule(foreign, ran, refused, command):
    path = foreign({"network": "hubconf.Net", "network_args": None})
    assert "names the network hubconf.Net" in refused(command, *LOADING, "--ckpt_path", path)
    assert not ran()


@pytest.mark.parametrize("key", ["_class_path", "_instantiator", "optimizer", "lr_scheduler"])
def test_what_else_a_checkpoint_says_is_not_followed(foreign, ran, tmp_path, key):
    path = foreign({key: "hubconf.Net"}, datamodule_hyper_parameters={"_class_path": "hubconf.Data"})
    main(["predict", *LOADING, "--ckpt_path", str(path), "--output", str(tmp_path / "out")])
    assert not ran()


@pytest.mark.parametrize(
    ("parameters", "others"),
    [
        ({"_instantiator": "lightning.pytorch.cli.instantiate_module", "optimizer": "hubconf.Net"}, {}),
        ({"_instantiator": "hubconf.net"}, {}),
        ({}, {"hparams": {"loss": "hubconf.Net"}}),
        ({}, {"module_arguments": {"optimizer": "hubconf.Net"}}),
        ({}, {"hparams_name": "optimizer"}),
    ],
)
def test_load_from_checkpoint_takes_the_network_alone(foreign, ran, parameters, others):
    task = SegmentationTask.load_from_checkpoint(foreign(parameters, **others))
    assert task.hparams.network == "unet"
    assert not ran()


def test_load_from_checkpoint_follows_the_same_rule(foreign, ran):
    with pytest.raises(InputError, match=r"names the network hubconf\.Net"):
        SegmentationTask.load_from_checkpoint(foreign({"network": "hubconf.Net", "network_args": None}))
    assert not ran()


def test_what_the_user_names_must_be_a_module(foreign, ran, refused):
    sentence = refused("test", *LOADING, "--ckpt_path", foreign(HUB), "--model.network", "torch.hub.load")
    assert "network torch.hub.load: is not a class of torch.nn.Module" in sentence
    assert "is not a class of torch.nn.Module" in refused("fit", *SMALL, *DOMAINS, "--model.network=hubconf.net")


def test_a_network_of_ones_own_is_named_in_every_command(tmp_path, refused):
    small = [*without(SMALL, "--model", "--trainer.max_epochs"), *DOMAINS, "--trainer.max_epochs=1"]
    network = "--model.network=tests.conftest.NetworkWithoutBatchNorm"
    main(["fit", *small, network, f"--trainer.logger.save_dir={tmp_path}"])
    path = tmp_path / "default/version_0/checkpoints/last.ckpt"
    assert "names the network tests.conftest" in refused("test", *LOADING, "--ckpt_path", path)
    main(["test", *LOADING, "--ckpt_path", str(path), network])
    config = tmp_path / "mine.yaml"
    config.write_text("model: {network: tests.conftest.NetworkWithoutBatchNorm}\n")
    main(["test", *LOADING, "--ckpt_path", str(path), "--config", str(config)])


# Sizes


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"network_args": {"base_channels": 100_000}}, "would have 7.6e+13 parameters"),
        ({"network_args": {"base_channels": 300}}, "holds another architecture than unet"),
    ],
)
def test_a_size_that_a_checkpoint_names_takes_no_memory(foreign, refused, tmp_path, parameters, words, monkeypatch):
    monkeypatch.setattr(SegmentationTask, "__init__", lambda *_, **__: pytest.fail("a network was built"))
    path = foreign(parameters)
    assert words in refused("predict", *LOADING, "--ckpt_path", path, "--output", tmp_path / "out")


@pytest.mark.parametrize(
    ("zoom", "words"), [(1e5, "would be enlarged"), (float("inf"), "target_change.zoom has values that are NaN or inf")]
)
def test_a_zoom_that_a_checkpoint_names_takes_no_memory(best, refused, tmp_path, zoom, words):
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["DomainPair"]["target_change"] = {"zoom": zoom}
    torch.save(checkpoint, "zoomed.ckpt")
    assert words in refused("predict", *LOADING, "--ckpt_path=zoomed.ckpt", "--output", tmp_path / "out")


def test_tensors_that_are_larger_than_their_file_are_refused(best, refused, tmp_path):
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["network.more"] = torch.zeros(1).expand(10**6, 10**6)
    torch.save(checkpoint, tmp_path / "large.ckpt")
    assert "is not a checkpoint" in refused("test", *LOADING, "--ckpt_path", tmp_path / "large.ckpt")
    torch.save({"weights": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "large.pth")
    assert "is damaged" in refused("import", tmp_path / "large.pth", "--network", "unet")


def test_values_that_are_nested_without_end_are_refused(best, refused, tmp_path):
    nested = ["x"]
    for _ in range(40):
        nested = [nested, nested]
    torch.save({**torch.load(best, weights_only=True), "callbacks": {"x": nested}}, tmp_path / "nested.ckpt")
    assert "is not a checkpoint" in refused("test", *LOADING, "--ckpt_path", tmp_path / "nested.ckpt")


# Downloads


def of_encoder(path, **arguments):
    """A checkpoint of a network with an encoder of ImageNet's weights, and what else it says."""
    known = {"encoder_name": "resnet18", "decoder_channels": [16, 8, 8, 4, 4]}
    weights = build_network("smp/unet", 1, 2, known).state_dict()
    write_checkpoint(ImportedNetwork("smp/unet", weights, known), path)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["network_args"].update(arguments)
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def no_downloads(monkeypatch):
    """Fails where anything asks for an address."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: pytest.fail(f"asked for {address}"))


def test_weights_come_from_the_checkpoint_and_from_nowhere_else(tmp_path, no_downloads):
    path = of_encoder(tmp_path / "c.ckpt", encoder_weights="imagenet")
    task = SegmentationTask.load_from_checkpoint(path)
    assert "encoder_weights" not in task.hparams.network_args
    asked = ["--model.network=smp/unet", "--model.network_args.encoder_name=resnet18"]
    asked += ["--model.network_args.encoder_weights=imagenet", "--model.network_args.decoder_channels=[16,8,8,4,4]"]
    tiles = ["--data.tile_size=32", "--data.overlap=8"]
    adapt = ["adapt", "--ckpt_path", str(path), *without(TARGET_ALONE, "--data.tile_size", "--data.overlap"), *tiles]
    main([*adapt, *asked, "--output", "a.ckpt"])
    assert "encoder_weights" not in torch.load("a.ckpt", weights_only=True)["hyper_parameters"]["network_args"]


def test_an_encoder_that_would_be_fetched_is_refused(tmp_path, refused, no_downloads):
    path = of_encoder(tmp_path / "c.ckpt", encoder_name="tu-hf-hub:someone/model")
    assert "names the encoder tu-hf-hub:someone/model" in refused("test", *LOADING, "--ckpt_path", path)


# Pickles, tags and paths


class Exploit:
    """Unpickled, it would leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_code_is_refused(refused, tmp_path):
    trace = tmp_path / "trace"
    exploit = Exploit(str(trace))
    torch.save({"hyper_parameters": exploit, "state_dict": {}}, "exploit.ckpt")
    assert "is not a checkpoint" in refused("test", *LOADING, "--ckpt_path", "exploit.ckpt")
    torch.save({"hyper_parameters": exploit}, "old.ckpt", _use_new_zipfile_serialization=False)
    assert "is not a checkpoint" in refused("fit", *SMALL, *DOMAINS, "--ckpt_path", "old.ckpt")
    assert "without running code" in refused("import", "exploit.ckpt", "--network", "unet")
    np.save("exploit.npy", np.array([exploit]), allow_pickle=True)
    stack = ["--data.source=Stack", "--data.source.images=exploit.npy"]
    assert "exploit.npy" in refused("fit", *SMALL, *stack)
    assert not trace.exists()


def test_pickled_code_beside_weights_is_refused(refused, adapted, tmp_path):
    trace = tmp_path / "trace"
    torch.save({"state_dict": {"x": torch.zeros(1)}, "more": Exploit(str(trace))}, "like.pth")
    common = ["export", "--ckpt_path", adapted, "--format=state_dict", "--output=back.pth"]
    assert "without running code" in refused(*common, "--like=like.pth")
    assert not trace.exists()


def test_tags_in_yaml_make_no_objects(refused, tmp_path):
    trace = tmp_path / "trace"
    tag = f"!!python/object/apply:builtins.open ['{trace}', 'w']"
    (tmp_path / "tagged.yaml").write_text(f"data: {tag}\n")
    refused("fit", "--config", tmp_path / "tagged.yaml")
    (tmp_path / "study.yaml").write_text(f"name: {tag}\ncommand: x\nstudy: {{}}\n")
    assert "is not a config of a study" in refused("study", "report", tmp_path)
    assert not trace.exists()


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory):
    """The checkpoint of a training after the first of its two epochs."""
    folder = tmp_path_factory.mktemp("half")
    every = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k=-1"]
    every += [f"--trainer.callbacks.dirpath={folder}", "--trainer.callbacks.filename={step}"]
    every += ["--trainer.callbacks.every_n_train_steps=4"]
    main(["fit", *SMALL, *DOMAINS, *every, f"--trainer.logger.save_dir={folder}"])
    return folder / "step=4.ckpt"


@pytest.mark.parametrize("protocol", ["", "local://", "simplecache::file://"])
def test_a_resumed_training_removes_no_file_that_its_checkpoint_names(half_trained, tmp_path, protocol):
    """Lightning removes what the state of its callback calls the best checkpoint so far, once there is a better one."""
    precious = tmp_path / "precious" / "data.ckpt"
    precious.parent.mkdir()
    precious.touch()
    run = Path("lightning_logs/default/version_0/checkpoints")
    path = f"{protocol}{precious}" if protocol else f"{run}/../../../../precious/data.ckpt"
    checkpoint = torch.load(half_trained, weights_only=True)
    for state in (each for each in checkpoint["callbacks"].values() if "best_model_path" in each):
        del state["dirpath"]
        state |= {"best_model_path": path, "kth_best_model_path": path, "last_model_path": path}
        state |= {"best_k_models": {path: torch.tensor(0.0)}, "kth_value": torch.tensor(0.0)}
    torch.save(checkpoint, "resumed.ckpt")
    main(["fit", *SMALL, *DOMAINS, "--ckpt_path=resumed.ckpt"])
    assert list(tmp_path.rglob("last.ckpt"))
    assert precious.exists()


def test_paths_of_a_run_itself_stay_in_the_states_of_callbacks():
    kept = {"best_model_path": "../runs/a/best.ckpt", "best_k_models": {"/runs/a/best.ckpt": 0.5}, "wait_count": 3}
    assert without_other_files({"x": kept}) == {"x": kept}
    assert without_other_files({"x": {"p": "/runs/a/../../b.ckpt", "q": "s3://b"}}) == {"x": {"p": "/b.ckpt", "q": ""}}


# Studies


def test_a_study_follows_its_own_config_and_not_its_files(foreign, ran, tmp_path):
    from bnadapt.experiments.evaluation import Evaluation
    from bnadapt.experiments.networks import SourceNetwork, Training
    from bnadapt.experiments.trained_networks import cached_network

    training = Training(network_args={"base_channels": 4}, crop_size=32)
    network = SourceNetwork(training, {"class": "Synthetic", "size": 48, "images": 6}, 1)
    foreign(HUB).rename(network.path(tmp_path))
    cached_network(network, tmp_path, Evaluation(tile_size=48), torch.device("cpu"))
    assert not ran()


@pytest.mark.parametrize(
    "study",
    [
        {"name": "hubconf", "command": "x", "study": {}},
        {"name": "two-mean-grid", "command": "x", "study": {"training": {"class_path": "hubconf.Net"}}},
        {"name": "two-mean-grid", "command": "x", "study": {"evaluation": {"class_path": "hubconf.Net"}}},
        {"name": "pairs", "command": "x", "study": {"tasks": {"a": {"class_path": "hubconf.Net"}}}},
    ],
)
def test_a_report_runs_nothing_that_its_config_names(ran, refused, tmp_path, study):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert "study.yaml" in refused("study", "report", tmp_path)
    assert not ran()


@pytest.mark.parametrize("named", [{"task": "hubconf.Task"}, {"network": "hubconf.Net"}])
def test_a_report_imports_neither_task_nor_network(ran, refused, tmp_path, named):
    study = {"name": "two-mean-grid", "command": "x", "study": {"training": named}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert "table.parquet: does not exist" in refused("study", "report", tmp_path)
    assert not ran()


def test_aliases_in_a_studys_config_do_not_multiply(refused, tmp_path):
    lines = ["a0: &a0 [x]", *(f"a{level}: &a{level} [*a{level - 1}, *a{level - 1}]" for level in range(1, 40))]
    (tmp_path / "study.yaml").write_text("\n".join(lines))
    assert "holds too many values" in refused("study", "report", tmp_path)


def test_a_record_is_data_alone(ran, tmp_path):
    from bnadapt.experiments.records import Records
    from tests.experiments.test_specs import case

    records = Records(tmp_path / "records")
    records.write(case(), [{"gain": 0.1}])
    path = next(records.folder.glob("*.json"))
    record = json.loads(path.read_text())
    record["rows"][0]["class_path"] = "hubconf.Net"
    path.write_text(json.dumps(record))
    assert records.read(case()) == [{"gain": 0.1, "class_path": "hubconf.Net"}]
    assert not ran()
