"""Several processes: scores of one, and the data of one in the same order."""

import json
import subprocess
import sys

import torch

from bnadapt.commands.cli import main
from bnadapt.data import DomainPair, Synthetic
from tests.conftest import DOMAINS, LOADING, SMALL
from tests.processes import TWO, run_in_two

WRITING = """
import atexit, json, sys
from torch import distributed
atexit.register(lambda: print("group is left:", distributed.is_initialized()))
from bnadapt.commands.cli import main
ran = main(sys.argv[2:])
if ran.trainer.is_global_zero:
    scores = {tag: float(value) for tag, value in ran.trainer.callback_metrics.items()}
    open(sys.argv[1], "w").write(json.dumps(scores))
"""


def test_two_processes_score_exactly_as_one(best, tmp_path):
    """The test blocks have an odd number of tiles, so that one process, which Lightning starts, has one more."""
    data = ["--data.source.images=5", "--data.target.images=5", "--data.target.split=[0, 0, 1]"]
    asked = ["test", *LOADING, *data, "--ckpt_path", str(best), "--trainer.logger=false"]
    alone = {tag: float(value) for tag, value in main(asked).trainer.callback_metrics.items()}
    (tmp_path / "write.py").write_text(WRITING)
    command = [sys.executable, "write.py", "scores.json", *asked, *TWO]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert "group is left: False" in done.stdout
    assert "group is left: True" not in done.stdout  # gloo aborts such processes now and then
    assert json.loads((tmp_path / "scores.json").read_text()) == alone
    assert alone["test/target/iou"] > 0


def test_two_processes_see_the_crops_of_one_in_the_same_order(monkeypatch):
    """A batch of both together holds what a batch of one process does that is as large."""

    def batches(batch_size):
        pair = DomainPair(
            Synthetic(size=48, images=6, object_size=12), crop_size=32, crops_per_epoch=24, batch_size=batch_size
        )
        torch.manual_seed(3)
        loader = pair.train_dataloader()
        seen = []
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            seen += [batch["image"] for batch in loader]
        return seen

    alone = batches(8)
    shares = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda own=rank: own)
        shares.append(batches(4))
    assert len(alone) == len(shares[0]) == len(shares[1]) == 6
    for whole, *parts in zip(alone, *shares, strict=True):
        together = torch.stack(parts, dim=1).flatten(0, 1)
        torch.testing.assert_close(together, whole, rtol=0, atol=0)


def test_two_processes_train_to_the_weights_of_one_up_to_the_statistics(tmp_path):
    """Without BatchNorm in between, gradients of two half batches average to those of the whole one."""
    options = [*SMALL, *DOMAINS, "--model.network=unet-instance-norm", "--model.loss=CrossEntropyLoss"]
    options += ["--model.loss.ignore_index=255", "--trainer.max_epochs=1", "--model.optimizer=SGD"]
    options += ["--model.optimizer.lr=0.01", "--trainer.logger.save_dir"]
    main(["fit", *options, str(tmp_path / "one"), "--data.batch_size=4"])
    run_in_two("fit", *options, tmp_path / "two", "--data.batch_size=2")
    one, two = (
        torch.load(next((tmp_path / name).rglob("last.ckpt")), weights_only=True)["state_dict"]
        for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-5
