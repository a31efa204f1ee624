"""Running an experiment: only what is missing, interruptions, several machines, failures, refusals."""

import os
import re
import signal

import dask
import pytest
import yaml
from rich.progress import Task, TaskID

from bnadapt.commands.study import main, study_class
from bnadapt.errors import InputError
from bnadapt.experiments import tables
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.plan import plan
from bnadapt.experiments.scheduling import Folders, TimeLeftColumn
from bnadapt.experiments.tables import Tables
from tests.processes import FORKED, Command, forked_workers

SMALL = {
    "sources": [[0.7, 0.3]],
    "levels": [0.1, 0.4, 0.7],
    "images": 4,
    "size": 64,
    "seeds": [1],
    "training": {"network_args": {"base_channels": 4}, "crop_size": 32, "steps": 10},
    "evaluation": {"tile_size": 64, "tiles": None, "latent_tiles": 0},
}
HERE = ["--workers", "0"]


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Trained networks, which the studies of this file share."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def small(tmp_path, networks):
    """Arguments of a small grid; options change it."""

    def arguments(**changed):
        config = tmp_path / "small.yaml"
        config.write_text(yaml.safe_dump({"study": {**SMALL, **changed}}))
        folders = ["--output", str(tmp_path / "out"), "--networks", str(networks)]
        return ["two-mean-grid", "--config", str(config), *folders]

    return arguments


