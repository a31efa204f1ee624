"""`propose` writes tiles to be drawn on, and `finetune` learns from them, or from masks that are there."""

import json

import imageio.v3
import numpy as np
import pytest
import torch

from bnadapt.actions.labelled import labelled_by_hand, labelled_of_train_block
from bnadapt.batchnorm import Bank
from bnadapt.commands.cli import main
from bnadapt.commands.passes import passes_of_finetune
from bnadapt.data import DomainPair, Folder, Synthetic
from bnadapt.errors import InputError
from bnadapt.gain import RECOMMENDABLE
from bnadapt.labels import SelfTraining
from bnadapt.labels.drawing import drawn_masks
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE, without

TARGET = Synthetic(size=48, images=6, object_size=12, mean=(0.4, 0.1), seed=9)  # of TARGET_ALONE
FOLDER = [*without(TARGET_ALONE, "--data.target"), "--data.target=Folder"]


@pytest.fixture
def images(tmp_path):
    """A folder of the target's images, and one of its masks."""
    for kind in ("images", "masks"):
        (tmp_path / "mine" / kind).mkdir(parents=True)
    for number, section in enumerate(TARGET.labelled()):
        image = (section.read_image() * 255).clip(0, 255).astype(np.uint8)
        imageio.v3.imwrite(tmp_path / "mine" / "images" / f"{number}.png", image)
        imageio.v3.imwrite(tmp_path / "mine" / "masks" / f"{number}.png", section.read_mask() * np.uint8(255))
    return tmp_path / "mine"


@pytest.fixture
def proposed(best, images, tmp_path):
    """Three tiles of the images that were proposed."""
    folder = tmp_path / "proposed"
    asked = ["propose", *FOLDER, f"--data.target.images={images / 'images'}", "--ckpt_path", str(best)]
    main([*asked, "--output", str(folder), "--tiles=3"])
    return folder


def draw(folder, images, number=slice(None), ignored_rows=0):
    """What someone would draw on the masks of proposed tiles, who leaves some rows out."""
    for tile in json.loads((folder / "tiles.json").read_text())[number]:
        mask = imageio.v3.imread(images / "masks" / tile["section"])
        mask = mask[tile["top"] : tile["top"] + 32, tile["left"] : tile["left"] + 32].copy()
        mask[:ignored_rows] = 128
        imageio.v3.imwrite(folder / "masks" / tile["file"], mask)


def finetune(best, tmp_path, *more, target=TARGET_ALONE, start="adapted"):
    path = tmp_path / "tuned.ckpt"
    begun = [f"--start={start}"] if start else []
    main(["finetune", *target, "--ckpt_path", str(best), "--output", str(path), "--overwrite", *begun, *more])
    return path, json.loads(path.with_suffix(".json").read_text())


def test_a_checkpoint_like_that_of_adapt(best, tmp_path, capsys):
    path, record = finetune(best, tmp_path, "--labelled=3", "--steps=4")
    done = record["finetuning"]
    assert (done["start"], done["labelled_tiles"]) == ("adapted", 3)
    assert done["unlabelled_tiles"] == record["tiles"] > 3
    assert record["provenance"]["checkpoint"]["path"] == str(best)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{done['iou_before']:.3f} before, {done['iou_after']:.3f} after" in printed
    assert f"Next: bnadapt test --ckpt_path {path}" in printed
    task = SegmentationTask.load_from_checkpoint(path)
    assert task.adaptation["finetuning"]["steps"] == done["steps"]
    stored = Bank.load(path.with_suffix(".safetensors"))
    assert all(torch.allclose(mean, stored.mean[name]) for name, mean in Bank.of(task.network).mean.items())
    assert task.source_bank is None  # it would belong to other weights
    assert task.source_summary is None
    scores = main(["test", *TARGET_ALONE, "--ckpt_path", str(path)]).trainer.callback_metrics
    assert 0 <= scores["test/target/iou"] <= 1


