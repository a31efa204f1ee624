"""The verbs take any network and any images, leave both alone, and say in a line what came of it."""

import subprocess
import sys
from dataclasses import fields, replace
from inspect import signature

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bnadapt
from bnadapt.api.inputs import SourceModel
from bnadapt.batchnorm import Bank, estimate
from bnadapt.callbacks import BatchNormAdaptation
from bnadapt.commands.cli import main
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair, Folder, Stack, Synthetic
from bnadapt.labels import FineTuning
from bnadapt.networks import UNet
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE, write_images

TARGET = Synthetic(size=48, images=6, object_size=12, mean=(0.4, 0.1), seed=9)


class Segmenter(nn.Module):
    """Bright is foreground: logits of classes 0 and 1, or one logit."""

    def __init__(self, logits=2):
        super().__init__()
        self.norm = nn.BatchNorm2d(1, affine=False)
        self.last = nn.Conv2d(1, logits, 1, bias=False)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor([-1.0, 1.0][-logits:]).view(-1, 1, 1, 1))

    def forward(self, images):
        return self.last(self.norm(images))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UNet(base_channels=4)


@pytest.fixture(scope="module")
def source():
    """Bright squares, and where they are."""
    torch.manual_seed(1)
    masks = torch.zeros(16, 32, 32, dtype=torch.long)
    for mask, (row, column) in zip(masks, torch.randint(0, 16, (16, 2)), strict=True):
        mask[row : row + 16, column : column + 16] = 1
    return (3 * masks - 1.0 + 0.3 * torch.randn(16, 32, 32)).unsqueeze(1), masks


@pytest.fixture(scope="module")
def target(source):
    images, _ = source
    return (images + 5).flip(0)


def same(bank, other):
    return all(torch.allclose(mean, other.mean[layer], rtol=1e-5, atol=1e-7) for layer, mean in bank.mean.items())


def test_names_come_lazily_and_are_few():
    script = (
        "import sys, bnadapt\n"
        "assert not {'torch', 'numpy', 'lightning'} & set(sys.modules)\n"
        "assert len(dir(bnadapt)) <= 12, dir(bnadapt)\n"
        "from bnadapt.distances import MEASURES\n"
        "assert callable(bnadapt.distances) and bnadapt.distances.MEASURES is MEASURES\n"
        "assert all(getattr(bnadapt, name) is not None for name in dir(bnadapt))\n"
        "from bnadapt import *\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'adaptt'"):
        bnadapt.adaptt  # noqa: B018


@pytest.mark.parametrize("kind", ["BatchNormError", "DistanceError", "InputError"])
def test_all_refusals_have_one_base(kind):
    from bnadapt import batchnorm, distances, errors

    (error,) = (getattr(each, kind) for each in (batchnorm, distances, errors) if hasattr(each, kind))
    assert issubclass(error, bnadapt.BnadaptError)
    assert issubclass(bnadapt.BnadaptError, ValueError)


def test_adapt_gives_an_adapted_copy(network, target):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    adapted = bnadapt.adapt(network.train(), target)
    assert network.training
    assert not adapted.network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    changed = {name for name, value in adapted.network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.rpartition("_")[0] for name in changed} <= {f"{layer}.running" for layer in adapted.shifts}
    assert same(Bank.of(adapted.network), estimate(network, target, policy=bnadapt.Recipe().policy).bank)
    assert adapted.record["tiles"] == 16
    assert adapted.shifts["encoder.0.norm1"].mean > 0
    assert repr(adapted).startswith("AdaptedNetwork(UNet, 16 tiles: new statistics in 4 of 18 BatchNorm layers; means")
    assert isinstance(adapted.plot(), Figure)


def test_settings_are_a_recipe(target):
    recipes = [bnadapt.Recipe(policy=bnadapt.Policy(source_weight=weight)) for weight in (0, 0.75)]
    full, quarter = (bnadapt.adapt(Segmenter(), target, recipe) for recipe in recipes)
    assert quarter.bank.mean["norm"].item() == pytest.approx(full.bank.mean["norm"].item() / 4)
    assert quarter.record["policy"]["source_weight"] == 0.75


