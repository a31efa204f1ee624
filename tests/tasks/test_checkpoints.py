"""What a checkpoint must hold to be followed: numbers, and all of its parts."""

import math

import pytest
import torch

from bnadapt.batchnorm import Bank, measure_class_moments
from bnadapt.data import DomainPair
from bnadapt.errors import InputError
from bnadapt.exchange.importing import ImportedNetwork, write_checkpoint
from bnadapt.networks import build_network
from bnadapt.tasks import SegmentationTask
from bnadapt.tasks.checkpoints import read_checkpoint

VERSION = "pytorch-lightning_version"
TRAINING = {
    "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}],
    "lr_schedulers": [],
    "loops": {"fit_loop": {}},
    "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(math.inf)}},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The content of a checkpoint of an untrained network, with all that a checkpoint may hold."""
    network = build_network("unet", 1, 2, {"base_channels": 2})
    path = tmp_path_factory.mktemp("whole") / "whole.ckpt"
    write_checkpoint(ImportedNetwork("unet", network.state_dict(), {"base_channels": 2}), path)
    masks = torch.arange(2).repeat(2, 16, 8)
    moments = measure_class_moments(network, [(torch.rand(2, 1, 16, 16) + masks.unsqueeze(1), masks)])
    statistics = {"class_moments": moments.state_dict(), "source_bank": Bank.of(network).state_dict(), "adaptation": {}}
    torch.save({**torch.load(path), **statistics, **TRAINING}, path)
    return path


@pytest.fixture
def changed(whole, tmp_path):
    """Writes the checkpoint with a change."""

    def write(change):
        content = torch.load(whole)
        change(content)
        torch.save(content, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return write


def spoilt(ending, value):
    """The first number of the first tensor of this name becomes another one."""

    def change(content):
        tensor = next(each for name, each in content["state_dict"].items() if name.endswith(ending))
        tensor.view(-1)[0] = value

    return change


def put(value, *keys):
    """The entry under these keys becomes another one."""

    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def first(value, *keys):
    """The same of the first layer under these keys; its tensor is filled where the value is a number."""

    def change(content):
        for key in keys:
            content = content[key]
        layer = next(iter(content))
        content[layer] = torch.full_like(content[layer], value) if isinstance(value, float) else value

    return change


def without(*keys):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        del content[keys[-1]]

    return change


def test_a_whole_one_is_read_and_loaded(whole):
    stored = read_checkpoint(whole)
    assert stored.is_resumable
    assert stored.knows_scaling
    assert SegmentationTask.load_from_checkpoint(whole).source_bank is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoilt("conv1.weight", math.nan), "network.encoder.0.conv1.weight has values that are NaN or infinite; take"),
        (spoilt("norm1.bias", -math.inf), "network.encoder.0.norm1.bias has values that are NaN"),
        (spoilt("running_mean", math.inf), "running_mean has values that are NaN"),
        (spoilt("running_var", math.nan), "running_var has values that are NaN"),
        (spoilt("running_var", -1e-3), "network.encoder.0.norm1.running_var has negative values and is a variance"),
        (put(torch.tensor(math.nan, dtype=torch.half), "state_dict", "loss.weight"), "loss.weight has"),
        (put(torch.tensor(math.nan).to(torch.float8_e5m2), "state_dict", "loss.weight"), "loss.weight has"),
        (put(torch.zeros(2, dtype=torch.complex64), "state_dict", "loss.weight"), "torch.complex64, and not real"),
        (put(torch.zeros(2, device="meta"), "state_dict", "loss.weight"), "loss.weight has no values"),
        (put({"w": torch.tensor(math.nan)}, "current_model_state"), "current_model_state.w has"),
        (put(math.nan, "optimizer_states", 0, "param_groups", 0, "lr"), "optimizer_states.0.param_groups.0.lr has"),
        (first({"exp_avg": torch.tensor(math.inf)}, "optimizer_states", 0, "state"), "state.0.exp_avg has values"),
        (put(math.nan, "DomainPair", "pixel_size_nm"), "DomainPair.pixel_size_nm has values"),
        (first(math.nan, "class_moments", "mean"), "layer encoder.0.norm1 has statistics that are NaN"),
        (first(-1.0, "class_moments", "variance"), "layer encoder.0.norm1 has a negative variance"),
        (first(-1.0, "class_moments", "weight"), "its pixel counts are not numbers"),
        (first(math.inf, "source_bank", "mean"), "layer encoder.0.norm1 has statistics that are NaN or infinite"),
        (first(-1.0, "source_bank", "variance"), "bank of BatchNorm statistics is damaged: layer encoder.0.norm1 has"),
    ],
)
def test_what_must_be_a_number_is_one(changed, words, change):
    path = changed(change)
    with pytest.raises(InputError) as refusal:
        SegmentationTask.load_from_checkpoint(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("state_dict"), "damaged (KeyError: 'state_dict')"),
        (put([], "state_dict"), "state_dict is a list"),
        (first("text", "state_dict"), "network.encoder.0.conv1.weight is a str"),
        (without("hyper_parameters"), "KeyError: 'hyper_parameters'"),
        (without("hyper_parameters", "num_classes"), "KeyError: 'num_classes'"),
        (without(VERSION), VERSION),
        (put("abc", VERSION), "Invalid version"),
        (put("0.9.0", VERSION), "by Lightning 0.9.0"),
        (put(None, "callbacks"), "callbacks is a NoneType"),
        (put(None, "task"), "task is a NoneType"),
        (without("adaptation"), "lacks the record of its adaptation"),
        (put({"mean": {}}, "source_bank"), "it lacks 'variance'"),
        (put(None, "source_bank"), "bank of BatchNorm statistics is damaged"),
        (without("source_bank", "count"), "it lacks 'count'"),
        (without("source_bank", "variance", "bottleneck.norm1"), "or of others"),
        (put({"mean": {}}, "class_moments"), "it lacks 'variance'; take another copy, or measure them again"),
        (put([], "class_moments"), "class moments of the source are damaged"),
        (without("class_moments", "pixels"), "it lacks 'pixels'"),
        (without("class_moments", "variance", "bottleneck.norm1"), "or of others"),
        (put(torch.ones(3), "class_moments", "mean", "bottleneck.norm1"), "layer bottleneck.norm1 has statistics of"),
        (put("text", "class_moments", "mean", "bottleneck.norm1"), "class moments of the source are damaged"),
        (put([], "DomainPair"), "scaling of images is damaged"),
        (without("DomainPair", "intensity"), "'intensity' is missing"),
        (put("other", "DomainPair", "intensity"), "unknown scaling 'other'"),
        (put("4", "DomainPair", "pixel_size_nm"), "scaling of images is damaged"),
        (put({"turned": True}, "DomainPair", "target_change"), "turned"),
        (put({"source": {}}, "DomainPair", "ranges"), "scaling of images is damaged"),
    ],
)
def test_what_is_there_by_half_is_refused(changed, words, change):
    path = changed(change)
    with pytest.raises(InputError) as refusal:
        read_checkpoint(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "change", [*map(without, TRAINING), without("epoch"), put({}, "loops"), put([{}], "optimizer_states")]
)
def test_a_training_goes_on_from_its_whole_state_alone(changed, change):
    assert not read_checkpoint(changed(change)).is_resumable