def test_adapt_learns_from_its_own_predictions_when_asked_to(best, tmp_path, capsys):
    path = tmp_path / "adapted.ckpt"
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(path), "--self_training=3"])
    done = json.loads(path.with_suffix(".json").read_text())["self_training"]
    tiles = len(TARGET.block("train")) * 4  # of 32 pixels in images of 48
    assert (done["steps"], done["tiles"]) == (3, tiles)
    assert f"from its own predictions of {tiles} tiles in 3 steps" in " ".join(capsys.readouterr().out.split())
    state, source = (torch.load(each, weights_only=True)["state_dict"] for each in (path, best))
    assert not torch.equal(state["network.head.weight"], source["network.head.weight"])
    stored = Bank.load(path.with_suffix(".safetensors"))
    task = SegmentationTask.load_from_checkpoint(path)
    assert all(torch.allclose(mean, stored.mean[name]) for name, mean in Bank.of(task.network).mean.items())
    assert task.source_summary is None


def test_labels_are_learnt_after_self_training(best, tmp_path, monkeypatch):
    monkeypatch.setattr("bnadapt.actions.finetune.SelfTraining", lambda: SelfTraining(steps=2))
    _, record = finetune(best, tmp_path, "--labelled=1", "--steps=1", start="self-trained")
    assert record["self_training"]["steps"] == 2
    assert record["finetuning"]["start"] == "self-trained"


def test_adapting_again_keeps_the_record_and_says_what_stands_in_for_the_source(best, tmp_path, caplog):
    tuned, record = finetune(best, tmp_path, "--labelled=1", "--steps=1", start="none")
    again = tmp_path / "again.ckpt"
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(tuned), "--output", str(again)])
    assert "its own statistics stand in for the source's" in caplog.text
    task, own = (SegmentationTask.load_from_checkpoint(path) for path in (again, tuned))
    assert task.adaptation["earlier"]["finetuning"] == record["finetuning"]
    assert all(torch.equal(mean, task.source_bank.mean[name]) for name, mean in Bank.of(own.network).mean.items())


def test_a_head_leaves_the_statistics_of_the_source_in_force(best, tmp_path):
    path, _ = finetune(best, tmp_path, "--labelled=1", "--steps=1", "--learn=head")
    source = Bank.of(SegmentationTask.load_from_checkpoint(best).network)
    kept = SegmentationTask.load_from_checkpoint(path).source_bank
    assert all(torch.equal(mean, kept.mean[name]) for name, mean in source.mean.items())


def test_tiles_that_were_learnt_from_are_left_out_of_scores(best, images, tmp_path, caplog, capsys, refused):
    """Whatever the split says later: here the test block was learnt from, first in part, then as a whole."""
    masked = [*FOLDER, f"--data.target.images={images / 'images'}", f"--data.target.masks={images / 'masks'}"]
    everything = [*masked, "--data.target.split=[1, 0, 0]"]
    half = [*masked, "--data.target.gap=0", "--data.target.split=[0, 0, 1]"]
    path, _ = finetune(best, tmp_path, "--labelled=2", "--steps=1", "--learn=head", target=everything)
    assert "Next: bnadapt predict" in capsys.readouterr().out  # nothing is left to test on
    assert len(SegmentationTask.load_from_checkpoint(path).adaptation["finetuning"]) > 0
    main(["test", *half, "--ckpt_path", str(path)])
    assert "has learnt from tiles of" in caplog.text
    assert "of 6 images to score; these tiles are left out" in caplog.text
    path, _ = finetune(best, tmp_path, "--labelled=99", "--steps=1", "--learn=head", target=everything)
    assert "has learnt from all that is labelled" in refused("test", *half, "--ckpt_path", path)


