"""How BatchNorm layers normalise while the statistics of later layers are estimated."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from torch import Tensor, nn

from bnadapt.batchnorm.class_moments import ProportionCorrection
from bnadapt.batchnorm.layers import batchnorm_layers
from bnadapt.batchnorm.moments import Moments, as_one_tile
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.watching import Bypasses, Forward, watched


class Propagation(ABC):
    """Collects the moments of the inputs of the BatchNorm layers that the policy chooses.

    The network must be `isolated`; its layers normalise by running statistics that change from batch to batch.

    Args:
        network: network with BatchNorm layers that keep running statistics.
        forward: runs it on a batch.
        policy: which layers adapt, and how; the others keep the source's statistics.
        correction: correction for class proportions.
        units: rearranges features so that their first axis counts the units of standard errors: by default batches,
            which costs a little less than tiles.

    Attributes:
        layers: the chosen layers by name, in order of definition.
        leaves_out: whether the network has others.
        bypasses: what the network normalises without calling layers.
    """

    growth: int
    """Factor by which the number of tiles must have grown before another `compute` is worth its cost."""

    def __init__(
        self,
        network: nn.Module,
        forward: Forward,
        policy: Policy,
        correction: ProportionCorrection | None = None,
        units: Callable[[Tensor], Tensor] = as_one_tile,
    ) -> None:
        layers = batchnorm_layers(network)
        self.network = network
        self.layers = {name: layers[name] for name in policy.chosen(list(layers))}
        self.leaves_out = len(self.layers) < len(layers)
        self.source = {name: _in_float64(layer) for name, layer in self.layers.items()}
        self.forward = forward
        self.policy = policy
        self.correction = correction
        self.units = units
        self.bypasses = Bypasses()

    @abstractmethod
    def update(self, images: Tensor) -> None:
        """Add a batch."""

    @abstractmethod
    def compute(self, processes: Processes) -> dict[str, Moments]:
        """Moments of all batches of all processes (a collective)."""

    def normalise_by(self, name: str, mean: Tensor, variance: Tensor, tiles: int) -> None:
        """Let a layer normalise by the target's statistics (C,) of `tiles` tiles, combined by the policy."""
        layer, source = self.layers[name], self.source[name]
        if self.correction is not None:
            mean, variance = self.correction.corrected(name, mean, variance)
        adapted = self.policy.combined(source, (mean, variance), tiles)
        for buffer, value in zip(("running_mean", "running_var"), adapted, strict=True):
            layer._buffers[buffer] = value.to(layer._buffers[buffer])

    def watched(self, on_input: Callable[[str, Tensor], None]) -> AbstractContextManager[Forward]:
        """The forward, with `on_input` called for every input that the chosen layers normalise."""
        return watched(self.forward, self.layers, on_input, self.bypasses)


def _in_float64(layer: nn.Module) -> tuple[Tensor, Tensor]:
    statistics = layer.running_mean, layer.running_var
    return tuple(each.cpu().double() if each.device.type == "mps" else each.double() for each in statistics)


def no_variance(layer: str) -> str:
    """Why a layer cannot be estimated from single values, and what to do."""
    return (
        f"The BatchNorm layer {layer} got one value per channel, which has no variance; give larger images or more of"
        " them in a batch, or take the propagation 'layer_consistent', which pools all batches."
    )
