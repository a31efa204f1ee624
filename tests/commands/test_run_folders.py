"""What a run leaves in lightning_logs, and what it says at its end."""

import re
import shlex
import threading
from pathlib import Path

import pytest
import yaml

from bnadapt.commands.cli import main
from bnadapt.commands.resuming import kept_options
from bnadapt.commands.training_length import STEPS, STOPPING
from bnadapt.errors import InputError
from tests.conftest import DOMAINS, LOADING, SMALL, TARGET_ALONE, without


def versions(tmp_path):
    return sorted(each.name for each in (tmp_path / "lightning_logs").rglob("version_*"))


def test_commands_that_log_nothing_leave_no_folder(best, tmp_path):
    main(["predict", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(tmp_path / "out")])
    main(["recommend", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(tmp_path / "verdict")])
    assert versions(tmp_path) == []


def test_commands_that_log_keep_their_options(best, tmp_path):
    main(["adapt", *TARGET_ALONE, "--ckpt_path", str(best), "--output", str(tmp_path / "a.ckpt")])
    main(["test", *LOADING, "--ckpt_path", str(best)])
    assert versions(tmp_path) == ["version_0", "version_1"]
    for folder in (tmp_path / "lightning_logs" / "default").iterdir():
        assert list(folder.glob("events*"))
        assert "ckpt_path" in (folder / "config.yaml").read_text()


def test_a_training_that_is_refused_leaves_no_folder(tmp_path):
    with pytest.raises(InputError):
        main(["fit", *without(SMALL, "--data.crop_size"), *DOMAINS, "--data.crop_size=480"])
    with pytest.raises(InputError):
        main(["fit", *SMALL, *DOMAINS, "--model.num_classes=3"])
    assert versions(tmp_path) == []


def test_a_training_that_is_refused_ends_its_logs_before_their_folder_goes(best, tmp_path, monkeypatch):
    failed = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: failed.append(failure.exc_value))
    longer = ["--data.crops_per_epoch=120", "--trainer.max_epochs=9", "--ckpt_path", str(best)]
    with pytest.raises(InputError, match="one-cycle schedule ends"):
        main(["fit", *without(SMALL, "--model", "--data.crops_per_epoch", "--trainer.max_epochs"), *DOMAINS, *longer])
    assert failed == []
    assert versions(tmp_path) == []


def test_trainings_of_one_moment_take_folders_of_their_own(tmp_path):
    cli = main(["fit", *SMALL, *DOMAINS, "--trainer.max_epochs=1"])
    assert (tmp_path / "lightning_logs/default/version_0/config.yaml").exists()
    again = main(["fit", *SMALL, *DOMAINS, "--trainer.max_epochs=1"])
    assert cli.trainer.log_dir != again.trainer.log_dir


def test_a_training_ends_with_its_score_and_the_command_to_type_next(tmp_path, capsys):
    cli = main(["fit", *SMALL, *DOMAINS])
    said = capsys.readouterr().out
    path = "lightning_logs/default/version_0/checkpoints/best.ckpt"
    score = re.search(rf"Best: {path}, IoU (\d\.\d+)", said.replace(f"{tmp_path}/", ""))
    best = next(each for each in cli.trainer.checkpoint_callbacks if each.filename == "best")
    assert float(score[1]) == pytest.approx(float(best.best_model_score), abs=5e-4)
    assert cli.trainer.early_stopping_callback is None  # it has a length
    line = said.splitlines()[-1]
    assert line.startswith("Next: bnadapt adapt --ckpt_path ")
    main([*shlex.split(line)[2:], "--output", str(tmp_path / "next.ckpt")])
    assert (tmp_path / "next.ckpt").exists()


def test_a_training_without_a_length_says_which_it_takes(tmp_path, capsys):
    with pytest.raises(InputError):
        main(["fit", *without(SMALL, "--trainer.max_epochs"), *DOMAINS, "--model.num_classes=3"])
    assert f"No length is given: {STEPS} steps" in capsys.readouterr().out


def test_a_training_without_a_length_stops_where_the_validation_score_no_longer_rises(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(STOPPING["init_args"], "patience", 1)
    still = ["--model.optimizer=SGD", "--model.optimizer.lr=1e-12", "--trainer.limit_val_batches=1"]
    options = [*without(SMALL, "--trainer.max_epochs"), *DOMAINS, *still]
    cli = main(["fit", *options, "--trainer.callbacks+=LearningRateMonitor"])
    assert cli.trainer.global_step < STEPS / 10
    assert f"Stopped early after {cli.trainer.global_step} steps" in capsys.readouterr().out
    path = Path(cli.trainer.log_dir) / "config.yaml"
    kept = yaml.safe_load(path.read_text())["trainer"]
    names = [each["class_path"].rpartition(".")[2] for each in kept["callbacks"]]
    assert names == ["LearningRateMonitor", "EarlyStopping"]
    assert kept["max_steps"] == STEPS
    (again,) = kept_options(path, ["fit"])["trainer"]["callbacks+"]
    assert again["init_args"]["patience"] == 1
