"""The latent spaces of a network: outputs of its modules, by name."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnadapt.batchnorm.layers import named_modules
from bnadapt.distances.latents import DistanceError


def latent_spaces(network: nn.Module, patterns: Sequence[str] | None = None) -> dict[str, nn.Module]:
    """Modules of a network whose outputs are its latent spaces, by name in order of definition.

    Args:
        network: any module.
        patterns: names of modules of the network without wrappers such as that of `torch.compile`, with `*` and `?` as
            wildcards. By default all BatchNorm layers and the modules that contain them: the stages of a U-Net, the
            blocks of a ResNet.

    Raises:
        DistanceError: a pattern matches no module, or there is no BatchNorm layer.

    Examples:
        >>> network = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), nn.ReLU())
        >>> list(latent_spaces(network))
        ['0', '0.1']
    """
    modules = {name: module for name, module in named_modules(network) if name}
    if patterns is None:
        normalising = [name for name, module in modules.items() if isinstance(module, _BatchNorm)]
        if not normalising:
            raise DistanceError(
                f"This {type(network).__name__} has no BatchNorm layer to take latents from; name its layers, such as"
                f" {next(iter(modules), 'none')!r}."
            )
        chosen = {*normalising, *(name.rpartition(".")[0] for name in normalising)}
        return {name: module for name, module in modules.items() if name in chosen}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in modules):
            raise DistanceError(f"No layer is named {pattern!r}; there are {', '.join(modules)}.")
    return {name: each for name, each in modules.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}
