"""What runs in threads: checks, looks, and files that are those of the commands."""

import html
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bnadapt.commands.cli import main
from bnadapt.commands.objects import table_of_objects
from bnadapt.commands.options import check_options
from bnadapt.commands.parser import options_of
from bnadapt.data.readers import open_masks
from bnadapt.errors import InputError
from bnadapt.napari import engine, looking
from bnadapt.napari.command_lines import (
    adapt_line,
    finetune_line,
    objects_line,
    predict_line,
    preview_line,
    propose_line,
    recommend_line,
    shown,
)
from bnadapt.napari.inputs import AS_IT_IS, SELF_TRAINED, Inputs, Outputs, Treatment
from bnadapt.napari.results import Region
from bnadapt.napari.watch import Stopped, Watch


@pytest.fixture
def inputs(best, volume):
    """The trained network and the volume, checked."""
    return engine.checked(Inputs(str(best), str(volume), tiles=6)).inputs


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path / "out")


def with_pixel_size(checkpoint, path, pixel_size_nm):
    """A copy of a checkpoint whose network was trained on pixels of another size."""
    content = torch.load(checkpoint, weights_only=True)
    content["DomainPair"]["pixel_size_nm"] = pixel_size_nm
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize(
    ("network_nm", "own", "said"),
    [
        (8.0, None, ""),
        (10.0, None, "the image is shrunk to 80%."),
        (4.0, None, "the image is enlarged 2 times. That is far: check that both pixel sizes are right."),
        (4.0, 4.0, ""),
        (None, None, "does not know its pixel size"),
    ],
)
def test_pixel_sizes_that_differ_are_said(best, volume, tmp_path, network_nm, own, said):
    path = with_pixel_size(best, tmp_path / "other.ckpt", network_nm)
    facts = engine.checked(Inputs(path, str(volume), pixel_size_nm=own))
    assert said in " ".join(facts.warnings)
    assert bool(facts.warnings) == bool(said)
    assert ("pixels of 8 nm, as its file says" in facts.image) == (own is None)


def test_what_cannot_be_used_is_refused_as_by_the_commands(best, volume, tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        engine.checked(Inputs(str(tmp_path / "none.ckpt"), str(volume)))
    with pytest.raises(InputError, match="is not a checkpoint of `bnadapt fit`"):
        engine.checked(Inputs(str(volume), str(volume)))
    with pytest.raises(InputError, match="no such file"):
        engine.checked(Inputs(str(best), str(tmp_path / "none.tif")))


def test_without_a_source_nothing_is_recommended(best, volume, tmp_path, inputs):
    content = torch.load(best, weights_only=True)
    del content["source_summary"]
    torch.save(content, tmp_path / "bare.ckpt")
    facts = engine.checked(Inputs(str(tmp_path / "bare.ckpt"), str(volume)))
    assert "knows nothing of its source" in " ".join(facts.network)
    options = {each.name: each.options for each in facts.treatments}
    assert options["mixed"] == ("--policy.source_weight", "0.5")
    assert options["full-resolution"] == ("--policy.source_weight", "0", "--policy.layers", "full_resolution")
    assert not any("--choose" in each.options for each in facts.treatments)
    looker = engine.Looker.of(replace(facts.inputs, tiles=4), Watch())
    assert looker.advice_or_reason(Watch()).sentence.startswith("Nothing can be recommended: the checkpoint holds no")


@pytest.fixture
def in_float32(monkeypatch):
    """Let the processor not compute in bfloat16, in which a look decides ties otherwise than a segmentation."""
    for probe in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, probe, lambda: False)


@pytest.mark.usefixtures("in_float32")
def test_a_look_shows_what_is_segmented_there(inputs):
    looker = engine.Looker.of(inputs, Watch())
    look = looker.look(Region(3, (10, 30), (5, 40)), Watch())
    whole = engine.section(inputs, inputs.checkpoint, 3, Watch())
    assert whole.classes.any()
    np.testing.assert_array_equal(look.classes["none"], whole.classes[10:30, 5:40])
    framed = looker.framed(Region(3, (33, 47), (17, 31)))  # whose predictions depend on what lies outside
    seen = framed.cut(looker.networks.by_name["none"].logits(framed.image).softmax(1))
    np.testing.assert_allclose(1 - seen[0], whole.foreground[33:47, 17:31], atol=1e-5)
    assert look.disagreement.shape == (20, 35)
    np.testing.assert_array_equal(looker.weighted(1), look.classes["none"])
    np.testing.assert_array_equal(looker.weighted(0), look.classes["adapted"])
    with pytest.raises(InputError, match="lies outside of the image"):
        looker.look(Region(3, (60, 70), (5, 40)), Watch())


def test_a_self_trained_network_is_shown_beside_the_candidates(inputs, outputs, two_steps):
    looker = engine.Looker.of(inputs, Watch())
    region = Region(3, (10, 30), (5, 40))
    assert SELF_TRAINED not in looker.look(region, Watch()).classes
    looker.self_train(outputs, Watch())
    look = looker.look(region, Watch())
    path = outputs.folder / "best-self-trained.ckpt"
    whole = engine.section(inputs, str(path), 3, Watch())
    np.testing.assert_array_equal(look.classes[SELF_TRAINED], whole.classes[10:30, 5:40])
    assert torch.load(path, weights_only=True)["adaptation"]["self_training"]["steps"] == 2
    assert look.titles[SELF_TRAINED] == "adapt all layers, then self-train"