@pytest.mark.parametrize("change", [without("class_moments"), put({"iou": 1.0}, "source_summary")])
def test_a_damaged_summary_of_the_source_is_left_out(changed, change, caplog):
    def both(content):
        put({"statistics": {}}, "source_summary")(content)
        change(content)

    assert SegmentationTask.load_from_checkpoint(changed(both)).source_summary is None
    assert "source_summary --overwrite replaces it" in caplog.text


def test_a_checkpoint_that_does_not_know_its_scaling_needs_one(changed, refused, images):
    path = changed(without("DomainPair"))
    target = ["--data.target=Folder", f"--data.target.images={images / 'images'}"]
    assert "give --data.intensity" in refused("predict", "--ckpt_path", path, *target)


def test_a_data_module_says_itself_what_it_cannot_take_over():
    with pytest.raises(InputError, match="'intensity' is missing"):
        DomainPair().load_state_dict({})


def test_logits_that_are_no_numbers_have_no_class(whole):
    task = SegmentationTask.load_from_checkpoint(whole).eval()
    batch = {"image": torch.rand(1, 1, 16, 16)}
    task.network.head.bias.data[1] = -math.inf  # a class that is never predicted
    assert not task.scored_logits(batch).argmax(1).any()
    task.network.head.bias.data[1] = math.inf
    with pytest.raises(InputError, match="gives logits that are NaN or infinite"):
        task.predict_step({**batch, "at_once": 1}, 0)


def test_integers_in_place_of_weights_are_refused(changed):
    def change(content):
        name = next(name for name in content["state_dict"] if name.endswith("conv1.weight"))
        content["state_dict"][name] = content["state_dict"][name].long()

    with pytest.raises(InputError, match="another architecture"):
        SegmentationTask.load_from_checkpoint(changed(change))