def test_interrupted_learning_leaves_nothing_and_says_so(best, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bnadapt.commands.trainer.adapting.finetune_to_target", interrupted)
    with pytest.raises(SystemExit):
        finetune(best, tmp_path, "--labelled=1")
    assert "Interrupted: nothing was written." in capsys.readouterr().out
    assert not list(tmp_path.glob("tuned*"))


def test_from_none_keeps_what_is_not_adapted(best, tmp_path):
    path, record = finetune(best, tmp_path, "--labelled=1", "--steps=1", "--learn=head", start="none")
    state, source = (torch.load(each, weights_only=True)["state_dict"] for each in (path, best))
    assert {name for name in state if not torch.equal(state[name], source[name])} == {
        "network.head.weight",
        "network.head.bias",
    }
    assert record["finetuning"]["start"] == "none"


def test_learning_may_start_from_what_is_recommended(best, tmp_path):
    _, record = finetune(best, tmp_path, "--labelled=1", "--steps=1", "--learn=head", start="auto")
    assert record["finetuning"]["start"] == "auto"
    assert record["recommendation"]["choice"] in RECOMMENDABLE


def test_no_tile_of_the_test_block_is_learnt_from(best, tmp_path, caplog):
    """However many are asked for: all are of the train block, of which there are fewer."""
    _, record = finetune(best, tmp_path, "--labelled=50", "--steps=1", "--learn=head")
    tiles = len(TARGET.block("train")) * 4  # of 32 pixels in images of 48
    assert record["finetuning"]["labelled_tiles"] == tiles
    assert f"50 labelled tiles were requested, but its train block has {tiles}" in caplog.text
    assert "of 6 labelled images are kept for test and validation" in caplog.text


def test_proposed_tiles_are_spread_and_empty(proposed, images):
    tiles = json.loads((proposed / "tiles.json").read_text())
    assert len({tile["section"] for tile in tiles}) == 3
    for tile in tiles:
        image, mask, prediction = (
            imageio.v3.imread(proposed / kind / tile["file"]) for kind in ("images", "masks", "predictions")
        )
        whole = imageio.v3.imread(images / "images" / tile["section"])
        np.testing.assert_array_equal(image, whole[tile["top"] :, tile["left"] :][:32, :32])
        assert (mask == 128).all()
        assert set(np.unique(prediction)) <= {0, 255}


def test_what_was_drawn_is_replaced_only_when_asked_for(proposed, images, best, refused, capsys):
    draw(proposed, images)
    asked = ["propose", *FOLDER, f"--data.target.images={images / 'images'}", "--ckpt_path", str(best)]
    asked += ["--output", str(proposed), "--tiles=2"]
    assert "exists already" in refused(*asked)
    main([*asked, "--overwrite"])
    assert len(list((proposed / "masks").iterdir())) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "Proposed 2 of 24 tiles" in printed
    assert f"Next: bnadapt finetune --ckpt_path {best}" in printed


def test_drawn_tiles_are_learnt_from_partly_labelled_ones_too(proposed, images, best, tmp_path):
    draw(proposed, images, slice(0, 2), ignored_rows=16)
    target = [*FOLDER, f"--data.target.images={images / 'images'}"]
    _, record = finetune(best, tmp_path, f"--proposed={proposed}", "--steps=2", target=target)
    assert record["finetuning"]["labelled_tiles"] == 2  # nothing is drawn on the third
    assert record["finetuning"]["labelled_pixels"] == 2 * 16 * 32


def test_drawn_tiles_of_the_test_block_are_left_out(proposed, images, best, tmp_path, caplog):
    draw(proposed, images)
    tiles = json.loads((proposed / "tiles.json").read_text())
    masks = [f"--data.target.masks={images / 'masks'}", "--data.target.gap=0"]
    target = [*FOLDER, f"--data.target.images={images / 'images'}", *masks, "--data.target.split=[0.5, 0, 0.5]"]
    _, record = finetune(best, tmp_path, f"--proposed={proposed}", "--steps=1", target=target)
    learnt_from = [tile for tile in tiles if tile["section"] in ("0.png", "1.png", "2.png")]
    assert record["finetuning"]["labelled_tiles"] == len(learnt_from) < 3
    assert "it lies in the test or validation block" in caplog.text


def test_what_cannot_be_learnt_from_is_refused(proposed, images):
    data = DomainPair(target=Folder(images / "images"), intensity="dtype", tile_size=32)
    with pytest.raises(InputError, match="nothing is drawn"):
        labelled_by_hand(data, proposed, 2)
    with pytest.raises(InputError, match=r"holds no list of tiles, tiles\.json"):
        labelled_by_hand(data, images, 2)
    draw(proposed, images)
    assert len(labelled_by_hand(data, proposed, 2)) == 3
    first, second, _ = json.loads((proposed / "tiles.json").read_text())
    other = DomainPair(target=Synthetic(size=48, images=6), intensity="dtype", tile_size=32)
    with pytest.raises(InputError, match="which synthetic does not have; give the target that it was proposed for"):
        labelled_by_hand(other, proposed, 2)
    imageio.v3.imwrite(proposed / "masks" / second["file"], np.full((32, 32), 7, np.uint8))
    with pytest.raises(InputError, match="mask value 7 is not a class"):
        labelled_by_hand(data, proposed, 2)
    imageio.v3.imwrite(proposed / "masks" / first["file"], np.zeros((30, 32), np.uint8))
    with pytest.raises(InputError, match="has 30 x 32 pixels, its tile 32 x 32"):
        labelled_by_hand(data, proposed, 2)


def test_drawings_are_learnt_from_at_any_size_of_tiles(proposed, images):
    draw(proposed, images)
    target = Folder(images / "images")
    whole = labelled_by_hand(DomainPair(target=target, intensity="dtype", tile_size=32), proposed, 2)
    small = labelled_by_hand(DomainPair(target=target, intensity="dtype", tile_size=16), proposed, 2)
    assert small.images.shape[2:] == (16, 16)
    assert len(small) > len(whole)
    large = labelled_by_hand(DomainPair(target=target, intensity="dtype", tile_size=48), proposed, 2)
    for tiles in (small, large):
        for label in (0, 1):
            assert (tiles.masks == label).sum() == (whole.masks == label).sum()  # each pixel once


def test_what_is_drawn_on_two_tiles_that_overlap_counts_once(proposed, images):
    path = proposed / "tiles.json"
    first = json.loads(path.read_text())[0] | {"top": 0, "left": 0}
    second = first | {"file": "other.png", "top": 8}
    path.write_text(json.dumps([first, second]))
    draw(proposed, images)
    data = DomainPair(target=Folder(images / "images"), intensity="dtype", tile_size=32)
    assert (labelled_by_hand(data, proposed, 2).masks != 255).sum() == (32 + 8) * 32


def test_a_mask_that_is_missing_is_refused(proposed, images):
    draw(proposed, images)
    missing = sorted((proposed / "masks").iterdir())[0]
    missing.unlink()
    with pytest.raises(InputError, match=f"{missing.name}: is missing; restore it, or copy that of predictions"):
        drawn_masks(proposed, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("file", "../../a.png"), ("file", "/a.png"), ("top", -5), ("left", 10_000), ("top", 1.5), ("size", [0, 32])],
)
def test_a_list_of_tiles_that_cannot_be_is_refused(proposed, name, value):
    path = proposed / "tiles.json"
    first, *others = json.loads(path.read_text())
    path.write_text(json.dumps([first | {name: value}, *others]))
    with pytest.raises(InputError, match=r"tiles.json: has a tile .*; restore the list that bnadapt propose wrote"):
        drawn_masks(proposed, 2)
    path.write_text("[" * 50_000)
    with pytest.raises(InputError, match="holds no list of tiles"):
        drawn_masks(proposed, 2)


