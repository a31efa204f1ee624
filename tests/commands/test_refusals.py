"""Bad input gets one sentence with file, value and remedy, exit status 2, and nothing half-written."""

from importlib.util import find_spec

import imageio.v3
import numpy as np
import pytest
import torch

from bnadapt.data import DomainPair, Folder, Stack
from bnadapt.errors import InputError
from bnadapt.exchange.importing import ImportedNetwork, write_checkpoint
from tests.conftest import DOMAINS, SMALL, NetworkWithoutBatchNorm, without

TILES = ["--data.tile_size=32", "--data.overlap=8"]


def folder_options(which, folder, masks=True):
    options = [f"--data.{which}=Folder", f"--data.{which}.images={folder / 'images'}"]
    return options + ([f"--data.{which}.masks={folder / 'masks'}"] if masks else [])


@pytest.fixture
def fit(images, refused):
    """Refuse to fit on the folder, after something was done to it."""
    return lambda: refused("fit", *SMALL, *folder_options("source", images), "--data.source.gap=0")


@pytest.fixture
def predict(images, refused, best, tmp_path):
    """Refuse to segment the folder, after something was done to it, and leave nothing behind."""

    def refuse():
        output = tmp_path / "out"
        options = [*folder_options("target", images, masks=False), *TILES, "--output", output]
        sentence = refused("predict", "--ckpt_path", best, *options)
        assert not output.exists()
        assert not list(tmp_path.glob(".partial*"))
        return sentence

    return refuse


@pytest.fixture
def read(images):
    """Refuse to read the folder, after something was done to it, as `predict` does."""

    def read():
        sections = DomainPair(target=Folder(images / "images"), tile_size=32).prediction_dataset()
        return [sections[index] for index in range(len(sections))]

    def refuse():
        with pytest.raises(InputError) as refusal:
            read()
        return str(refusal.value)

    return refuse


@pytest.fixture
def learn(images):
    """Refuse to train on the folder, after something was done to it, as `fit` does."""

    def first_batch(**options):
        source = Folder(images / "images", images / "masks", gap=0)
        return next(iter(DomainPair(source, crops_per_epoch=4, **options).train_dataloader()))

    def refuse(crop_size=32):
        with pytest.raises(InputError) as refusal:
            first_batch(crop_size=crop_size)
        return str(refusal.value)

    return refuse


def test_an_empty_image(images, predict):
    (images / "images" / "04.png").write_bytes(b"")
    assert "04.png: is empty (0 bytes); copy it again" in predict()


def test_a_truncated_image(images, read):
    path = images / "images" / "04.png"
    path.write_bytes(path.read_bytes()[:400])
    assert "04.png: cannot be read as an image" in read()


@pytest.mark.parametrize("name", ["04.png", "99.tif"])
def test_a_file_that_is_no_image(images, read, name):
    (images / "images" / name).write_bytes(b"this is no picture at all" * 20)
    assert f"{name}: cannot be read as an image" in read()


def test_a_truncated_tiff(images, read):
    path = images / "images" / "99.tif"
    imageio.v3.imwrite(path, np.arange(48 * 48, dtype=np.uint16).reshape(48, 48))
    path.write_bytes(path.read_bytes()[:1500])
    assert "99.tif: cannot be read as an image" in read()


def test_a_missing_folder_and_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder; check the path"):
        Folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no images; put PNG, JPEG or TIFF"):
        Folder(tmp_path / "empty")


def test_a_missing_stack(refused, tmp_path):
    options = ["fit", *SMALL, "--data.source=Stack", f"--data.source.images={tmp_path / 'volume.h5'}"]
    assert "volume.h5: no such file" in refused(*options)
    (tmp_path / "volume.h5").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"volume\.h5: cannot be read as HDF5"):
        Stack("volume.h5")


def test_a_mask_of_another_size(images, fit):
    imageio.v3.imwrite(images / "masks" / "01.png", np.zeros((48, 40), np.uint8))
    assert "01.png: the image has 48 x 48 pixels, its mask 48 x 40" in fit()


def test_mask_values_outside_the_classes(images, learn):
    imageio.v3.imwrite(images / "masks" / "01.png", np.full((48, 48), 7, np.uint8))
    assert "masks/01.png: mask value 7 is not a class; with 2 classes" in learn()


def test_a_mask_without_an_image(images, learn):
    (images / "images" / "01.png").unlink()
    assert "01.png: no image of that name" in learn()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_finite_numbers(images, read, value):
    image = np.random.default_rng(0).random((48, 48)).astype(np.float32)
    image[3, 4] = value
    imageio.v3.imwrite(images / "images" / "99.tif", image)
    assert "99.tif: 1 pixels are NaN or infinite" in read()


