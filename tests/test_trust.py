"""A file decides by itself about no code that runs: whatever it names is followed only if the user names it too."""

import json
import sys

import pytest
import torch
import yaml

from bnadapt.commands.cli import main
from bnadapt.errors import InputError
from bnadapt.networks import trust
from bnadapt.tasks import SegmentationTask
from tests import conftest
from tests.conftest import DOMAINS, SMALL, without

LOADING = [*conftest.LOADING, "--trainer.logger=false"]
TRACE = """
import pathlib
pathlib.Path({trace!r}).write_text("code ran")
import torch
def net(**arguments):
    return torch.nn.Conv2d(1, 2, 1)
class Net(torch.nn.Conv2d):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes, 1)
"""


@pytest.fixture
def foreign(best, tmp_path, monkeypatch):
    """Makes a checkpoint that names code which leaves a trace; gives its path, and whether the code ran."""
    trace = tmp_path / "trace"
    (tmp_path / "hubconf.py").write_text(TRACE.format(trace=str(trace)))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hubconf", raising=False)

    def write(parameters, **others):
        checkpoint = torch.load(best, weights_only=True)
        checkpoint["hyper_parameters"].update(parameters)
        checkpoint.update(others)
        torch.save(checkpoint, tmp_path / "foreign.ckpt")
        return tmp_path / "foreign.ckpt", trace.exists

    return write


HUB = {"network": "torch.hub.load", "network_args": {"repo_or_dir": ".", "model": "net", "source": "local"}}
FOREIGN = [
    (HUB, {}, "names the network torch.hub.load"),
    ({"network": "hubconf.Net", "network_args": None}, {}, "name it yourself by --model.network hubconf.Net"),
    ({"network": "hubconf.Net"}, {"signature": "0" * 64}, "names the network hubconf.Net"),
    ({"network_args": {"base_channels": {"class_path": "hubconf.Net"}}}, {}, "names classes among its parameters"),
    ({"loss": {"class_path": "hubconf.Net", "init_args": {}}}, {}, "names classes among its parameters"),
    ({}, {"task": "hubconf.Task"}, "name it yourself by --model hubconf.Task"),
]


@pytest.mark.parametrize(("parameters", "others", "words"), FOREIGN)
@pytest.mark.parametrize("command", ["predict", "adapt", "test", "fit"])
def test_code_that_a_checkpoint_names_does_not_run(foreign, refused, tmp_path, parameters, others, words, command):
    path, ran = foreign(parameters, **others)
    output = [] if command in ("test", "fit") else ["--output", tmp_path / "out.ckpt"]
    assert words in refused(command, *LOADING, "--ckpt_path", path, *output)
    assert not ran()


@pytest.mark.parametrize("key", ["_class_path", "_instantiator", "optimizer"])
def test_what_else_a_checkpoint_says_is_not_followed(foreign, tmp_path, key):
    path, ran = foreign({key: "hubconf.Net"}, datamodule_hyper_parameters={"_class_path": "hubconf.Data"})
    main(["predict", *LOADING, "--ckpt_path", str(path), "--output", str(tmp_path / "out")])
    assert not ran()


def test_load_from_checkpoint_follows_the_same_rule(foreign):
    path, ran = foreign({"network": "hubconf.Net", "network_args": None})
    with pytest.raises(InputError, match="names the network hubconf.Net"):
        SegmentationTask.load_from_checkpoint(path)
    assert not ran()


def test_what_the_user_names_must_be_a_module(foreign, refused):
    path, _ = foreign(HUB)
    sentence = refused("test", *LOADING, "--ckpt_path", path, "--model.network", "torch.hub.load")
    assert "network torch.hub.load: is no class of torch.nn.Module" in sentence
    assert "is no class of torch.nn.Module" in refused("fit", *SMALL, *DOMAINS, "--model.network=hubconf.net")


def test_a_network_of_ones_own_is_known_again_on_this_account_and_elsewhere_by_its_name(tmp_path, refused, monkeypatch):
    small = [*without(SMALL, "--model", "--trainer.max_epochs"), *DOMAINS, "--trainer.max_epochs=1"]
    network = "--model.network=tests.conftest.NetworkWithoutBatchNorm"
    main(["fit", *small, network, f"--trainer.logger.save_dir={tmp_path}"])
    path = tmp_path / "default/version_0/checkpoints/last.ckpt"
    main(["test", *LOADING, "--ckpt_path", str(path)])
    monkeypatch.setattr(trust, "_data_folder", lambda: tmp_path / "other account")
    assert "names the network tests.conftest" in refused("test", *LOADING, "--ckpt_path", path)
    main(["test", *LOADING, "--ckpt_path", str(path), network])
    config = tmp_path / "mine.yaml"
    config.write_text("model: {network: tests.conftest.NetworkWithoutBatchNorm}\n")
    main(["test", *LOADING, "--ckpt_path", str(path), "--config", str(config)])


def test_a_signature_holds_for_its_network_and_arguments_alone():
    parameters = {"network": "my.Net", "network_args": {"width": 3}}
    signed = trust.signature(parameters)
    assert trust.may_run(parameters, signed, None)
    assert not trust.may_run({**parameters, "network": "torch.hub.load"}, signed, None)
    assert not trust.may_run({**parameters, "network_args": {"width": 4}}, signed, None)
    assert not trust.may_run(parameters, None, None)
    assert trust.may_run(parameters, None, "my.Net")
    assert trust.may_run({"network": "unet", "network_args": None}, None, None)
    key = trust._data_folder() / "checkpoint-key"
    assert key.stat().st_mode & 0o077 == 0


def test_without_a_place_for_the_key_nothing_is_signed(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(trust, "_data_folder", lambda: tmp_path / "file" / "below")
    assert trust.signature({"network": "my.Net", "network_args": {}}) is None
    assert not trust.may_run({"network": "my.Net", "network_args": {}}, None, None)


class Exploit:
    """Unpickled, it would leave a trace."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_code_is_refused(refused, tmp_path):
    trace = tmp_path / "trace"
    torch.save({"hyper_parameters": Exploit(str(trace)), "state_dict": {}}, tmp_path / "exploit.ckpt")
    assert "is no checkpoint" in refused("test", *LOADING, "--ckpt_path", tmp_path / "exploit.ckpt")
    assert not trace.exists()


def test_a_study_follows_its_own_config_and_not_its_files(foreign, tmp_path):
    from bnadapt.experiments.evaluation import Evaluation, cached_network
    from bnadapt.experiments.networks import SourceNetwork, Training

    training = Training(network_args={"base_channels": 4}, crop_size=32)
    network = SourceNetwork(training, {"class": "Synthetic", "size": 48, "images": 6}, 1)
    path, ran = foreign(HUB)
    path.rename(network.path(tmp_path))
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
def test_a_report_runs_nothing_that_its_config_names(foreign, refused, tmp_path, study):
    _, ran = foreign({})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert "study.yaml" in refused("study", "report", tmp_path)
    assert not ran()


def test_a_record_is_data_alone(foreign, tmp_path):
    from bnadapt.experiments.records import Records
    from tests.experiments.test_specs import case

    _, ran = foreign({})
    records = Records(tmp_path / "records")
    records.write(case(), [{"gain": 0.1}])
    path = next(records.folder.glob("*.json"))
    record = json.loads(path.read_text())
    record["rows"][0]["class_path"] = "hubconf.Net"
    path.write_text(json.dumps(record))
    assert records.read(case()) == [{"gain": 0.1, "class_path": "hubconf.Net"}]
    assert not ran()
