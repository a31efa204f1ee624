"""How far a training is, and how long it still takes."""

from itertools import count
from types import SimpleNamespace

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel

from bnadapt.callbacks import progress
from bnadapt.callbacks.progress import EvaluationTimeLeft, TimeLeft
from bnadapt.reports import time_left
from bnadapt.reports.time_left import LinesOnTimeLeft, duration, tracked


class Scored(BoringModel):
    """A model of which a score is known from the first epoch on."""

    def on_train_epoch_end(self):
        self.log("val/source/iou", 0.71)


@pytest.fixture
def lines(monkeypatch, capsys):
    """What is said in a training of some steps, each of which takes so many seconds, after some that were resumed."""

    def fit(steps, seconds, **options):
        clock = count(step=seconds)
        monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "barebones": False}
        trainer = Trainer(max_steps=steps, limit_train_batches=16, limit_val_batches=0, accelerator="cpu", **quiet)
        trainer.callbacks.append(TimeLeft())
        trainer.fit(Scored(), **options)
        said = capsys.readouterr().out.splitlines()
        return [line for line in said if line.startswith("Step ")], trainer

    return fit


def test_a_line_after_twenty_seconds_and_then_one_every_tenth(lines):
    said, _ = lines(steps=100, seconds=6)
    assert said[0] == "Step 4 of 100, about 9.6 min left."
    assert said[1:3] == [
        "Step 10 of 100, about 9 min left.",
        "Step 20 of 100, about 8 min left; IoU 0.71 on the source's validation block.",
    ]
    assert said[-1].startswith("Step 90 of 100, about 60 s left")
    assert len(said) == 10


def test_short_trainings_say_nothing_and_quick_ones_at_most_a_line_in_twenty_seconds(lines):
    assert lines(steps=16, seconds=1)[0] == []
    assert len(lines(steps=100, seconds=0.5)[0]) == 2


def test_long_ones_in_hours(lines):
    assert lines(steps=32, seconds=1000)[0][0] == "Step 1 of 32, about 8.6 h left."


def test_what_was_done_before_a_training_was_resumed_does_not_count_for_its_speed(lines, tmp_path):
    _, trainer = lines(steps=32, seconds=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    said, _ = lines(steps=64, seconds=10, ckpt_path=tmp_path / "half.ckpt", weights_only=False)
    assert said[0].startswith("Step 34 of 64, about 5 min left")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (10, ["Segmenting 30 images: about 4.8 min.", "Segmenting: 3 of 30 images, about 4.5 min left."]),
        (0.1, ["Segmenting 30 images: a few seconds."]),
    ],
)
def test_work_of_equal_steps_says_how_long_it_takes_and_how_long_is_left(monkeypatch, capsys, seconds, said):
    clock = count(step=seconds)
    monkeypatch.setattr(time_left, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    lines = LinesOnTimeLeft("Segmenting", "images", 30)
    for _ in range(30):
        lines.advance()
    assert capsys.readouterr().out.splitlines()[: len(said)] == said


def test_test_predict_and_validate_say_it_after_the_first_batch(capsys):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", callbacks=[EvaluationTimeLeft()], **quiet)
    trainer.test(BoringModel(), verbose=False)
    trainer.predict(BoringModel())
    trainer.validate(BoringModel(), verbose=False)
    told = [line for line in capsys.readouterr().out.splitlines() if "seconds" in line]
    assert told == [
        "Scoring 64 batches: a few seconds.",
        "Segmenting 64 images: a few seconds.",
        "Scoring 64 batches: a few seconds.",
    ]


def test_sections_that_are_read_say_it_in_logs(capsys):
    assert list(tracked(iter("abc"), "sections", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().out == "Reading 3 sections: a few seconds.\n"


def test_durations_are_rounded():
    assert [duration(seconds) for seconds in (1, 12.3, 400, 9000)] == [
        "a few seconds", "about 12 s", "about 6.7 min", "about 2.5 h",
    ]  # fmt: skip
