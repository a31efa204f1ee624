"""Ctrl-C in a training: what it leaves, and what it says."""

import shlex
import signal

import torch

from tests.conftest import DOMAINS, SMALL, without
from tests.processes import Command

LONG = [*without(SMALL, "--trainer.max_epochs"), *DOMAINS, "--trainer.max_epochs=2000"]


def test_ctrl_c_leaves_summarised_checkpoints_and_says_how_to_go_on(tmp_path):
    training = Command("fit", *LONG).until(lambda: list(tmp_path.rglob("last.ckpt"))).send(signal.SIGINT)
    assert training.wait() == 1
    assert "Traceback" not in training.errors
    folder = tmp_path / "lightning_logs/default/version_0/checkpoints"
    for name in ("best", "last"):
        assert "source_summary" in torch.load(folder / f"{name}.ckpt", weights_only=True)
    lines = training.output.replace(f"{tmp_path}/", "").splitlines()[-4:]
    assert [line.partition(" ")[0] for line in lines] == ["Best:", "Last:", "Resume:", "Next:"]
    resume = shlex.split(lines[2])
    assert resume[1:5] == ["bnadapt", "fit", "--ckpt_path", "lightning_logs/default/version_0/checkpoints/last.ckpt"]
    assert lines[3].startswith("Next: bnadapt adapt --ckpt_path lightning_logs/default/version_0/checkpoints/best.ckpt")