def test_labels_lie_where_the_network_sees_them_at_another_pixel_size(proposed, images):
    draw(proposed, images)
    target = Folder(images / "images", pixel_size_nm=10)
    data = DomainPair(target=target, intensity="dtype", tile_size=16, pixel_size_nm=20)
    tiles = labelled_by_hand(data, proposed, 2)
    assert tiles.images.shape == (3, 1, 16, 16)
    inside, outside = (tiles.images[:, 0][tiles.masks == label].mean() for label in (1, 0))
    assert inside > outside + 0.15  # of 0.3 between the means of the two


def test_tiles_without_foreground_are_kept_and_said(images, caplog):
    for path in sorted((images / "masks").iterdir())[1:]:
        imageio.v3.imwrite(path, np.zeros((48, 48), np.uint8))
    target = Folder(images / "images", images / "masks")
    data = DomainPair(target=target, intensity="dtype", tile_size=48)
    assert len(labelled_of_train_block(data, 3)) == 3
    assert "2 of 3 labelled tiles show no foreground" in caplog.text


def test_a_first_tile_shows_something_to_learn(images):
    """Here one in twelve does, and a single tile is drawn."""
    for path in sorted((images / "masks").iterdir())[1:]:
        imageio.v3.imwrite(path, np.zeros((48, 48), np.uint8))
    target = Folder(images / "images", images / "masks", split=(1, 0, 0))
    for size in (16, 48):
        data = DomainPair(target=target, intensity="dtype", tile_size=size)
        one, all_tiles = (labelled_of_train_block(data, count) for count in (1, 99))
        assert one.classes == [0, 1]
        assert torch.equal(one.images[0], all_tiles.images[0])


def test_an_image_that_is_there_twice_is_learnt_from_once(images, caplog):
    for kind in ("images", "masks"):
        (images / kind / "5.png").write_bytes((images / kind / "0.png").read_bytes())
    data = DomainPair(
        target=Folder(images / "images", images / "masks", split=(1, 0, 0)), intensity="dtype", tile_size=48
    )
    assert len(labelled_of_train_block(data, 6)) == 5
    assert "1 of 6 labelled tiles show the same pixels as others; they are left out" in caplog.text


