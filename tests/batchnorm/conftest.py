import pytest
import torch
from torch import nn


@pytest.fixture
def network():
    """Makes a small network: convolution, BatchNorm (named 1), dropout, ReLU, convolution."""

    def make(seed=0):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(4, 2, 1))
        net[1].running_mean.normal_()
        return net

    return make


@pytest.fixture
def images():
    return torch.randn(11, 1, 12, 12, generator=torch.Generator().manual_seed(1)) * 3 + 5


@pytest.fixture
def normalised():
    """Runs a network in eval mode and gives each BatchNorm layer's output before the affine part."""

    def run(net, batches, layers):
        seen = {name: [] for name in layers}

        def keep(name, layer, inputs):
            mean, variance = layer.running_mean, layer.running_var
            shape = (1, -1) + (1,) * (inputs[0].ndim - 2)
            features = inputs[0].detach().double()
            seen[name].append((features - mean.view(shape).double()) / variance.view(shape).double().sqrt())

        hooks = [
            layer.register_forward_pre_hook(lambda layer, inputs, name=name: keep(name, layer, inputs))
            for name, layer in layers.items()
        ]
        net.eval()
        with torch.no_grad():
            for batch in batches:
                net(batch)
        for hook in hooks:
            hook.remove()
        return {name: torch.cat(parts) for name, parts in seen.items() if parts}

    return run
