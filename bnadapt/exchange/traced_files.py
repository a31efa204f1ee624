"""TorchScript and ONNX files that map a file's pixels to class probabilities, for images of any size."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bnadapt.errors import InputError
from bnadapt.exchange.exported import Export

ODD = 50, 70  # height and width of the image for tracing, which networks must pad
TOLERANCE = 1e-3  # largest difference of a probability


def write_torchscript(export: Export, path: Path) -> None:
    """A TorchScript file."""
    module = traced(export.pixel_probabilities, export.sample.shape[1])
    module.save(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but still in use
        loaded = torch.jit.load(str(path))
    check(lambda pixels: loaded(torch.from_numpy(pixels)).detach().numpy(), export)


def traced(module: nn.Module, channels: int) -> torch.jit.ScriptModule:
    """A module in eval mode as TorchScript; refuses one that cannot be traced."""
    if module.training:
        raise ValueError("the module is in train mode")
    with _refusing("TorchScript"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python's values in the forward pass: `check` finds those that matter
        return torch.jit.trace(module, torch.rand(1, channels, *ODD))


def write_onnx(export: Export, path: Path) -> None:
    """An ONNX file, with its weights inside.

    Raises:
        InputError: libraries for it are missing, or it cannot be written.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise InputError(f"export: ONNX needs {', '.join(missing)}; pip install 'bnadapt[share]'.")
    import onnxruntime

    module, channels = export.pixel_probabilities, export.sample.shape[1]
    with _refusing("ONNX"):
        torch.onnx.export(
            module,
            (torch.rand(2, channels, *ODD),),
            str(path),
            input_names=["pixels"],
            output_names=["probabilities"],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    check(lambda pixels: session.run(None, {"pixels": pixels})[0], export)


def check(run: Callable[[np.ndarray], np.ndarray], export: Export) -> None:
    """Refuse a model if its probabilities differ from the network's, on an image of the target or a part of it."""
    whole = export.sample
    for pixels in (whole, whole[..., : -(whole.shape[2] // 4), : -(whole.shape[3] // 3)]):
        pixels = np.ascontiguousarray(pixels)
        difference = np.abs(run(pixels) - export.expected(pixels)).max()
        if not difference < TOLERANCE:
            raise InputError(
                f"export: the exported network differs from its original by {difference:.2g} on an image of"
                f" {pixels.shape[2]} x {pixels.shape[3]} pixels: its forward pass depends on more than the image's"
                " values, such as on Python's `if`; take the format state_dict."
            )


@contextmanager
def _refusing(format_name: str) -> Iterator[None]:
    """Turn torch's failures to write a format into an `InputError`."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"export: the network cannot be written as {format_name} ({reason}); take another format."
        ) from error