def test_by_default_layers_at_full_resolution_mix_source_and_target_in_equal_parts(network, target):
    full = bnadapt.adapt(network, target, bnadapt.Recipe(bnadapt.Policy(layers="full_resolution"))).bank.mean
    source, default = Bank.of(network).mean, bnadapt.adapt(network, target).bank.mean
    first = "encoder.0.norm1"
    torch.testing.assert_close(default[first], (source[first] + full[first]) / 2)
    changed = {layer for layer, mean in default.items() if not torch.equal(mean, source[layer])}
    assert changed == {layer for layer, mean in full.items() if not torch.equal(mean, source[layer])}


def test_images_may_be_anything_with_batches(target):
    expected = bnadapt.adapt(Segmenter(), target).bank
    parts = target.split(8)
    for images in (
        target[:, 0],
        target.numpy(),
        target.numpy()[:, 0],
        parts,
        (part[:, 0] for part in parts),
        [(part, None) for part in parts],
        [{"image": part, "number": 3} for part in parts],
        {"image": target},
        (target, torch.zeros(16, 32, 32, dtype=torch.uint8)),
        (target.numpy(), np.zeros((16, 32, 32), bool)),
        target.double(),
        DataLoader(TensorDataset(target), batch_size=8),
    ):
        assert same(bnadapt.adapt(Segmenter(), images).bank, expected)


def test_class_proportions_are_corrected_where_the_source_is_given(source):
    images, masks = source
    rare = torch.where(masks[:, None].roll(1, 0) == 1, -1.0, images)  # few of the squares are left
    plain = bnadapt.adapt(Segmenter(), rare)
    corrected = bnadapt.adapt(
        Segmenter(), rare, bnadapt.Recipe(class_proportions=[0.95, 0.05]), source=[(images, masks)]
    )
    assert plain.record["class_proportions"]["target"] is None
    assert corrected.record["class_proportions"]["target"] == [0.95, 0.05]
    assert corrected.bank.mean["norm"] > plain.bank.mean["norm"]


def test_distances_by_layer_and_state(network, source, target):
    images, _ = source
    adapted = bnadapt.adapt(network, target, bnadapt.Recipe(bnadapt.Policy()))
    found = bnadapt.distances(network, images, target, bank=adapted.bank, measures=["energy"], layers=["encoder.0.*"])
    table = found.table()
    assert set(table.state) == {"noise_floor", "unadapted", "adapted"}
    first = table[table.layer == "encoder.0.norm1"].set_index("state").value
    assert first["adapted"] < first["unadapted"] / 3
    assert repr(found).startswith("LatentDistances(")
    assert "adaptation removes" in repr(found)
    assert isinstance(found.plot(), Figure)


@pytest.mark.parametrize("logits", [1, 2])
def test_recommend_sees_inverted_contrast_and_acts_on_it(source, logits):
    images, masks = source
    advice = bnadapt.recommend(Segmenter(logits), source, -images)
    assert advice.choice == "inverted"
    assert advice.gain is None
    assert advice.choosing("adapted").verdict.gain == advice.table().loc["adapted", "gain"]
    assert advice.sentence in repr(advice)
    assert isinstance(advice.plot(), Figure)
    adapted = advice.choosing("inverted").adapt(-images)
    predicted = adapted.network(-images)
    predicted = predicted.argmax(1) if logits == 2 else predicted[:, 0] > 0
    assert (predicted == masks).float().mean() > 0.95
    assert adapted.record["target_change"]["inverted_about"] is not None


def test_a_checkpoint_and_files_give_what_the_command_gives(best, tmp_path):
    files = write_images(tmp_path / "mine") / "images"
    options = [option for option in TARGET_ALONE if "target" not in option and "tile" not in option]
    options = [option for option in options if not option.startswith(("--data.overlap", "--data.batch", "--data.int"))]
    asked = [*options, "--data.target=Folder", f"--data.target.images={files}"]
    tiling = ["--data.tile_size=48", "--data.overlap=6", "--data.batch_size=8"]
    settings = ["--class_proportions=estimated", "--policy={}"]
    main(["adapt", *asked, *tiling, *settings, f"--ckpt_path={best}", f"--output={tmp_path / 'a.ckpt'}"])
    adapted = bnadapt.adapt(str(best), files, bnadapt.Recipe(bnadapt.Policy(), class_proportions="estimated"))
    assert same(adapted.bank, Bank.load(tmp_path / "a.safetensors"))
    assert adapted.record["class_proportions"]["estimated"]


