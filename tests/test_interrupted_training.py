"""Ctrl-C in a training: what it leaves, and what it says."""

import os
import shlex
import signal
import subprocess
import sys
import time

import torch

from tests.conftest import DOMAINS, SMALL, without

LONG = [*without(SMALL, "--trainer.max_epochs"), *DOMAINS, "--trainer.max_epochs=2000"]


def interrupted(tmp_path, until):
    """Exit status and output of a training that gets Ctrl-C when there is a file of a pattern."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bnadapt", "fit", *LONG],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    end = time.monotonic() + 120
    while not list(tmp_path.rglob(until)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    return process.returncode, said


def test_ctrl_c_leaves_summarised_checkpoints_and_says_how_to_go_on(tmp_path):
    status, said = interrupted(tmp_path, "last.ckpt")
    assert status == 1
    folder = tmp_path / "lightning_logs/default/version_0/checkpoints"
    for name in ("best", "last"):
        assert "source_summary" in torch.load(folder / f"{name}.ckpt", weights_only=True)
    lines = said.replace(f"{tmp_path}/", "").splitlines()[-4:]
    assert [line.partition(" ")[0] for line in lines] == ["Best:", "Last:", "Resume:", "Next:"]
    resume = shlex.split(lines[2])
    assert resume[1:5] == ["bnadapt", "fit", "--ckpt_path", "lightning_logs/default/version_0/checkpoints/last.ckpt"]
    assert lines[3].startswith("Next: bnadapt adapt --ckpt_path lightning_logs/default/version_0/checkpoints/best.ckpt")
