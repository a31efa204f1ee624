"""Forward passes that run side by side and wait for each other at given layers."""

import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from bnadapt.batchnorm.attributes import Attributes


class _Cancelled(BaseException):
    """Stops a forward pass early; not an Exception, so that the network's own handlers let it through."""


class ForwardPass(threading.Thread):
    """A forward pass in a thread. Only one runs at a time, each with its own attributes.

    Args:
        forward: function to run; it calls `halt` in this thread.
        network: the network that it runs.
        device_type: device type of the tensors, for autocast.

    Attributes:
        layer: name of the layer that the pass waits at; None before the start and after the end.
        value: what it brought there.
    """

    def __init__(self, forward: Callable[[], Any], network: nn.Module, device_type: str) -> None:
        super().__init__(daemon=True, name="bnadapt forward pass")
        self.layer: str | None = None
        self.value: Any = None
        self._forward = forward
        self._attributes = Attributes(network)
        self._surroundings = _surroundings(device_type)
        self._context = contextvars.copy_context()
        self._go = threading.Semaphore(0)
        self._halted = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._cancelled = False

    def run(self) -> None:
        """The thread's body."""
        self._go.acquire()
        try:
            if not self._cancelled:
                with self._surroundings():
                    self._context.run(self._forward)
        except _Cancelled:
            pass
        except BaseException as error:  # goes on in `advance`
            self._error = error
        finally:
            self.layer = self.value = self._forward = None
            self._halted.release()

    def advance(self) -> None:
        """Run on to the next layer or the end; re-raises exceptions of the forward pass."""
        self._attributes.put_back()
        self._go.release()
        self._halted.acquire()
        self._attributes = self._attributes.now()
        if self._error is not None:
            raise self._error

    def halt(self, layer: str, value: Any) -> None:
        """Wait at a layer until `advance` is called; called from the forward pass."""
        if self._cancelled:  # the network has caught the first one
            raise _Cancelled
        self.layer, self.value = layer, value
        self._halted.release()
        self._go.acquire()
        if self._cancelled:
            raise _Cancelled

    def cancel(self) -> None:
        """End the pass where it waits."""
        self._cancelled = True
        self._go.release()


@contextmanager
def side_by_side(
    forwards: Sequence[Callable[[], Any]], network: nn.Module, device_type: str
) -> Iterator[list[ForwardPass]]:
    """Run each forward pass to its first layer or its end; on leaving, cancel those that still wait."""
    passes = [ForwardPass(forward, network, device_type) for forward in forwards]
    try:
        for each in passes:
            each.start()
        for each in passes:
            each.advance()
        yield passes
    finally:
        for each in passes:
            each.cancel()
        for each in passes:
            if each.ident is not None:
                each.join()


def _surroundings(device_type: str) -> Callable[[], ExitStack]:
    """The state that torch keeps per thread: gradient mode, autocast and the CUDA device, as in this thread."""
    inference = torch.is_inference_mode_enabled()
    autocast = torch.is_autocast_enabled(device_type)
    dtype = torch.get_autocast_dtype(device_type)
    device = torch.cuda.current_device() if device_type == "cuda" else None

    def entered() -> ExitStack:
        stack = ExitStack()
        stack.enter_context(torch.inference_mode() if inference else torch.no_grad())
        stack.enter_context(torch.autocast(device_type, dtype=dtype, enabled=autocast))
        if device is not None:
            stack.enter_context(torch.cuda.device(device))
        return stack

    return entered
