"""`predict` of volumes: the same whatever the blocks, in however many runs and processes."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from dask.distributed import Client

from bnadapt.commands.cli import main
from bnadapt.data.readers import open_stack
from bnadapt.data.readers.sections import Sections
from bnadapt.data.writers import StackFile
from bnadapt.errors import InputError
from bnadapt.exchange.importing import ImportedNetwork, write_checkpoint
from bnadapt.networks import build_network
from bnadapt.tasks import SegmentationTask
from tests.conftest import write_images
from tests.processes import Command, forked_workers, in_two, run_in_two
from tests.volumes.conftest import stored

QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
DEPTH, SIDES = 6, (70, 90)


@pytest.fixture
def volume(tmp_path):
    """A Zarr volume of noise and steps."""
    generator = np.random.default_rng(0)
    steps = 80 * generator.integers(3, size=(DEPTH, 7, 9)).repeat(10, 1).repeat(10, 2)
    pixels = (steps + generator.integers(60, size=steps.shape)).astype(np.uint8)
    path = tmp_path / "volume.zarr"
    zarr.create_array(path, data=pixels, chunks=(1, 64, 64))
    return path


def command(best, volume, *options, output="out"):
    target = ["--data.target=Stack", f"--data.target.images={volume}"]
    return ["predict", "--ckpt_path", str(best), *target, *QUIET, "--output", str(output), *options]


def content(folder):
    """What is below a folder, hidden things apart, by path."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    visible = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in visible}


def written(folder, kind="probability"):
    return zarr.open_array(Path(folder) / f"volume_{kind}.zarr", mode="r")[:]


@pytest.mark.parametrize("size", [33, 1000])
def test_the_result_is_that_of_the_network_on_whole_sections(best, volume, size):
    main(command(best, volume, f"--data.block_size={size}", "--data.tile_size=32", "--trainer.limit_predict_batches=2"))
    task = SegmentationTask.load_from_checkpoint(best).eval()
    sections = zarr.open_array(volume, mode="r")[:2] / np.float32(255)
    with torch.no_grad():
        expected = task(torch.from_numpy(sections)[:, None]).softmax(1)[:, 1].numpy()
    assert np.abs(written("out") - 255 * expected).max() <= 0.51
    differing = (written("out", "mask") > 0) != (expected > 0.5)
    assert differing.mean() < 1e-4


def test_a_smaller_margin_is_nearly_that(best, volume):
    few = "--trainer.limit_predict_batches=3"
    main(command(best, volume, few))
    main(command(best, volume, few, "--data.block_size=16", "--data.margin=16", output="fast"))
    difference = np.abs(written("out").astype(float) - written("fast"))
    assert difference.max() > 2
    assert difference.mean() < 2


@pytest.mark.parametrize("batch_size", [4, 1000])
def test_no_more_tiles_than_asked_go_through_the_network_at_once(best, volume, monkeypatch, batch_size):
    logits, seen = SegmentationTask.logits, []
    monkeypatch.setattr(SegmentationTask, "logits", lambda self, batch: (seen.append(batch), logits(self, batch))[1])
    blocks = ["--data.block_size=32", "--data.margin=16", "--trainer.limit_predict_batches=1"]
    main(command(best, volume, *blocks, f"--data.batch_size={batch_size}"))
    counts = [len(batch["image"]) for batch in seen]
    tiles = 3 * 3  # of 32 x 32 pixels, in a section of 70 x 90
    assert max(counts) == min(batch_size, tiles)
    assert sum(counts) == tiles


class Cut(Exception):
    """What ends a run in the middle."""


def cut_off(monkeypatch, arguments, after):
    """Run a command that is cut off when so many sections are written."""
    write, count = StackFile.write, []

    def failing(self, *section):
        if len(count) == after:
            raise Cut
        count.append(section)
        write(self, *section)

    with monkeypatch.context() as patched:
        patched.setattr(StackFile, "write", failing)
        with pytest.raises(Cut):
            main(arguments)


@pytest.mark.parametrize("extension", [".ome.zarr", ".tif"])  # of which one takes sections in any order
def test_a_run_that_is_cut_off_goes_on_and_ends_the_same(best, volume, monkeypatch, tmp_path, extension):
    path = stored(tmp_path / f"input{extension}", zarr.open_array(volume, mode="r")[:])
    arguments = command(best, path)
    main([*arguments[:-1], "whole"])
    cut_off(monkeypatch, arguments, 4)
    assert content("out") == {}
    seen = []
    write = StackFile.write
    monkeypatch.setattr(StackFile, "write", lambda self, index, *rest: (seen.append(index), write(self, index, *rest)))
    main(arguments)
    assert seen == list(range(4, DEPTH))
    assert content("out") == content("whole") != {}
    assert not Path("out/.unfinished").exists()