def test_a_checkpoint_scales_integers_as_in_its_training(best, tmp_path):
    images = np.random.default_rng(0).integers(0, 2**8, (6, 48, 48), dtype=np.uint8)
    with h5py.File(tmp_path / "volume.h5", "w") as file:
        file["volume"] = images
    as_wide = images.astype(np.uint16) * 257
    seen = torch.from_numpy(images / np.float32(255)).unsqueeze(1)  # the checkpoint is of intensity `dtype`
    settings = bnadapt.Recipe(class_proportions="source")
    expected = bnadapt.adapt(best, seen, settings).bank
    for given in (images, as_wide, torch.from_numpy(images), Stack(str(tmp_path / "volume.h5"), images_key="volume")):
        assert (
            bnadapt.adapt(best, given, settings)
            .bank.mean["encoder.0.norm1"]
            .allclose(expected.mean["encoder.0.norm1"], rtol=1e-4, atol=1e-5)
        )


def test_a_checkpoint_knows_its_source(best, tmp_path):
    folder = write_images(tmp_path / "mine", count=12)
    images, masks = folder / "images", folder / "masks"
    advice = bnadapt.recommend(best, None, images)
    assert advice.summary.iou > 0.5
    measured = bnadapt.recommend(best, Folder(str(images), str(masks)), images)
    assert measured.summary.iou != advice.summary.iou


def test_a_task_runs_its_network(best, target):
    task = SegmentationTask.load_from_checkpoint(best)
    of_task, of_path = (bnadapt.adapt(each, target) for each in (task, best))
    assert same(of_task.bank, of_path.bank)
    assert same(Bank.of(task.network), of_task.source_bank)


def test_an_adapted_checkpoint_is_compared_with_its_source(adapted, source, target):
    found = bnadapt.distances(adapted, source[0], target, measures=["energy"], layers=["encoder.0"])
    assert found.adapted


def test_an_adapted_checkpoint_is_adapted_anew_from_the_statistics_of_its_source(adapted, best, target):
    assert same(bnadapt.adapt(adapted, target).bank, bnadapt.adapt(best, target).bank)


def test_finetune_gives_a_copy_that_has_learnt(source, target):
    """From the target's statistics in all layers, or from those that the network holds."""
    _, masks = source
    own, labelled = Segmenter(), (target[:3], masks.flip(0)[:3])
    before = {name: value.clone() for name, value in own.state_dict().items()}
    tuned = bnadapt.finetune(own, target, labelled, FineTuning("all", steps=4), start="adapted")
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert not torch.equal(tuned.network.last.weight, own.last.weight)
    assert same(Bank.of(tuned.network), estimate(own, target).bank)
    assert repr(tuned).startswith("FineTunedNetwork(Segmenter, learnt all from 3 tiles in 4 steps: held-out IoU 0.9")
    kept = bnadapt.finetune(own, target, labelled, FineTuning("head", steps=1, folds=0), start="none")
    assert same(Bank.of(kept.network), Bank.of(own))


def test_labelled_images_may_be_tensors_or_arrays_of_any_real_type(source):
    images, masks = source
    settings = FineTuning("head", steps=2, folds=0)
    expected = bnadapt.finetune(Segmenter(), images, (images, masks), settings).network.last.weight
    for labelled in ((images.numpy(), masks.numpy()), (images.double(), masks.float()), (images[:, 0], masks == 1)):
        assert torch.equal(bnadapt.finetune(Segmenter(), images, labelled, settings).network.last.weight, expected)


def test_finetune_takes_networks_without_batchnorm(source):
    images, masks = source
    tuned = bnadapt.finetune(nn.Conv2d(1, 2, 1), images, (images[:1], masks[:1]), FineTuning("head", steps=2))
    assert tuned.steps == 2
    with pytest.raises(bnadapt.BnadaptError, match="no BatchNorm layer"):
        bnadapt.finetune(nn.Conv2d(1, 2, 1), images, (images[:1], masks[:1]), FineTuning("affine"))


def test_finetune_takes_checkpoints_and_domains(best):
    tuned = bnadapt.finetune(best, TARGET, TARGET, FineTuning("affine", steps=1, folds=0), start="adapted")
    assert tuned.labelled == len(TARGET.block("train"))


