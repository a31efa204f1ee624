"""The fastest way to run a network that changes only ties, chosen on the first blocks of a segmentation."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from bnadapt.errors import InputError
from bnadapt.networks import openvino_network, with_background
from bnadapt.networks.folding import folded

SINGLE, HALF = "32-true", "bf16-mixed"
TORCH, OPENVINO = "PyTorch", "OpenVINO"
SIDES = 384, 144  # pixels of the two pieces of blocks on which executions are compared
SHARE = 1e-4  # share of the pixels that may change their class
TIE = 0.04  # difference of the two largest probabilities; with two classes .02 from one half
ROUNDING = 1e-4  # largest change of a probability by folding
ENOUGH = 16  # pixels to segment per compared pixel, from which on comparing pays
LONG = 60  # seconds of a segmentation from which on translating to OpenVINO pays
LESS = 0.9  # share of PyTorch's time below which OpenVINO is used
TIMED = 2  # runs, after a first one

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Execution:
    """How a network is run, and why."""

    library: str  # PyTorch or OpenVINO
    precision: str  # as Lightning names it
    folded: int  # BatchNorm layers folded into convolutions
    reason: str

    def __str__(self) -> str:
        plural = "" if self.folded == 1 else "s"
        layers = f", {self.folded} BatchNorm layer{plural} folded into convolutions" if self.folded else ""
        return f"{self.library} in {self.precision}{layers}; {self.reason}"


class Executions:
    """Ways to run a network, compared on blocks of its images.

    Args:
        network: network in eval mode, left unchanged.
        classes: number of classes.
        blocks: images (N, C, H, W) of a section, N > 0.
        stride: stride of the network; sides of blocks are multiples of it.
        pixels: pixels of the whole segmentation; if there are few, comparing would take longer than it saves.
    """

    def __init__(self, network: nn.Module, classes: int, blocks: Tensor, stride: int, pixels: int) -> None:
        self.network = network
        self.classes = classes
        self.device = blocks.device
        self.pixels = pixels
        self.pieces = [_piece(blocks[0], SIDES[0], stride, False), _piece(blocks[-1], SIDES[1], stride, True)]
        self._checked = sum(piece[0, 0].numel() for piece in self.pieces)
        self._are_few = pixels < ENOUGH * self._checked or self._checked < 3 / SHARE

    def fastest(self) -> Execution:
        """The fastest execution that changes the class of hardly any pixel, ties apart."""
        if self._are_few:
            return self._by_torch(SINGLE, "too few pixels to compare other precisions")
        try:
            return self._compared()
        except Exception:  # any error of a user's network: segmentation itself will report it
            return self._by_torch(SINGLE, "no other precision could be compared")

    def in_precision(self, precision: str) -> Execution:
        """The execution in a precision set by the Trainer."""
        return self._by_torch(precision, "set by --trainer.precision")

    def run(self, execution: Execution) -> Run:
        """The network as a function of images (N, C, H, W); refuses OpenVINO if it is not installed."""
        network, _ = self._folded if execution.folded else (self.network, 0)
        if execution.library == OPENVINO:
            if not openvino_network.is_installed():
                raise InputError(
                    "predict: was started with OpenVINO; pip install 'bnadapt[fast]', or give --overwrite."
                )
            return openvino_network.compiled(network, self.pieces[0], execution.precision == HALF)

        def run(images: Tensor) -> Tensor:
            if execution.precision != HALF:
                return network(images)
            with torch.autocast(images.device.type, torch.bfloat16):
                return network(images)

        return run

    def _compared(self) -> Execution:
        if not computes_in_bfloat16(self.device):
            return self._or_openvino(self._by_torch(SINGLE, "the machine has no instructions for bfloat16"))
        half = self._by_torch(HALF, "")
        changed = self._changed(self.run(half))
        precision = HALF if changed < SHARE * self._checked else SINGLE
        return self._or_openvino(self._by_torch(precision, f"bfloat16 changes {self._change(changed)}"))

    def _or_openvino(self, execution: Execution) -> Execution:
        """OpenVINO if it is faster in the same precision and as exact; otherwise the given execution."""
        if self.device.type != "cpu" or not openvino_network.is_installed():
            return execution
        seconds = self._seconds(self.run(execution))
        if seconds * self.pixels / self.pieces[0][0, 0].numel() < LONG:
            return execution
        try:
            run = self.run(replace(execution, library=OPENVINO))
            share, changed = self._seconds(run) / seconds, self._changed(run)
        except Exception:  # any error on a network that it cannot translate
            return replace(execution, reason=f"{execution.reason}; OpenVINO does not run this network")
        comparison = f"OpenVINO takes {share:.2f} of the time of PyTorch and changes {self._change(changed)}"
        if share < LESS and changed < SHARE * self._checked:
            return replace(execution, library=OPENVINO, reason=comparison)
        return replace(execution, reason=f"{execution.reason}; {comparison}")

    def _by_torch(self, precision: str, reason: str) -> Execution:
        _, layers = self._folded
        return Execution(TORCH, precision, layers, reason)

    @cached_property
    def _folded(self) -> tuple[nn.Module, int]:
        """The network with folded layers, and their number; the network itself if folding changes the result."""
        piece = self.pieces[1]
        if self._are_few:
            return self.network, 0
        try:
            network, layers = folded(self.network, piece)
            difference = (self._probabilities(network, piece) - self._probabilities(self.network, piece)).abs().max()
        except Exception:  # as in `fastest`
            return self.network, 0
        return (network, layers) if difference < ROUNDING else (self.network, 0)

    def _changed(self, run: Run) -> int:
        """Number of compared pixels, without ties, with another class."""
        probabilities = (self._probabilities(run, piece) for piece in self.pieces)
        return sum(map(_differing, self._reference, probabilities))

    @cached_property
    def _reference(self) -> list[Tensor]:
        """Probabilities of the pieces in float32."""
        return [self._probabilities(self._folded[0], piece) for piece in self.pieces]

    @torch.no_grad()
    def _probabilities(self, run: Run, images: Tensor) -> Tensor:
        return with_background(run(images), self.classes).float().softmax(1)

    @torch.no_grad()
    def _seconds(self, run: Run) -> float:
        """Processor time for a piece."""
        return processor_time(lambda: run(self.pieces[0]))

    def _change(self, changed: int) -> str:
        return f"the class of {changed} of {self._checked} compared pixels, ties apart"


def processor_time(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some repetitions after a first one; other programs disturb them less than a clock."""
    seconds = []
    for _ in range(1 + TIMED):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return max(min(seconds[1:]), 1e-9)


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a processor or GPU has instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has_instructions = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cpu" and has_instructions


def _piece(block: Tensor, side: int, stride: int, is_odd: bool) -> Tensor:
    """The middle (1, C, h, w) of a block, with sides that are multiples (odd ones on request) of the stride."""
    rows, columns = (_middle(length, side, stride, is_odd) for length in block.shape[-2:])
    with torch.inference_mode(False):
        return block[None, :, rows, columns].clone(memory_format=torch.preserve_format)


def _middle(length: int, side: int, stride: int, is_odd: bool) -> slice:
    multiple = max(1, min(length, side) // stride)
    size = stride * (multiple - (is_odd and multiple % 2 == 0))
    first = (length - size) // 2 // stride * stride
    return slice(first, first + size)


def _differing(reference: Tensor, compared: Tensor) -> int:
    """Number of pixels of probabilities (1, K, h, w) with another class, where one is clearly the most probable."""
    first, second = reference.topk(2, dim=1).values.unbind(1)
    is_other = (reference.argmax(1) != compared.argmax(1)) | ~compared.isfinite().all(1)
    return int((is_other & (first - second > TIE)).sum())