OTHERS = {
    "--data.block_size=16": "blocks",
    "--data.intensity=percentile": "scaling",
    "--data.target_change.inverted_about=1": "change of the target",
    "--trainer.precision=bf16-mixed": "precision",
    "--trainer.limit_predict_batches=5": "pieces",
    "--probabilities=float32": "probabilities",
}


def test_another_run_does_not_go_on_with_it(best, volume, monkeypatch, refused):
    cut_off(monkeypatch, command(best, volume), 3)
    for option, words in OTHERS.items():
        sentence = refused(*command(best, volume, option))
        assert f"holds an unfinished run, with 3 of {DEPTH} pieces" in sentence
        assert f"differs in {words};" in sentence
    main(command(best, volume, "--data.intensity=percentile", "--overwrite"))
    assert content("out")
    assert not Path("out/.unfinished").exists()


def test_another_network_or_volume_does_not_go_on_with_it(best, trained, volume, monkeypatch, refused, tmp_path):
    cut_off(monkeypatch, command(best, volume), 3)
    assert "differs in network" in refused(*command(trained / "last.ckpt", volume))
    (tmp_path / "other").mkdir()
    other = volume.rename(tmp_path / "other" / volume.name)
    assert "differs in images" in refused(*command(best, other))


def test_a_run_that_fails_at_once_leaves_nothing(best, volume, monkeypatch):
    cut_off(monkeypatch, command(best, volume), 0)
    assert not Path("out").exists()


def test_results_that_were_not_all_moved_are_moved_by_the_next_run(best, volume, monkeypatch):
    main(command(best, volume, output="whole"))
    cut_off(monkeypatch, command(best, volume), DEPTH - 1)

    def killed(*arguments):
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr("bnadapt.volumes.unfinished.move_all", killed)
        with pytest.raises(Cut):
            main(command(best, volume))
    results = Path("out/.unfinished/results")
    (results / "volume_mask.zarr").rename("out/volume_mask.zarr")
    main(command(best, volume))
    assert content("out") == content("whole")


def test_an_output_in_the_input_is_refused(best, volume, refused):
    before = content(volume)
    for inside in (".", "inside/it"):
        assert "is read as an input; give another --output" in refused(*command(best, volume, output=volume / inside))
    assert content(volume) == before


def test_the_folder_of_the_images_is_no_output(best, refused, tmp_path):
    images = write_images(tmp_path / "images") / "images"
    target = ["--data.target=Folder", f"--data.target.images={images}"]
    sentence = refused("predict", "--ckpt_path", best, *target, *QUIET, "--output", images)
    assert "is read as an input" in sentence


def test_fewer_sections_give_a_shorter_stack(best, volume, capsys):
    main(command(best, volume, "--trainer.limit_predict_batches=2"))
    assert written("out").shape == (2, *SIDES)
    assert f"Segmented 2 of {DEPTH} images" in capsys.readouterr().out
    main(command(best, volume, "--trainer.limit_predict_batches=0.5", output="half"))
    assert written("half").shape == (DEPTH // 2, *SIDES)


def test_two_processes_write_what_one_does(best, volume):
    main(command(best, volume, output="one"))
    assert run_in_two(*command(best, volume)).count(f"Segmented {DEPTH} images") == 1
    assert content("out") == content("one")


def test_more_processes_than_sections_are_no_harm(best, volume, monkeypatch):
    main(command(best, volume, output="one"))
    cut_off(monkeypatch, command(best, volume), DEPTH - 1)
    run_in_two(*command(best, volume))
    assert content("out") == content("one")


def test_a_refusal_reaches_all_processes(best, volume, monkeypatch):
    cut_off(monkeypatch, command(best, volume), 3)
    for each in in_two(*command(best, volume, "--data.block_size=16")):
        assert each.status != 0
        assert "differs in blocks" in each.errors


def test_a_killed_run_goes_on(best, tmp_path):
    """By SIGKILL, which nothing can be done about."""
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).integers(255, size=(60, 64, 64), dtype=np.uint8))
    main(command(best, path, output="whole"))

    def lines():
        journals = Path("out/.unfinished").glob("finished-*")
        return [line for each in journals for line in each.read_text().split("\n") if line]

    assert Command(*command(best, path)).until(lines).send(signal.SIGKILL).wait() == -signal.SIGKILL
    assert content("out") == {}
    assert 0 < len(lines()) < 60
    main(command(best, path))
    assert content("out") == content("whole")


def test_a_network_that_sees_all_is_run_on_tiles_of_its_training(volume, caplog, tmp_path):
    known = {"base_channels": 4}
    weights = build_network("unet-instance-norm", 1, 2, known).state_dict()
    checkpoint = tmp_path / "c.ckpt"
    write_checkpoint(ImportedNetwork("unet-instance-norm", weights, known), checkpoint)
    main(command(checkpoint, volume, "--data.tile_size=32", "--data.overlap=8"))
    assert "the result depends on the tiles, of 32 pixels" in caplog.text
    main(command(checkpoint, volume, "--data.tile_size=64", output="other"))
    assert (written("out") != written("other")).any()
    assert open_stack("out/volume_mask.zarr").shape == (DEPTH, *SIDES)