def test_tiles_of_one_class_are_refused_without_saying_that_they_are_used(images, caplog):
    for path in (images / "masks").iterdir():
        imageio.v3.imwrite(path, np.zeros((48, 48), np.uint8))
    data = DomainPair(target=Folder(images / "images", images / "masks"), intensity="dtype", tile_size=48)
    with pytest.raises(InputError, match="All labelled pixels are of class 0"):
        labelled_of_train_block(data, 2)
    assert "they are used" not in caplog.text


def test_the_announced_passes_count_start_and_scores():
    data = DomainPair(target=TARGET, tile_size=32)
    counts = {start: passes_of_finetune(data, 2, 3, start) for start in ("none", "adapted", "self-trained", "auto")}
    assert counts["none"] < counts["adapted"] < counts["auto"]
    assert counts["self-trained"] > counts["adapted"] + 120 * 4 * 4  # of each step's crops, by teacher and student
    alone, scored = (passes_of_finetune(data, count, 100, "none") for count in (2, 5))
    assert scored > 5 * alone  # of six trainings


def test_refusals(best, images, refused, tmp_path):
    unmasked = images / "images"
    asked = ["finetune", *TARGET_ALONE, "--ckpt_path", best, "--output", tmp_path / "a.ckpt"]
    assert "give either --labelled" in refused(*asked)
    assert "labelled 0; give at least 1" in refused(*asked, "--labelled=0")
    taken = "auto or one of self-trained, none, adapted, full-resolution-mixed, inverted, coarser"
    assert f"--start adaptd is unknown; take {taken}" in refused(*asked, "--labelled=1", "--start=adaptd")
    source = ["--data.source=Synthetic", "--data.source.size=48"]
    assert "learns from the target alone" in refused(*asked, *source, "--labelled=1")
    bare = [*without(asked, "--data.target"), "--data.target=Folder", f"--data.target.images={unmasked}"]
    assert "has no masks; give some, such as --data.target.masks" in refused(*bare, "--labelled=1")
    assert "there is no target" in refused(*without(asked, "--data.target"), "--labelled=1")
    adapt = ["adapt", *TARGET_ALONE, "--ckpt_path", best, "--output", tmp_path / "b.ckpt"]
    assert "self_training is -1" in refused(*adapt, "--self_training=-1")
    assert "held in memory" in refused(*adapt, "--self_training=9", "--data.adaptation_tiles=null")
    assert "tiles is 0" in refused("propose", *TARGET_ALONE, "--ckpt_path", best, "--tiles=0")


def test_candidates_are_scored_on_tiles_that_were_drawn_on(best, images, proposed, tmp_path, refused):
    draw(proposed, images)
    asked = ["recommend", *FOLDER, f"--data.target.images={images / 'images'}", "--ckpt_path", str(best)]
    main([*asked, f"--proposed={proposed}", "--output", str(tmp_path / "scored")])
    record = json.loads((tmp_path / "scored" / "recommendation.json").read_text())
    assert record["labelled_tiles"] == 3
    assert record["measured"][record["choice"]]["iou"] >= record["measured"]["full-resolution-mixed"]["iou"]
    assert "leave out one of them" in refused(*asked, "--annotated=2", f"--proposed={proposed}")


def test_labels_are_refused_before_candidates_are_tried(best, images, tmp_path, capsys):
    asked = ["recommend", *FOLDER, f"--data.target.images={images / 'images'}", "--ckpt_path", str(best)]
    asked += ["--annotated=2", "--output", str(tmp_path / "page")]
    with pytest.raises(InputError, match="masks"):
        main(asked)
    for mask in (images / "masks").iterdir():
        imageio.v3.imwrite(mask, np.zeros((48, 48), np.uint8))
    with pytest.raises(InputError, match="All labelled pixels are of class 0"):
        main([*asked, f"--data.target.masks={images / 'masks'}"])
    imageio.v3.imwrite(images / "masks" / "0.png", np.zeros((8, 48), np.uint8))
    with pytest.raises(InputError, match=r"0\.png"):
        main([*asked, f"--data.target.masks={images / 'masks'}"])
    assert "This takes" not in capsys.readouterr().out
    assert not (tmp_path / "page").exists()
