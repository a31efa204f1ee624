"""The default precision of commands."""

import copy
from dataclasses import dataclass

import torch
from torch import nn

from bnadapt.networks import memory_format, with_background
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.volumes.execution import HALF, SINGLE, computes_in_bfloat16, processor_time

LESS = 0.9  # of the time, from which bfloat16 is taken


@dataclass(frozen=True)
class Precision:
    """A precision, and why it was chosen."""

    name: str  # for `--trainer.precision`
    reason: str


def device_kind(accelerator: object) -> str | None:
    """`cuda` or `cpu`, whichever Lightning takes for `--trainer.accelerator`; None for others."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    is_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    return "cpu" if is_cpu else None


def estimating_precision(device: str) -> str:
    """The precision for estimating statistics on `cuda` or `cpu`: bfloat16 where the device computes in it.

    It takes half of the time, and statistics of bfloat16 give the same IoU (`benchmarks/precision.py`).
    """
    return HALF if computes_in_bfloat16(torch.device(device)) else SINGLE


def fastest_precision(network: nn.Module, shape: tuple[int, int, int, int], classes: int, device: str) -> Precision:
    """The precision for training a network.

    bfloat16 on a GPU that computes in it. On a CPU the processor time of training steps decides, which other programs
    disturb less than wall-clock time.

    Args:
        network: network to train, left unchanged.
        shape: shape (N, C, H, W) of a batch of images.
        classes: number of classes.
        device: `cuda` or `cpu`.
    """
    if device == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(HALF, "the GPU computes in it")
        return Precision(SINGLE, "the GPU does not compute in bfloat16")
    try:
        single, half = (_seconds(network, shape, classes, is_half) for is_half in (False, True))
    except Exception:  # any error of a user's network: the training itself will report it
        return Precision(SINGLE, "no training step could be measured")
    name = HALF if half < LESS * single else SINGLE
    return Precision(name, f"in {HALF} a training step takes {half / single:.2f} of its time in {SINGLE}, measured now")


def _seconds(network: nn.Module, shape: tuple[int, int, int, int], classes: int, is_half: bool) -> float:
    """Processor time of a training step."""
    trained = copy.deepcopy(network).train()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        images = torch.randn(shape).contiguous(memory_format=memory_format(trained))
        masks, loss = torch.randint(classes, (shape[0], *shape[2:])), DiceCrossEntropy()

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
                value = loss(with_background(trained(images), classes), masks)
            value.backward()

        return processor_time(step)
