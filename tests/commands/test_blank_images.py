"""Images without anything to see do not stop the work: they are handled, counted and reported."""

import json
import logging

import imageio.v3
import numpy as np
import pytest
import tifffile

from bnadapt.commands.cli import main
from tests.conftest import SMALL, TARGET_ALONE, without, write_images

OPTIONS = without(TARGET_ALONE, "--data.target")


@pytest.fixture
def one_blank(images):
    """A folder of which the third image is white all over."""
    white = np.full_like(imageio.v3.imread(images / "images" / "02.png"), 255)
    imageio.v3.imwrite(images / "images" / "02.png", white)
    return images


def target(folder):
    return ["--data.target=Folder", f"--data.target.images={folder}/images"]


def test_it_is_predicted_as_background(best, one_blank, tmp_path, capfd):
    main(["predict", *OPTIONS, *target(one_blank), "--ckpt_path", str(best), "--output", str(tmp_path / "out")])
    shares = {path.name: imageio.v3.imread(path).mean() / 255 for path in (tmp_path / "out").glob("*_mask.png")}
    assert len(shares) == 6
    assert shares.pop("02_mask.png") == 0
    assert all(0.05 < share < 0.95 for share in shares.values())
    assert "(1 was blank, predicted as background)" in " ".join(capfd.readouterr().out.split())


def test_adapting_to_images_of_nothing_is_said(best, images, tmp_path, capfd):
    generator = np.random.default_rng(0)
    for path in (images / "images").iterdir():
        shape = imageio.v3.imread(path).shape
        imageio.v3.imwrite(path, generator.normal(128, 8, shape).astype(np.uint8))
    options = [*OPTIONS, *target(images), "--ckpt_path", str(best), "--output", str(tmp_path / "a.ckpt")]
    main(["adapt", *options, "--policy.layers=full_resolution"])
    assert "as thick as on the source: specks" in " ".join(capfd.readouterr().out.split())


def test_it_is_left_out_of_adaptation(best, one_blank, tmp_path, capfd):
    main(["adapt", *OPTIONS, *target(one_blank), "--ckpt_path", str(best), "--output", str(tmp_path / "a.ckpt")])
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["blank_sections"] == ["02.png"]
    assert record["tiles"] == 5 * 4
    assert "1 blank image left out: all pixels are equal." in " ".join(capfd.readouterr().out.split())


def test_it_is_left_out_of_training_and_scores(one_blank, caplog):
    source = ["--data.source=Folder", f"--data.source.images={one_blank}/images"]
    source += [f"--data.source.masks={one_blank}/masks", "--data.source.gap=0"]
    with caplog.at_level(logging.WARNING):
        run = main(["fit", *SMALL, *source, "--trainer.max_epochs=1"])
    assert "1 of 4 images is blank (all pixels equal), such as 02.png; left out." in caplog.text
    assert {section.name for section in run.datamodule.train_dataloader().dataset.sections} == {
        "00.png",
        "01.png",
        "03.png",
    }


def test_an_image_without_a_single_number_is_blank_too(best, tmp_path):
    folder = write_images(tmp_path / "floats", ending=".tif", dtype=np.float32)
    tifffile.imwrite(folder / "images" / "02.tif", np.full((48, 48), np.nan, np.float32))
    main(["predict", *OPTIONS, *target(folder), "--ckpt_path", str(best), "--output", str(tmp_path / "out")])
    assert not tifffile.imread(tmp_path / "out" / "02_mask.tif").any()