def test_self_training_is_stopped_between_steps(inputs, outputs, two_steps):
    watch = Watch(lambda what, done, total: watch.stop() if (what, done, total) == ("Self-training", 1, 2) else None)
    with pytest.raises(Stopped):
        engine.Looker.of(inputs, watch).self_train(outputs, watch)
    assert not list(outputs.folder.glob("*.ckpt"))


def test_files_are_those_of_the_command_that_is_shown(inputs, outputs, tmp_path):
    treatment = Treatment("adapted", "", ("--choose", "adapted"))
    path = engine.adapted(inputs, treatment, outputs, Watch())
    line = adapt_line(inputs, treatment, str(tmp_path / "typed.ckpt"))
    main([*line, "--trainer.logger=false"])
    own, typed = (torch.load(each, weights_only=True) for each in (path, tmp_path / "typed.ckpt"))
    assert own["task"] == typed["task"]
    for name, tensor in typed["state_dict"].items():
        torch.testing.assert_close(own["state_dict"][name], tensor)
    assert own["adaptation"]["tiles"] == 6
    written = Path(path).read_bytes()
    assert engine.adapted(inputs, treatment, outputs, Watch()) == path  # again, without any work
    assert Path(path).read_bytes() == written


def test_what_is_stopped_goes_on_by_the_command(inputs, outputs, caplog):
    watch = Watch(lambda what, done, total: watch.stop() if (what, done) == ("Segmenting", 2) else None)
    with pytest.raises(Stopped):
        engine.volume(inputs, inputs.checkpoint, outputs, watch)
    folder = outputs.folder / "segmented-by-best"
    assert not list(folder.glob("*.ome.zarr"))
    assert "the same command resumes with the rest" in caplog.text
    main([*predict_line(inputs, inputs.checkpoint, outputs), "--trainer.logger=false"])
    assert "resumes a run that has segmented" in caplog.text
    mask = open_masks(folder / "volume_mask.ome.zarr")
    assert mask.shape == (6, 48, 48)
    np.testing.assert_array_equal(engine.classes_in(str(folder))[4], mask[4])
    with pytest.raises(InputError, match="exists already"):
        engine.volume(inputs, inputs.checkpoint, outputs, Watch())


def test_corrected_tiles_score_candidates(inputs, outputs):
    tiles = engine.proposed(inputs, 2, outputs, Watch())
    masks = {tile.file: np.zeros_like(tile.prediction) for tile in tiles}
    for mask in masks.values():
        mask[:9] = 1
    assert engine.corrected(inputs, outputs, masks) == 2
    advice = engine.measured(inputs, outputs, Watch())
    assert "IoU on 2 labelled tiles" in advice.sentence
    page = (outputs.folder / "recommendation-measured" / "index.html").read_text(encoding="utf-8")
    next_command = "predict" if advice.choice == "none" else "adapt"
    assert f"bnadapt {next_command} --ckpt_path {inputs.checkpoint}" in html.unescape(page)
    assert advice.choice == "none" or f"--choose {advice.choice}" in page
    again = engine.proposed(inputs, 5, outputs, Watch())  # those that are there
    assert [tile.file for tile in again] == [tile.file for tile in tiles]
    engine.corrected(inputs, outputs, dict.fromkeys(masks))
    with pytest.raises(InputError, match="nothing is drawn on its masks"):
        engine.finetuned(inputs, 1, outputs, Watch())


def test_fine_tuning_is_stopped_between_steps(inputs, outputs):
    tiles = engine.proposed(inputs, 2, outputs, Watch())
    half = np.indices(tiles[0].prediction.shape)[0] < 9
    engine.corrected(inputs, outputs, {tile.file: half.astype(np.uint8) for tile in tiles})
    reports = []

    def stop_early(what, done, total):
        reports.append((what, done, total))
        if total and done:
            watch.stop()

    watch = Watch(stop_early)
    with pytest.raises(Stopped):
        engine.finetuned(inputs, 50, outputs, watch)
    assert not list(outputs.folder.glob("*finetuned*"))
    assert reports[-1][1] < reports[-1][2]


def test_command_lines_can_be_typed():
    inputs = Inputs("my net.ckpt", "a.tif", "raw", 5.0, "xz", (("T", 3),), tile_size=48)
    line = shown(adapt_line(inputs, Treatment("none", "", ("--choose", "none")), "b.ckpt"))
    assert line.startswith("bnadapt adapt --ckpt_path 'my net.ckpt' --data.target Stack --data.target.images a.tif")
    assert "--data.target.pixel_size_nm 5 --data.target.override_pixel_size true" in line
    assert "--data.target.plane xz --data.target.index '{T: 3}'" in line
    assert Outputs(Path("out")).checkpoint(inputs, AS_IT_IS) == "my net.ckpt"
    assert "--format" not in predict_line(replace(inputs, is_folder=True), "b.ckpt", Outputs(Path("out")))


def test_commands_know_the_options_of_all_lines():
    inputs, outputs = Inputs("net.ckpt", "a.tif"), Outputs(Path("out"), overwrite=True)
    lines = [
        preview_line(inputs, outputs),
        recommend_line(inputs, outputs, "proposed"),
        propose_line(inputs, 3, outputs),
        finetune_line(inputs, 5, outputs),
        adapt_line(inputs, looking.LEARNT, "b.ckpt"),
        predict_line(inputs, "b.ckpt", outputs),
    ]
    for line in lines:
        check_options(line)
    options = options_of(table_of_objects, "objects", objects_line("predictions", True, True, 50)[1:])
    assert (options["mask"], options["min_size"], options["overwrite"]) == ("predictions", 50, True)
    assert options["labels"] == "predictions/objects.ome.zarr"