def test_unwritable_lines_are_told(best, volume, refused, tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(*command(best, volume, output=tmp_path / "file" / "out"))
    with pytest.raises(InputError, match="limit_predict_batches 0 leaves nothing"):
        main(command(best, volume, "--trainer.limit_predict_batches=0"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell what a process has held")
def test_the_memory_that_is_told_is_not_exceeded(best, tmp_path):
    pixels = np.random.default_rng(0).integers(255, size=(1, 1500, 1500), dtype=np.uint8)
    np.save(tmp_path / "large.npy", pixels)
    script = "import sys; from bnadapt.commands.cli import main; main(sys.argv[1:])"
    code = f"{script}; print(open('/proc/self/status').read())"
    asked = [sys.executable, "-c", code, *command(best, tmp_path / "large.npy")]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    told = float(re.search(r"at most ([\d.]+) GB", done.stdout)[1]) * 1e9
    held = int(re.search(r"VmHWM:\s+(\d+)", done.stdout)[1]) * 1024
    assert 0.3 * told < held < told


@pytest.mark.parametrize(("depth", "sections"), [(1, 64), (64, 8)])
def test_adaptation_reads_fewer_sections_where_each_costs_as_much_as_many(best, tmp_path, monkeypatch, depth, sections):
    path = tmp_path / "deep.zarr"
    pixels = np.random.default_rng(0).integers(255, size=(128, 96, 96), dtype=np.uint8)
    zarr.create_array(path, data=pixels, chunks=(depth, 48, 48))
    read = []
    whole = Sections.__getitem__
    monkeypatch.setattr(Sections, "__getitem__", lambda self, index: (read.append(index), whole(self, index))[1])
    target = ["--data.target=Stack", f"--data.target.images={path}", "--data.tile_size=32", "--data.overlap=0"]
    main(["adapt", "--ckpt_path", str(best), *target, *QUIET, "--class_proportions=source", "--output=adapted.ckpt"])
    assert len(set(read)) == sections
    assert json.loads(Path("adapted.json").read_text())["tiles"] == 64


def test_jobs_share_the_work(best, volume, refused):
    main(command(best, volume, output="one"))
    main(command(best, volume, "--sections=[0, 1, 4]"))
    main(command(best, volume, "--sections=[4, 5]"))
    assert content("out") == {}
    assert "section 6 does not exist; --sections are numbers from 0 to 5" in refused(
        *command(best, volume, "--sections=[6]")
    )
    main(command(best, volume))
    assert content("out") == content("one")


def lose_once(dask_worker):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_of_a_scheduler_do_the_work_and_one_may_be_lost(best, tmp_path, monkeypatch):
    path = tmp_path / "many.npy"
    np.save(path, np.random.default_rng(0).integers(255, size=(60, 64, 64), dtype=np.uint8))
    main(command(best, path, output="one"))
    with forked_workers(2) as cluster, Client(cluster) as client:
        lost = next(iter(client.scheduler_info()["workers"]))
        thread = threading.Timer(0.3, lambda: client.run(lose_once, workers=[lost], wait=False))
        thread.start()
        here = []
        write = StackFile.write
        monkeypatch.setattr(StackFile, "write", lambda self, *section: (here.append(section), write(self, *section)))
        main(command(best, path, f"--scheduler={cluster.scheduler_address}"))
    assert not here  # the workers have written all of it
    assert content("out") == content("one")


def test_probabilities_are_stored_as_asked(best, volume):
    main(command(best, volume, output="usual"))
    assert written("usual").dtype == "uint8"
    for kind, one in (("uint16", 65535), ("float16", 1)):
        main(command(best, volume, "--probabilities", kind, output=kind))
        assert written(kind).dtype == kind
        np.testing.assert_allclose(written(kind) / one, written("usual") / 255, atol=1 / 255)


def test_ome_zarr_tells_what_it_comes_from(best, volume, tmp_path):
    path = stored(tmp_path / "input.ome.zarr", zarr.open_array(volume, mode="r")[:])
    main(command(best, path))
    told = zarr.open_group("out/input_mask.ome.zarr", mode="r").attrs["bnadapt"]
    assert told["network"] == hashlib.sha256(best.read_bytes()).hexdigest()
    assert told["blocks"] == "Blocks(size=1024, margin=94, stride=16)"


def test_a_scheduler_that_is_not_there_is_refused(best, volume, refused):
    assert "no dask scheduler answers there" in refused(*command(best, volume, "--scheduler=tcp://127.0.0.1:9"))
    assert not Path("out").exists()


def test_a_volume_with_nothing_to_see_leaves_nothing_to_go_on_with(best, refused, tmp_path):
    np.save(tmp_path / "blank.npy", np.zeros((3, 64, 64), np.uint8))
    assert "all pixels equal" in refused(*command(best, tmp_path / "blank.npy"))
    assert not Path("out").exists()
