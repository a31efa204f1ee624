"""`preview` shows regions of a target under every candidate, and the commands that it names do what it showed."""

import re
import shlex

import imageio.v3
import numpy as np
import pytest
import torch

from bnadapt.actions.preview import candidate_networks
from bnadapt.adaptation import Recipe
from bnadapt.commands.cli import main
from bnadapt.commands.trainer import AdaptationTrainer
from bnadapt.data import DomainPair, Folder, Synthetic
from bnadapt.gain import PREVIEWED
from bnadapt.reports.preview_page import Commands, write_preview
from bnadapt.tasks import SegmentationTask
from tests.conftest import TARGET_ALONE, without, write_images

KNOWN_OF_SOURCE = ("class_moments", "source_summary")
SILENT = ["--trainer.logger=false"]
WITHOUT_SOURCE = ["none", "adapted", "mixed", "mixed-less", "full-resolution", "full-resolution-mixed", "coarser"]


@pytest.fixture
def preview(tmp_path, monkeypatch):
    """Preview the target of TARGET_ALONE; gives what was seen, and the page."""
    seen = []

    def write_page(result, *more):
        seen.append(result)
        write_preview(result, *more)

    monkeypatch.setattr("bnadapt.commands.cli.write_preview", write_page)

    def preview(checkpoint, *more):
        output = tmp_path / "page"
        main(["preview", *TARGET_ALONE, "--ckpt_path", str(checkpoint), "--output", str(output), *more])
        return seen[-1], (output / "README.md").read_text()

    return preview


@pytest.fixture
def bare(best, tmp_path):
    """The checkpoint without anything of its source."""
    checkpoint = torch.load(best, weights_only=True)
    torch.save({name: each for name, each in checkpoint.items() if name not in KNOWN_OF_SOURCE}, tmp_path / "bare.ckpt")
    return tmp_path / "bare.ckpt"


def commands(page):
    """The command lines of a page, as arguments."""
    return [shlex.split(line)[1:] for line in re.findall(r"^    (bnadapt .*)$", page, re.MULTILINE)]


def test_a_page_shows_regions_under_every_candidate(best, preview, tmp_path, capsys):
    seen, page = preview(best, "--regions=2")
    assert list(seen.probabilities) == list(PREVIEWED)
    assert not seen.left_out
    for number in (1, 2):
        assert imageio.v3.imread(tmp_path / "page" / f"region-{number}.png").std() > 10
        assert f"probability-{number}.png" in page
    place, share = seen.places[0], float(seen.foreground["inverted"][0])
    assert f"{place.section}, rows {place.rows[0]} to {place.rows[-1]}" in page
    assert f"{share:.1%}" in page
    printed = " ".join(capsys.readouterr().out.split())
    assert "On 2 regions of synthetic" in printed
    assert "Next: bnadapt recommend" in printed
    assert not list((tmp_path / "lightning_logs").rglob("version_*"))


def test_regions_lie_where_the_page_says():
    target = Synthetic(size=48, images=6, object_size=12, seed=9)
    data = DomainPair(target=target, intensity="dtype", tile_size=32)
    images = {section.name: section.read_image() for section in target.labelled()}
    for tile, place in data.unlabelled_tiles("target", 6, seed=3).with_places():
        there = images[place.section][place.rows.start : place.rows.stop, place.columns.start : place.columns.stop]
        np.testing.assert_allclose(tile["image"][0], there, atol=1e-6)


def test_places_are_in_pixels_of_the_file(tmp_path):
    target = Folder(write_images(tmp_path / "mine", size=96) / "images", pixel_size_nm=5)
    data = DomainPair(target=target, intensity="dtype", tile_size=24, overlap=0, pixel_size_nm=10)
    places = [place for _, place in data.unlabelled_tiles("target", None).with_places()]
    assert {(each.rows.start, each.rows.stop) for each in places} == {(0, 48), (48, 96)}
    assert {each.section for each in places} == {f"{index:02d}.png" for index in range(6)}


def test_a_seed_draws_the_same_regions(best, preview):
    first, again, other = (
        preview(best, "--candidates=[none]", "--overwrite", "--regions=2", f"--seed={seed}")[0] for seed in (1, 1, 2)
    )
    assert first.places == again.places != other.places
    assert torch.equal(first.probabilities["none"], again.probabilities["none"])


def test_the_commands_of_the_page_give_what_it_shows(best, preview, tmp_path):
    seen, page = preview(best, "--candidates=[inverted, corrected]", "--data.adaptation_tiles=12")
    check_commands(seen, commands(page))


def test_so_they_do_where_nothing_is_known_of_the_source(bare, preview):
    seen, page = preview(bare, "--candidates=[adapted, mixed]", "--data.adaptation_tiles=12")
    assert "--choose" not in page
    check_commands(seen, commands(page))


def test_a_page_names_the_commands_of_self_training(best, preview):
    _, page = preview(best, "--candidates=[none]", "--regions=1")
    adapt, predict = commands(page)[1:3]
    learnt = str(best.with_name("best-self-trained.ckpt"))
    assert adapt[-6:] == ["--policy.source_weight", "0", "--self_training", "120", "--output", learnt]
    assert predict[:3] == ["predict", "--ckpt_path", learnt]


