"""Fold BatchNorm layers into the convolutions before them, which changes results only by rounding."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BATCHNORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


@torch.inference_mode(False)
@torch.no_grad()
def folded(network: nn.Module, images: Tensor) -> tuple[nn.Module, int]:
    """A copy of a network in eval mode with BatchNorm layers folded into convolutions, and the number of folded layers.

    Which convolution precedes a layer is observed in a forward pass on images (N, C, H, W), however the network is
    written. Layers behind other modules stay. A network with hooks, which may record what a folded layer no longer
    computes, is returned itself.

    Examples:
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
        >>> folded(network, torch.rand(1, 1, 8, 8))
        (Sequential(
          (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        ), 1)
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in network.modules()):
        return network, 0
    copied = copy.deepcopy(network)
    pairs = _pairs(copied, images.clone())
    modules = dict(copied.named_modules())
    for norm, convolution in pairs.items():
        is_transposed = isinstance(modules[convolution], nn.ConvTranspose2d)
        fused = fuse_conv_bn_eval(modules[convolution], modules[norm], is_transposed)
        copied.set_submodule(convolution, fused)
        copied.set_submodule(norm, nn.Identity())
    return copied, len(pairs)


def _pairs(network: nn.Module, images: Tensor) -> dict[str, str]:
    """The convolution before each BatchNorm layer, by the layer's name, if both are used once."""
    outputs: list[tuple[Tensor, int, str]] = []  # outputs of convolutions, and how often they were written to
    inputs_of: list[tuple[str, str | None]] = []

    def record_output(name: str, output: Tensor) -> None:
        outputs.append((output, output._version, name))

    def record_input(name: str, value: Tensor) -> None:
        source = (each for output, version, each in outputs if output is value and output._version == version)
        inputs_of.append((name, next(source, None)))

    hooks = [  # of convolutions alone: subclasses may do more, and torch does not fuse transposed ones in groups
        module.register_forward_hook(lambda _, inputs, output, name=name: record_output(name, output))
        for name, module in network.named_modules()
        if type(module) is nn.Conv2d or (type(module) is nn.ConvTranspose2d and module.groups == 1)
    ] + [
        module.register_forward_pre_hook(lambda _, inputs, name=name: record_input(name, inputs[0]))
        for name, module in network.named_modules()
        if type(module) in BATCHNORMS and module.running_mean is not None
    ]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    norms, sources = [name for name, _ in inputs_of], [source for _, source in inputs_of]
    convolved = [name for *_, name in outputs]
    return {
        norm: source
        for norm, source in inputs_of
        if source and norms.count(norm) == sources.count(source) == convolved.count(source) == 1
    }
