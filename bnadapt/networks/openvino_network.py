"""Run a network with OpenVINO, an extra installed by `pip install 'bnadapt[fast]'`."""

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

TELEMETRY = "openvino_telemetry"  # sends a message to Intel whenever OpenVINO is imported


def is_installed() -> bool:
    """Whether OpenVINO can be imported."""
    return find_spec("openvino") is not None


@torch.inference_mode(False)
@torch.no_grad()
def compiled(network: nn.Module, images: Tensor, in_bfloat16: bool) -> Callable[[Tensor], Tensor]:
    """A network as a function of images (N, C, H, W) on the CPU, with as many threads as torch.

    Args:
        network: in eval mode, on the CPU; its forward pass is traced.
        images: (N, C, H, W) to trace it on.
        in_bfloat16: whether to compute in bfloat16 instead of float32.
    """
    openvino = _imported()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about Python values in the forward pass, and about torch.jit being deprecated
        model = openvino.convert_model(network, example_input=images.contiguous().clone())
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if in_bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(request.infer([images.contiguous().numpy()], share_inputs=True)[0])

    return run


def _imported() -> Any:
    """The module of OpenVINO, imported without its telemetry."""
    telemetry = sys.modules.get(TELEMETRY)
    sys.modules[TELEMETRY] = None
    try:
        import openvino
    finally:
        if telemetry is None:
            del sys.modules[TELEMETRY]
        else:
            sys.modules[TELEMETRY] = telemetry
    return openvino