def records(folder):
    """Records by name, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "records").glob("*.json")}


def test_only_what_is_new_or_broken_is_measured(small, tmp_path, capfd, caplog):
    main([*small(), *HERE])
    first = records(tmp_path / "out")
    assert len(first) == 9
    lost, broken, *_ = sorted(first)
    (tmp_path / "out" / "records" / lost).unlink()
    (tmp_path / "out" / "records" / broken).write_text("{")
    capfd.readouterr()
    main([*small(levels=[0.1, 0.4, 0.7, 0.9]), *HERE])
    assert "16 cases, 7 measured already" in capfd.readouterr().out
    assert f"{broken}: is not a record" in caplog.text
    second = records(tmp_path / "out")
    assert len(second) == 16
    changed = {name for name, written in first.items() if second[name] != written}
    assert changed == {lost, broken}
    assert len(Tables.read(tmp_path / "out").table) == 16


def test_a_killed_study_goes_on_where_it_stopped(small, tmp_path):
    levels = [round(0.1 * step, 1) for step in range(1, 6)]
    command = Command("study", *small(levels=levels), *HERE)
    command.until(lambda: len(records(tmp_path / "out")) > 2).send(signal.SIGKILL).wait()
    first = records(tmp_path / "out")
    assert len(first) < len(levels) ** 2
    main([*small(levels=levels), *HERE])
    second = records(tmp_path / "out")
    assert len(second) == len(levels) ** 2
    assert all(second[name] == written for name, written in first.items())


def test_an_interrupted_study_says_so_and_leaves_the_last_report_as_it_was(small, tmp_path):
    main([*small(), *HERE])
    before = (tmp_path / "out" / "study.yaml").read_text()
    levels = [round(0.05 * step, 2) for step in range(1, 13)]
    with dask.config.set(FORKED):
        study = Command("study", *small(levels=levels), "--workers", "1")
    study.until(lambda: len(records(tmp_path / "out")) > 10).send(signal.SIGINT)  # as a terminal, also to the workers
    assert study.wait() == 130, study.errors
    assert "interrupted; the same command goes on where it stopped" in study.errors
    assert "Traceback" not in study.errors
    assert (tmp_path / "out" / "study.yaml").read_text() == before


def test_workers_of_a_scheduler_elsewhere_do_it_and_one_may_be_killed(small, tmp_path):
    levels = [round(0.1 * step, 1) for step in range(1, 8)]
    with forked_workers(2) as cluster:
        study = Command("study", *small(levels=levels), "--scheduler", cluster.scheduler_address)
        study.until(lambda: len(records(tmp_path / "out")) > 4)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        assert study.wait() == 0, study.errors
    assert len(Tables.read(tmp_path / "out").table) == len(levels) ** 2


def test_a_case_that_fails_is_reported_and_the_others_are_kept(tmp_path, networks):
    sources = {
        "good": {"domain": {"class": "Synthetic", "size": 64, "images": 6}},
        "bad": {"domain": {"class": "Synthetic", "size": 16, "images": 6}},
    }
    for source in sources.values():
        source |= {"training": SMALL["training"], "evaluation": SMALL["evaluation"]}
    config = tmp_path / "shifts.yaml"
    config.write_text(yaml.safe_dump({"study": {"sources": sources, "shifts": ["blur"], "seeds": [1]}}))
    folders = ["--output", str(tmp_path / "out"), "--networks", str(networks)]
    with pytest.raises(InputError, match="the first one because: .*are smaller than a crop of 32"):
        main(["image-shifts", "--config", str(config), *folders, *HERE])
    assert len(records(tmp_path / "out")) == 6


def test_refusals(tmp_path, small):
    with pytest.raises(InputError, match=r"study.yaml: is not a config of a study"):
        main(["report", str(tmp_path)])
    (tmp_path / "study.yaml").write_text("name: two-mean-grid\ncommand: x\nstudy: {}\n")
    with pytest.raises(InputError, match=r"table.parquet: does not exist"):
        main(["report", str(tmp_path)])
    for broken, reason in (("\xa0", "codec"), ("[1]", "indices"), ("study: {}", "no 'name'"), ("a: [", "parsing")):
        (tmp_path / "study.yaml").write_text(broken, encoding="latin-1")
        with pytest.raises(InputError, match=f"study.yaml: is not a config of a study .*{reason}"):
            main(["report", str(tmp_path)])
    (tmp_path / "study.yaml").write_text("name: two-mean-grid\ncommand: x\nstudy: {levls: [0.1]}\n")
    with pytest.raises(InputError, match=r"study.yaml: is not a config of a study \(.*levls"):
        main(["report", str(tmp_path)])
    (tmp_path / "file").touch()
    for option in ("--output", "--networks"):
        with pytest.raises(InputError, match=r"file: is a file; give a folder to write into"):
            main([*small(), option, str(tmp_path / "file")])
    for name in ("levels", "seeds", "sources"):
        with pytest.raises(InputError, match=f"study.{name} is empty; give at least one"):
            main(small(**{name: []}))
    with pytest.raises(
        InputError, match=r"study.variations: unknown property foregruond; take one of shapes, foreground"
    ):
        main(small(variations={"foregruond": [0.1]}))
    with pytest.raises(InputError, match="no dask scheduler answers there"):
        main([*small(), "--scheduler", "tcp://127.0.0.1:9"])
    with pytest.raises(InputError, match="unknown study 'pears'; did you mean pairs"):
        main(["pears"])
    with pytest.raises(InputError, match="unknown option --study.level; did you mean --study.levels"):
        main(["two-mean-grid", "--study.level", "[0.1]"])
    with pytest.raises(InputError, match="unknown shift 'nosuch'"):
        study_class("image-shifts")(sources={}, shifts=["nosuch"])


def test_the_table_is_documented():
    for column in ("iou_source", "iou_unadapted", "iou_adapted", "gain", "foreground", "tiles", "seconds", "record"):
        assert f"`{column}`" in tables.__doc__


def test_a_study_without_a_config_tells_what_it_would_do_and_does_nothing(refused, tmp_path):
    training = ["--study.training.network_args.base_channels=4", "--study.training.crop_size=32"]
    sentence = refused("study", "two-mean-grid", "--study.seeds=[1]", *training)
    assert "--yes" in sentence
    assert "configs/studies/quick/two-mean-grid.yaml" in sentence
    assert list(tmp_path.iterdir()) == []


def test_a_plan_counts_what_is_missing_and_measures_a_step(tmp_path):
    domain = {"class": "Synthetic", "images": 4, "size": 64}
    short = Training(network_args={"base_channels": 4}, crop_size=32, batch_size=2, steps=7200)
    networks = [SourceNetwork(short, domain, seed) for seed in (1, 2)]
    pairs = [(networks[0], 1), (networks[1], 1), (networks[0], 2)]
    cases = [AdaptationCase(network, {**domain, "seed": seed}, Evaluation(), {}) for network, seed in pairs]
    folders = Folders(tmp_path / "study", tmp_path / "networks")
    said = plan(cases, folders)
    assert said.startswith("3 cases (0 measured already), 2 networks (0 trained")
    hours, step = re.search(r"about ([\d.]+) hours .* \(([\d.]+) s a step", said).groups()
    assert float(hours) == pytest.approx(4 * float(step), abs=0.07)
    for network in networks:
        network.path(tmp_path / "networks").parent.mkdir(exist_ok=True)
        network.path(tmp_path / "networks").touch()
    assert plan(cases, folders).endswith("(2 trained already).")


def test_progress_tells_the_time_left_from_the_first_piece_of_work_on():
    task = Task(TaskID(0), "networks to train", total=3, completed=0, _get_time=lambda: 900.0)
    task.start_time = 0.0
    assert TimeLeftColumn().render(task).plain == ""
    task.completed = 1
    assert TimeLeftColumn().render(task).plain == "0:30:00 left"