def check_commands(seen, lines):
    """Run what stands on a page of each candidate, and compare with what the preview has seen."""
    lines = lines[: 2 * len(seen.probabilities)]
    assert [line[0] for line in lines] == ["adapt", "predict"] * len(seen.probabilities)
    for (name, probabilities), line in zip(seen.probabilities.items(), lines[::2], strict=True):
        main(
            [
                *line,
                *without(TARGET_ALONE, "--data.target", "--data.tile", "--data.overlap", "--data.intensity"),
                *SILENT,
            ]
        )
        adapted = line[line.index("--output") + 1]
        task = SegmentationTask.load_from_checkpoint(adapted).eval()
        level = task.adaptation["target_change"]["inverted_about"]
        images = seen.images if level is None else level - seen.images
        with torch.no_grad():
            torch.testing.assert_close(task(images).softmax(1), probabilities, msg=name)


def test_candidates_are_left_out_that_need_what_is_not_known(bare, preview, capsys):
    seen, page = preview(bare, "--regions=1")
    assert list(seen.probabilities) == WITHOUT_SOURCE
    assert "inverted would need the mean intensity of the source" in page
    assert f"bnadapt source_summary --ckpt_path {bare}" in page
    assert "bnadapt recommend" not in page + capsys.readouterr().out


def test_moments_alone_are_enough_to_correct(best, preview, tmp_path):
    checkpoint = torch.load(best, weights_only=True)
    del checkpoint["source_summary"]
    torch.save(checkpoint, tmp_path / "moments.ckpt")
    seen, page = preview(
        tmp_path / "moments.ckpt", "--regions=1", "--data.adaptation_tiles=12", "--candidates=[none, corrected]"
    )
    assert list(seen.probabilities) == ["none", "corrected"]
    assert "'--class_proportions=[0." in page


def test_more_than_two_classes(tmp_path):
    trainer = AdaptationTrainer(logger=False, enable_progress_bar=False, enable_checkpointing=False, accelerator="cpu")
    task = SegmentationTask(num_classes=3, network_args={"base_channels": 4})
    data = DomainPair(target=Synthetic(size=48, images=6, object_size=12), intensity="dtype", tile_size=32)
    seen = trainer.preview(task, data, output=str(tmp_path / "page"), regions=2)
    assert list(seen.probabilities) == WITHOUT_SOURCE
    assert seen.probabilities["none"].shape == (2, 3, 32, 32)
    assert not seen.can_be_judged
    write_preview(seen, Commands({name: [] for name in seen.options}, [], None, ""), tmp_path / "page")
    assert "class 1 magenta, 2 blue." in (tmp_path / "page" / "README.md").read_text()
    assert 0 <= float(seen.disagreement.min()) <= float(seen.disagreement.max()) <= 2 / 3


def test_pictures_of_more_regions_do_not_stay(best, preview, tmp_path):
    preview(best, "--regions=2", "--candidates=[none, adapted]")
    preview(best, "--regions=1", "--candidates=[none, adapted]", "--overwrite")
    names = {path.name for path in (tmp_path / "page").iterdir()}
    assert names == {"index.html", "README.md", "region-1.png", "probability-1.png"}


def test_what_cannot_be_previewed_is_refused(best, bare, refused, tmp_path):
    asked = ["preview", *TARGET_ALONE, "--ckpt_path", best, "--output", tmp_path / "page"]
    assert "the candidate 'inverteed' is unknown; did you mean inverted" in refused(*asked, "--candidates=[inverteed]")
    assert "--candidates is empty" in refused(*asked, "--candidates=[]")
    assert "set --regions to at least 1" in refused(*asked, "--regions=0")
    assert "there is no target; give --data.target" in refused(*without(asked, "--data.target"))
    assert "smaller than a tile of 64; set --data.tile_size to 48" in refused(*asked, "--data.tile_size=64")
    assert "leave it out" in refused(*asked, "--data.target_change.zoom=2")
    assert "--data.adaptation_tiles to a number" in refused(*asked, "--data.adaptation_tiles=null")
    asked[asked.index(best)] = bare
    assert "corrected needs class moments of the source" in refused(*asked, "--candidates=[corrected]")
    assert not (tmp_path / "page").exists()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").touch()
    assert "exists already" in refused(*asked)


def test_any_share_of_the_source_lies_between_candidates(best):
    trainer = AdaptationTrainer(logger=False, enable_progress_bar=False, enable_checkpointing=False, accelerator="cpu")
    task = SegmentationTask.load_from_checkpoint(best).eval()
    task.trainer = trainer
    target = Synthetic(size=48, images=6, object_size=12, mean=(0.4, 0.1), seed=9)
    data = DomainPair(target=target, intensity="dtype", tile_size=32)
    names = ["none", "adapted", "mixed", "full-resolution"]
    networks = candidate_networks(task, data, Recipe(), names)
    images = torch.stack([tile["image"] for tile in data.unlabelled_tiles("target", 2)])
    seen = networks.preview(images, [])
    for weight, name in {0.0: "adapted", 0.5: "mixed", 1.0: "none"}.items():
        torch.testing.assert_close(networks.weighted(weight, images), seen.probabilities[name], msg=name)
    between = networks.weighted(0.25, images)
    assert not torch.equal(between, seen.probabilities["adapted"])
    apart = [(between - seen.probabilities[name]).abs().mean() for name in ("adapted", "mixed", "none")]
    assert max(apart[:2]) < (seen.probabilities["adapted"] - seen.probabilities["none"]).abs().mean()
