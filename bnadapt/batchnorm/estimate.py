"""Re-estimate BatchNorm statistics on images of a new domain."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.bank import Bank
from bnadapt.batchnorm.layers import BatchNormError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments


class StatisticsError(BatchNormError):
    """Images from which no statistics can be estimated."""


class StatisticsRecorder:
    """While it is entered, every forward pass of the network adds to the moments of its BatchNorm inputs.

    BatchNorm layers normalise by the batch at hand meanwhile (one pass, as in AdaBN), so that later
    layers see features of the new domain; their running statistics are not touched. No other layer
    changes its mode, so dropout stays as it was. Leaving it, also by an exception, puts modes
    and hooks back.

    Args:
        network: any module with BatchNorm layers that keep running statistics.

    Attributes:
        moments: pooled moments by layer name, exact whatever the batch sizes.

    Raises:
        NoBatchNormError: there are none.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = batchnorm_layers(network)
        self.moments: dict[str, Moments] = {}
        self._modes: dict[str, tuple[bool, bool]] = {}
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "StatisticsRecorder":
        for name, layer in self.layers.items():
            self._modes[name] = (layer.training, layer.track_running_stats)
            self._hooks.append(layer.register_forward_pre_hook(self._recorder(name)))
            layer.training, layer.track_running_stats = True, False
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        for name, layer in self.layers.items():
            layer.training, layer.track_running_stats = self._modes[name]

    @property
    def bank(self) -> Bank:
        """The bank of what was recorded.

        Raises:
            StatisticsError: nothing was recorded for a layer, or its features are not finite.
        """
        for name in self.layers:
            if name not in self.moments:
                raise StatisticsError(f"The BatchNorm layer {name} saw no image; pass at least one batch.")
            if not torch.isfinite(self.moments[name].variance).all():
                raise StatisticsError(
                    f"The input of the BatchNorm layer {name} is NaN or infinite; look at the images."
                )
        return Bank.from_moments(self.moments)

    def _recorder(self, name: str) -> Callable[..., None]:
        def record(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen = Moments.of(inputs[0].detach())
            if seen.count == 1:
                raise StatisticsError(
                    f"The BatchNorm layer {name} got one value per channel, which has no variance; give larger images"
                    " or more of them in a batch."
                )
            before = self.moments.get(name)
            self.moments[name] = before.merged(seen) if before else seen

        return record


def adapt(network: nn.Module, images: Iterable[Tensor], source_weight: float = 0.0) -> Bank:
    """Re-estimate the BatchNorm statistics of a network on images, and apply them.

    Only running means and variances change; all else, training flags included, is as before.

    Args:
        network: any module with BatchNorm layers that keep running statistics, on the images' device.
        images: batches (N, C, ...) of the new domain.
        source_weight: how much of the present statistics stays, 0 (none: AdaBN) to 1; see
            `Bank.blended`.

    Returns:
        The bank that the network now holds.

    Raises:
        NoBatchNormError: the network has no such layers.
        StatisticsError: there were no images, a layer sees a single value per channel, or features are not
            finite; the statistics are then the old ones.
    """
    source = Bank.of(network)
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with StatisticsRecorder(network) as recorder, torch.no_grad():
            for batch in images:
                network(batch)
    finally:
        for module, mode in training.items():
            module.training = mode
    bank = recorder.bank.blended(source, source_weight)
    bank.apply(network)
    return bank