def test_finetune_prepares_labelled_files_as_those_of_the_target(best):
    """Here the checkpoint inverts images of a target, and not of its source."""
    model = SourceModel.of(best)
    changed = {**model.scaling, "target_change": {"inverted_about": 1.0}}
    plain, inverted = (
        replace(model, scaling=scaling).labelled_tiles(TARGET).images for scaling in (model.scaling, changed)
    )
    torch.testing.assert_close(inverted, 1 - plain)


def test_all_labelled_tiles_are_learnt_from(source):
    images, masks = (torch.cat(5 * [each]) for each in source)
    images = images + torch.randn(80, 1, 1, 1)
    tuned = bnadapt.finetune(Segmenter(), images, (images, masks), FineTuning("head", steps=1, folds=0))
    assert tuned.labelled == 80


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda source, images: bnadapt.adapt("missing.ckpt", images), "missing.ckpt: no such checkpoint"),
        (lambda source, images: bnadapt.adapt(lambda x: x, images), "is of type function; give a torch.nn.Module"),
        (lambda source, images: bnadapt.adapt(nn.Conv2d(1, 1, 1), images), "has no BatchNorm layer"),
        (lambda source, images: bnadapt.adapt(Segmenter(), "nowhere"), "nowhere: no such file or folder"),
        (lambda source, images: bnadapt.adapt(Segmenter(), [{"pixels": images}]), "call its images 'image'"),
        (
            lambda source, images: bnadapt.adapt(Segmenter(), images, bnadapt.Recipe(class_proportions="estimated")),
            "no class moments of the source are known; give the source with masks",
        ),
        (lambda source, images: bnadapt.adapt(Segmenter(), images, source=source), "leave source out, or set Recipe"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, images), "has no masks"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, (images, source[1][:, 1:])), "give a mask"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, (images, 3 * source[1])), "has 2 classes"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, (images, source[1] - 100)), "of class -99"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, (images, source[1] / 2)), "not whole numbers"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, None), "of type NoneType; give"),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, (images, 0 * source[1])), "another class, too"),
        (
            lambda source, images: bnadapt.finetune(Segmenter(), images, (images, 255 * source[1])),
            "hold 0 and 255 alone",
        ),
        (lambda source, images: bnadapt.finetune(Segmenter(), images, source, start="mixed"), "start is 'mixed'; take"),
        (lambda source, images: bnadapt.distances(Segmenter(), images, images, measures=["far"]), "no measure 'far'"),
        (lambda source, images: bnadapt.recommend(Segmenter(), source[0], images), "has no masks"),
        (lambda source, images: bnadapt.recommend(Segmenter(), None, images), "without a summary of its source"),
        (lambda source, images: bnadapt.recommend(Segmenter(), source, images, tiles=0), "tiles is 0"),
        (lambda source, images: bnadapt.recommend(Segmenter(), source, []), "the target has no images"),
        (
            lambda source, images: bnadapt.recommend(Segmenter(), source, [images[:1], images[:1, :, :16]]),
            "give tiles .* of one size",
        ),
        (
            lambda source, images: bnadapt.recommend(
                nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 3, 1)), source, images
            ),
            "has 3 classes",
        ),
    ],
)
def test_refusals(source, target, ask, sentence):
    with pytest.raises(bnadapt.BnadaptError, match=sentence):
        ask(source, target)


def test_the_settings_of_command_and_callback_are_those_of_the_recipe():
    settings = {"propagation": "layer_consistent", "class_proportions": [0.9, 0.1]}
    assert BatchNormAdaptation(**settings).recipe == bnadapt.Recipe(**settings)
    assert BatchNormAdaptation().recipe == bnadapt.Recipe()
    names = {each.name for each in fields(bnadapt.Recipe)}
    for takes in (AdaptationTrainer.adapt, BatchNormAdaptation):
        assert names <= set(signature(takes).parameters)


def test_data_modules_give_batches_too(images):
    data = DomainPair(target=Folder(str(images / "images")), tile_size=32)
    loader = DataLoader(data.unlabelled_tiles("target", 8), batch_size=4)
    assert bnadapt.adapt(Segmenter(), loader).record["tiles"] == 8
