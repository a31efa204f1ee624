"""The BatchNorm statistics of a network as an object of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bnadapt.batchnorm.layers import BatchNormError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments, mixed


class BankMismatchError(BatchNormError):
    """A bank of another network."""


@dataclass(frozen=True)
class Bank:
    """Running mean and variance of every BatchNorm layer.

    Attributes:
        mean: (C,) float64 by layer name.
        variance: (C,) float64 by layer name.
        count: values per channel that a layer's statistics rest on, by layer name; 0 if unknown.
    """

    mean: Mapping[str, Tensor]
    variance: Mapping[str, Tensor]
    count: Mapping[str, int]

    @classmethod
    def of(cls, network: nn.Module) -> "Bank":
        """Copy the running statistics that a network holds."""
        layers = batchnorm_layers(network)
        return cls(
            {name: _copied(layer.running_mean) for name, layer in layers.items()},
            {name: _copied(layer.running_var) for name, layer in layers.items()},
            dict.fromkeys(layers, 0),
        )

    @classmethod
    def from_moments(cls, moments: Mapping[str, Moments]) -> "Bank":
        """A bank of measured moments by layer name."""
        return cls(
            {name: each.mean.cpu() for name, each in moments.items()},
            {name: each.variance.cpu() for name, each in moments.items()},
            {name: each.count for name, each in moments.items()},
        )

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Write the statistics into the network's running statistics; nothing else changes.

        Raises:
            BankMismatchError: a layer is missing on either side or has another width; the network
                is then untouched.
        """
        layers = batchnorm_layers(network)
        if differing := self._differing(layers):
            raise BankMismatchError(f"The bank does not fit the network: {'; '.join(differing)}.")
        for name, layer in layers.items():
            layer.running_mean.copy_(self.mean[name])
            layer.running_var.copy_(self.variance[name])

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Hold the network to this bank for a while; its own statistics come back bit for bit."""
        own = {
            name: (layer.running_mean.clone(), layer.running_var.clone())
            for name, layer in batchnorm_layers(network).items()
        }
        self.apply(network)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, layer in batchnorm_layers(network).items():
                    layer.running_mean.copy_(own[name][0])
                    layer.running_var.copy_(own[name][1])

    def blended(self, source: "Bank", source_weight: float) -> "Bank":
        """The mixture of a source bank and this one.

        The mean is w m_s + (1 - w) m_t, the variance that of the mixture, with the term for the
        distance of the means: w v_s + (1 - w) v_t + w (1 - w) (m_s - m_t)^2. A weight of 0 is full
        replacement (AdaBN, Li et al. 2017); a fixed weight is alpha-BN (You et al. 2021); and
        N / (N + n) for n target samples is the prior of N source samples of Schneider et al. (2020).

        Args:
            source: bank of the same network on the source.
            source_weight: w, 0 to 1.
        """
        if not 0 <= source_weight <= 1:
            raise ValueError(f"source_weight is {source_weight}; give a value between 0 and 1.")
        both = {
            name: mixed(source.mean[name], source.variance[name], self.mean[name], self.variance[name], source_weight)
            for name in self.mean
        }
        return Bank(
            {name: mean for name, (mean, _) in both.items()},
            {name: variance for name, (_, variance) in both.items()},
            self.count,
        )

    def save(self, path: Path) -> None:
        """Write the bank as safetensors; a file that is there is replaced when all is written."""
        from safetensors.torch import save_file

        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")

        tensors = {f"{name}/mean": mean.contiguous() for name, mean in self.mean.items()}
        tensors |= {f"{name}/variance": variance.contiguous() for name, variance in self.variance.items()}
        tensors |= {f"{name}/count": torch.tensor(count) for name, count in self.count.items()}
        save_file(tensors, partial)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> "Bank":
        """Read what `save` wrote.

        Raises:
            BatchNormError: the file is missing or broken.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise BatchNormError(f"{path}: cannot be read as a bank ({error}); check the path.") from error
        names = [key.removesuffix("/mean") for key in tensors if key.endswith("/mean")]
        return cls(
            {name: tensors[f"{name}/mean"] for name in names},
            {name: tensors[f"{name}/variance"] for name in names},
            {name: int(tensors[f"{name}/count"]) for name in names},
        )

    def state_dict(self) -> dict[str, dict]:
        """Plain dictionaries of tensors and integers, for a checkpoint."""
        return {"mean": dict(self.mean), "variance": dict(self.variance), "count": dict(self.count)}

    def _differing(self, layers: Mapping[str, nn.Module]) -> list[str]:
        missing = [f"{name} is not in the bank" for name in layers if name not in self.mean]
        strange = [f"{name} is not in the network" for name in self.mean if name not in layers]
        shapes = [
            f"{name} has {layer.num_features} channels, in the bank {len(self.mean[name])}"
            for name, layer in layers.items()
            if name in self.mean and len(self.mean[name]) != layer.num_features
        ]
        return missing + strange + shapes


def _copied(statistics: Tensor) -> Tensor:
    return statistics.detach().to("cpu", torch.float64, copy=True)