def test_nothing_but_constant_images(images, predict):
    for path in (images / "images").iterdir():
        imageio.v3.imwrite(path, np.full((48, 48), 9, np.uint8))
    assert "all of its 6 images are blank (all pixels equal); give images that show something" in predict()


def test_images_smaller_than_a_tile(refused, best, images):
    target = folder_options("target", images, masks=False)
    sentence = refused("adapt", "--ckpt_path", best, *target, "--data.tile_size=64", "--output", "adapted.ckpt")
    assert "48 x 48 pixels (after resampling) are smaller than a tile of 64; set --data.tile_size to 48" in sentence


def test_images_smaller_than_a_crop(learn):
    assert "set --data.crop_size to 48 or less" in learn(crop_size=64)


def test_no_target_images(refused, best, images, tmp_path):
    assert "there is no target; give one" in refused("adapt", "--ckpt_path", best)
    for path in (images / "images").iterdir():
        path.unlink()
    output = tmp_path / "adapted.ckpt"
    target = folder_options("target", images, masks=False)
    assert "holds no images" in refused("adapt", "--ckpt_path", best, *target, "--output", output)
    assert not output.exists()


def test_colour_images_for_a_grey_network(images, predict):
    for path in (images / "images").iterdir():
        imageio.v3.imwrite(path, np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    assert "the images have 3 channels, the network takes 1" in predict()


def test_a_checkpoint_of_another_architecture(best, refused):
    options = ["--ckpt_path", best, *DOMAINS, *without(SMALL, "--model")]
    assert "holds a network with network unet, --model.network requests smp/unet" in refused(
        "test", *options, "--model.network=smp/unet"
    )
    assert "holds a network with network_args {'base_channels': 4}" in refused(
        "adapt", *options, "--model.network_args.base_channels=8"
    )


def test_a_checkpoint_whose_weights_fit_no_longer(best, refused, tmp_path):
    checkpoint = torch.load(best, weights_only=True)
    checkpoint["state_dict"]["network.head.weight"] = torch.zeros(5, 4, 1, 1)
    torch.save(checkpoint, tmp_path / "other.ckpt")
    sentence = refused("test", "--ckpt_path", tmp_path / "other.ckpt", *DOMAINS, *TILES)
    assert "holds another architecture than unet" in sentence
    assert "network.head.weight" in sentence


def test_checkpoints_that_are_missing_broken_or_of_something_else(refused, best, tmp_path):
    assert "nothing.ckpt: no such checkpoint" in refused("test", "--ckpt_path", "nothing.ckpt", *DOMAINS)
    assert "give the trained network by --ckpt_path" in refused("test", *DOMAINS)
    (tmp_path / "half.ckpt").write_bytes(best.read_bytes()[:5000])
    assert "half.ckpt: is not a checkpoint of `bnadapt fit`" in refused("test", "--ckpt_path", "half.ckpt", *DOMAINS)
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert "other.ckpt: is not a checkpoint of `bnadapt fit`" in refused("test", "--ckpt_path", "other.ckpt", *DOMAINS)


def test_a_network_without_batchnorm_statistics(refused, tmp_path):
    network = "--model.network=tests.conftest.NetworkWithoutBatchNorm"
    weights = NetworkWithoutBatchNorm(1, 2).state_dict()
    path = tmp_path / "c.ckpt"
    write_checkpoint(ImportedNetwork("tests.conftest.NetworkWithoutBatchNorm", weights), path)
    output = tmp_path / "a.ckpt"
    sentence = refused("adapt", "--ckpt_path", path, network, *DOMAINS, *TILES, "--output", output)
    assert "has no BatchNorm layer" in sentence
    assert "take a network with BatchNorm" in sentence
    assert not output.exists()


def test_a_wrong_number_of_classes(refused):
    assert "the network has 3 classes, the data 2" in refused("fit", *SMALL, *DOMAINS, "--model.num_classes=3")


def test_a_source_weight_out_of_range(refused, best):
    sentence = refused("adapt", "--ckpt_path", best, *DOMAINS, *TILES, "--policy.source_weight=2")
    assert "source_weight is 2.0; give a value between 0 (target alone) and 1 (source alone)" in sentence


def test_a_network_that_does_not_exist(refused):
    assert "network nosuch: not found" in refused("fit", *SMALL, *DOMAINS, "--model.network=nosuch")


@pytest.mark.parametrize("command", [["adapt"], ["finetune", "--labelled", 1]])
def test_the_original_network_is_not_replaced(refused, best, command):
    before = best.read_bytes()
    target = without(DOMAINS, "--data.source")
    sentence = refused(*command, "--ckpt_path", best, *target, *TILES, "--output", best, "--overwrite")
    assert "is read by this command; give another --output" in sentence
    assert best.read_bytes() == before


def test_a_failed_adapt_leaves_the_earlier_output_alone(images, refused, best, tmp_path):
    output = tmp_path / "adapted.ckpt"
    output.write_text("precious")
    (images / "images" / "04.png").write_bytes(b"")
    target = folder_options("target", images, masks=False)
    sentence = refused("adapt", "--ckpt_path", best, *target, *TILES, "--output", output, "--overwrite")
    assert "04.png: is empty" in sentence
    assert output.read_text() == "precious"
    assert not list(tmp_path.glob(".partial*"))


def test_outputs_that_would_overwrite_something_else(refused, best, images, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious.txt").write_text("precious")
    target = folder_options("target", images, masks=False)
    adapt = ["adapt", "--ckpt_path", best, *target, *TILES, "--output"]
    assert "is not the name of a checkpoint" in refused(*adapt, tmp_path / "results")
    assert "is not the name of a checkpoint" in refused(*adapt, tmp_path / "adapted.json")
    predict = ["predict", "--ckpt_path", best, *target, *TILES, "--output"]
    assert "is a file; give a folder" in refused(*predict, tmp_path / "results" / "precious.txt")
    assert (tmp_path / "results" / "precious.txt").read_text() == "precious"


def test_an_adapted_checkpoint_cannot_be_resumed(refused, best, tmp_path):
    checkpoint = torch.load(best, weights_only=True)
    del checkpoint["optimizer_states"]
    torch.save(checkpoint, tmp_path / "adapted.ckpt")
    sentence = refused("fit", *without(SMALL, "--model"), *DOMAINS, "--ckpt_path", tmp_path / "adapted.ckpt")
    assert "cannot be resumed" in sentence


def test_a_resume_beyond_the_schedule(refused, best):
    options = ["--data.crops_per_epoch=120", "--trainer.max_epochs=9", "--ckpt_path", best]
    small = without(SMALL, "--model", "--data.crops_per_epoch", "--trainer.max_epochs")
    assert "one-cycle schedule ends after 90 steps, this run has 270" in refused("fit", *small, *DOMAINS, *options)


@pytest.mark.parametrize("name", ["batch_size", "crop_size", "adaptation_tiles"])
def test_counts_below_one(name):
    with pytest.raises(InputError, match=f"{name} is 0; set --data.{name} to at least 1"):
        DomainPair(**{name: 0})


def test_images_of_different_channels(images, predict):
    imageio.v3.imwrite(images / "images" / "04.png", np.random.default_rng(0).integers(0, 255, (48, 48, 3), np.uint8))
    assert "the images have 3 channels, the network takes 1; convert the images" in predict()


def test_a_source_without_masks(images):
    with pytest.raises(InputError, match="has no masks; give some"):
        DomainPair(Folder(images / "images")).train_dataloader()


def test_an_adaptation_at_the_end_of_training_without_a_target_is_refused_at_its_start(images, refused, tmp_path):
    options = [*folder_options("source", images), "--trainer.callbacks+=bnadapt.callbacks.BatchNormAdaptation"]
    assert "needs a target to adapt to" in refused("fit", *SMALL, *options, "--data.source.gap=0")
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has the accelerator")
def test_a_machine_without_the_accelerator_asked_for(refused):
    assert "MPSAccelerator" in refused("fit", *SMALL, *DOMAINS, "--trainer.accelerator=mps")


@pytest.mark.parametrize(
    ("option", "package"), [("accelerator=tpu", "torch_xla"), ("logger=CometLogger", "comet_ml")], ids=["tpu", "comet"]
)
def test_options_whose_package_is_missing(refused, option, package):
    if find_spec(package):
        pytest.skip("this machine has the package")
    sentence = refused("fit", *SMALL, *DOMAINS, f"--trainer.{option}")
    assert f"a package is missing ({package}" in sentence.replace("Requirement '", "").replace("-", "_")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")])
def test_memory_that_does_not_suffice_is_a_sentence(error, monkeypatch, refused):
    def fail(arguments):
        raise error

    monkeypatch.setattr("bnadapt.commands.cli.main", fail)
    assert "out of memory; set a smaller --data.batch_size" in refused("fit")
