"""A command line is split into its options before their values are read."""

from bnadapt.commands.command_line import options_in
from bnadapt.commands.next_command import resume_command


def test_values_by_name_however_they_are_joined():
    words = ["weights.pth", "--data.target=Folder", "--sections", "1", "2", "--trainer.callbacks+=mine.Own", "--yes"]
    assert options_in(words) == {
        "data.target": ["Folder"], "sections": ["1", "2"], "trainer.callbacks": ["mine.Own"], "yes": [],
    }  # fmt: skip


def test_nothing_in_words_without_options():
    assert options_in(["weights.pth"]) == options_in([]) == {}


def test_negative_numbers_are_values():
    assert options_in(["--trainer.max_steps", "-1", "-c", "run.yaml"]) == {
        "trainer.max_steps": ["-1"],
        "c": ["run.yaml"],
    }
    line = resume_command(["fit", "--trainer.max_steps", "-1", "--ckpt_path", "a.ckpt"], "last.ckpt")
    assert line == "bnadapt fit --ckpt_path last.ckpt --trainer.max_steps -1"
