"""The BatchNorm statistics of a network as an object."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.class_moments import ProportionCorrection
from bnadapt.batchnorm.layers import BatchNormError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments, mixed
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.stored_statistics import DAMAGE, damage, means_and_variances, read_tensors, write_tensors

SHOWN = 4  # layers that `repr` shows
PARTS = ("mean", "variance", "count")


class BankMismatchError(BatchNormError):
    """A bank that belongs to another network."""


@dataclass(frozen=True)
class LayerShift:
    """Difference between the statistics of a layer in two banks, root mean square over channels.

    Attributes:
        mean: |m - m_ref| / sqrt(v_ref + eps).
        log_variance: |log((v + eps) / (v_ref + eps))|.
    """

    mean: float
    log_variance: float


@dataclass(frozen=True, eq=False, repr=False)
class Bank:
    """Running mean and variance of every BatchNorm layer.

    Attributes:
        mean: (C,) float64 by layer name.
        variance: (C,) float64 by layer name.
        count: values per channel behind a layer's statistics, by layer name; 0 if unknown.
        provenance: origin of a layer's statistics in words, by layer name.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(2))
        >>> source = Bank.of(network)
        >>> target = Bank({"0": torch.ones(2)}, {"0": torch.ones(2)}, {"0": 100})
        >>> with target.applied(network):
        ...     network[0].running_mean.tolist()
        [1.0, 1.0]
        >>> network[0].running_mean.tolist()
        [0.0, 0.0]
        >>> target.compared(source, eps=0)["0"].mean
        1.0
    """

    mean: Mapping[str, Tensor]
    variance: Mapping[str, Tensor]
    count: Mapping[str, int]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Number of layers, and a line each for the first ones and the last."""
        names = list(self.mean)
        shown = names if len(names) <= SHOWN else [*names[: SHOWN - 1], None, names[-1]]
        return "\n".join(
            [
                f"Bank of {len(names)} layers, {sum(map(len, self.mean.values()))} channels",
                *(f"  ... {len(names) - SHOWN} more" if name is None else f"  {self._line(name)}" for name in shown),
            ]
        )

    @classmethod
    def of(cls, network: nn.Module) -> "Bank":
        """Copy the running statistics of a network."""
        layers = batchnorm_layers(network)
        return cls(
            {name: _copied(layer.running_mean) for name, layer in layers.items()},
            {name: _copied(layer.running_var) for name, layer in layers.items()},
            dict.fromkeys(layers, 0),
            dict.fromkeys(layers, "source"),
        )

    def adapted(
        self,
        target: Mapping[str, Moments],
        policy: Policy,
        tiles: int,
        propagation: str,
        correction: ProportionCorrection | None = None,
    ) -> "Bank":
        """This source bank, adapted to a target.

        Args:
            target: moments by layer name, possibly of some layers only.
            policy: which layers adapt, and how much of the source stays.
            tiles: number of target tiles behind the moments.
            propagation: name of the rule, for the provenance.
            correction: correction of the target's statistics for its class proportions.
        """
        bank = Bank(dict(self.mean), dict(self.variance), dict(self.count), dict(self.provenance))
        for name in policy.chosen(list(self.mean)):
            if name not in target:
                continue
            moments = target[name]
            statistics = moments.mean.cpu(), moments.variance.cpu()
            if correction is not None:
                statistics = correction.corrected(name, *statistics)
            source = self.mean[name], self.variance[name]
            bank.mean[name], bank.variance[name] = policy.combined(source, statistics, tiles)
            bank.count[name] = moments.count
            bank.provenance[name] = (
                f"{policy.statistics} of {tiles} tiles, {propagation}, source weight {policy.weight(tiles):.3g}"
                f"{f', {correction}' if correction else ''}"
            )
        return bank

    def between(self, other: "Bank", share: float) -> "Bank":
        """Statistics on the line from this bank (share 0) to another (share 1)."""
        mean, variance = (
            {name: value + share * (end[name] - value) for name, value in start.items()}
            for start, end in ((self.mean, other.mean), (self.variance, other.variance))
        )
        provenance = dict.fromkeys(mean, f"{1 - share:.3g} of one bank, {share:.3g} of another")
        return Bank(mean, variance, dict.fromkeys(mean, 0), provenance)

    def apply(self, network: nn.Module) -> None:
        """Write the statistics into a network; nothing else changes, and nothing at all after an error.

        Raises:
            BankMismatchError: a layer is missing on either side or has another width.
            BatchNormError: a value is not a valid statistic, or does not fit into the layer's type.
        """
        layers = batchnorm_layers(network)
        if differing := self._differing({name: layer.num_features for name, layer in layers.items()}):
            raise BankMismatchError(
                f"The bank does not fit the network: {'; '.join(differing)}. Take one that was made with it."
            )
        self._check_values(layers)
        before = _statistics(network)
        try:
            for name, layer in layers.items():
                _write(layer, self.mean[name], self.variance[name])
        except BaseException:
            _restore(network, before)
            raise

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Apply this bank for the duration of a context; the network's own statistics are restored bit for bit."""
        before = _statistics(network)
        try:
            self.apply(network)
            yield
        finally:
            _restore(network, before)

    def compared(self, reference: "Bank", eps: float = 1e-5) -> dict[str, LayerShift]:
        """Difference from another bank of the same network, layer by layer.

        Args:
            reference: the bank that provides the unit, its standard deviations, such as the source's.
            eps: added to variances, so that channels without signal do not count.

        Raises:
            BankMismatchError: it belongs to another network.
        """
        self.require_fit(reference)
        shifts = {}
        for name, mean in self.mean.items():
            variances = self.variance[name] + eps, reference.variance[name] + eps
            shift = (mean - reference.mean[name]) / variances[1].sqrt()
            shifts[name] = LayerShift(rms(shift), rms((variances[0] / variances[1]).log()))
        return shifts

    def blended(self, source: "Bank", source_weight: float) -> "Bank":
        """Mixture of a source bank, with weight `source_weight` from 0 to 1, and this one, by the formula of `Policy`.

        Raises:
            BatchNormError: the weight is out of range.
            BankMismatchError: the banks belong to different networks.
        """
        if not 0 <= source_weight <= 1:
            raise BatchNormError(f"source_weight is {source_weight}; give a value between 0 and 1.")
        self.require_fit(source)
        both = {
            name: mixed(source.mean[name], source.variance[name], self.mean[name], self.variance[name], source_weight)
            for name in self.mean
        }
        return Bank(
            {name: mean for name, (mean, _) in both.items()},
            {name: variance for name, (_, variance) in both.items()},
            dict(self.count),
            {
                name: f"{source_weight:.3g} x ({source.provenance.get(name, 'unknown')})"
                f" + {1 - source_weight:.3g} x ({self.provenance.get(name, 'unknown')})"
                for name in self.mean
            },
        )

    def save(self, path: str | Path) -> None:
        """Write the bank as safetensors; an existing file is replaced once all is written.

        Raises:
            OSError: the file cannot be written.
        """
        state = self.state_dict()
        tensors = {f"{name}/{part}": torch.as_tensor(each) for part in PARTS for name, each in state[part].items()}
        write_tensors(path, tensors, {"provenance": {name: self.provenance.get(name, "unknown") for name in self.mean}})

    @classmethod
    def load(cls, path: str | Path) -> "Bank":
        """Read a file written by `save`.

        Raises:
            BatchNormError: the file is missing, damaged or not a bank, or holds invalid statistics.
        """
        from safetensors import SafetensorError

        try:
            tensors, metadata = read_tensors(path)
            names = dict(metadata["provenance"])  # in the network's order; safetensors sorts its keys
            state = {part: {name: tensors[f"{name}/{part}"] for name in names} for part in PARTS}
        except (OSError, SafetensorError, *DAMAGE) as error:
            raise BatchNormError(f"{path}: cannot be read as a bank ({error}); check the path.") from error
        try:
            return cls.from_state_dict(state | {"provenance": names})
        except BatchNormError as error:
            raise BatchNormError(f"{path}: {error}") from error

    def state_dict(self) -> dict[str, dict]:
        """Plain dictionaries of tensors, integers and strings, for a checkpoint."""
        return {
            "mean": dict(self.mean),
            "variance": dict(self.variance),
            "count": dict(self.count),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "Bank":
        """Restore a bank from `state_dict`.

        Raises:
            BatchNormError: a part is missing, or a value is not a valid statistic.
        """
        try:
            mean, variance = means_and_variances(state, axes=1)
            count = {name: int(state["count"][name]) for name in mean}
            provenance = {str(name): str(each) for name, each in state["provenance"].items()}
        except DAMAGE as error:
            raise BatchNormError(
                f"The bank of BatchNorm statistics is damaged: {damage(error)}; take another copy, or adapt the"
                " network again."
            ) from error
        return cls(mean, variance, count, provenance)

    def require_fit(self, other: "Bank") -> None:
        """Refuse a bank of another network by a `BankMismatchError` that names the layers that differ."""
        if differing := self._differing({name: len(mean) for name, mean in other.mean.items()}):
            raise BankMismatchError(
                f"The banks are of different networks: {'; '.join(differing)}. Take two of the same one."
            )

    def _line(self, name: str) -> str:
        mean, deviation = rms(self.mean[name]), self.variance[name].mean().sqrt().item()
        return (
            f"{name}: {len(self.mean[name])} channels, |mean| {mean:.3g}, std {deviation:.3g},"
            f" {self.provenance.get(name, 'unknown')}"
        )

    def _check_values(self, layers: Mapping[str, nn.Module]) -> None:
        for name, layer in layers.items():
            limit = torch.finfo(layer.running_var.dtype).max
            for kind, values, lowest in (("mean", self.mean[name], -limit), ("variance", self.variance[name], 0.0)):
                if not ((values >= lowest) & (values <= limit)).all():
                    raise BatchNormError(
                        f"The bank's {kind} of the layer {name} has values that are not a {kind} or do not fit into"
                        f" {layer.running_var.dtype}; estimate it again, or keep the layer in float32."
                    )

    def _differing(self, channels: Mapping[str, int]) -> list[str]:
        """Differences from layers of these numbers of channels, as clauses."""
        missing = [f"{name} is not in the bank" for name in channels if name not in self.mean]
        surplus = [f"{name} is only in the bank" for name in self.mean if name not in channels]
        shapes = [
            f"{name} has {count} channels, in the bank {len(self.mean[name])}"
            for name, count in channels.items()
            if name in self.mean and len(self.mean[name]) != count
        ]
        return missing + surplus + shapes


def _copied(statistics: Tensor) -> Tensor:
    return statistics.detach().to("cpu", torch.float64, copy=True)


def _statistics(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    layers = batchnorm_layers(network)
    return {name: (layer.running_mean.clone(), layer.running_var.clone()) for name, layer in layers.items()}


def _restore(network: nn.Module, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    for name, layer in batchnorm_layers(network).items():
        _write(layer, *statistics[name])


def _write(layer: nn.Module, mean: Tensor, variance: Tensor) -> None:
    """Set running statistics, also of a layer created in torch's inference mode."""
    for buffer, value in ((layer.running_mean, mean), (layer.running_var, variance)):
        with torch.inference_mode(buffer.is_inference()), torch.no_grad():
            buffer.copy_(value)


def rms(values: Tensor) -> float:
    """Root mean square."""
    return values.square().mean().sqrt().item()
