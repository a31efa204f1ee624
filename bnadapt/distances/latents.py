"""Draw latents from the layers of a network."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def draw_latents(
    network: Callable[[Tensor], object],
    layers: Mapping[str, nn.Module],
    batches: Iterable[Tensor],
    per_image: int,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Latents at random places of every image, from the output of every named layer.

    The network is run as it is: put it into eval mode before. It may be wrapped in a function, say for
    autocast.

    Args:
        network: takes a batch and runs the layers.
        layers: modules of the network by name, each with an output (N, C, ...).
        batches: images (N, C, ...), where the network takes them.
        per_image: places per image; drawn with replacement, the same for all calls of one seed.
        seed: of the places.

    Returns:
        For every layer (images x per_image, C) float32 on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn: dict[str, list[Tensor]] = {name: [] for name in layers}

    def drawing(name: str) -> Callable[..., None]:
        def draw(layer: nn.Module, inputs: object, output: Tensor) -> None:
            places = output.flatten(2) if output.ndim > 2 else output.unsqueeze(-1)
            chosen = torch.randint(places.shape[2], (per_image,), generator=generator).to(output.device)
            drawn[name].append(places[:, :, chosen].transpose(1, 2).flatten(0, 1).float().cpu())

        return draw

    hooks = [layer.register_forward_hook(drawing(name)) for name, layer in layers.items()]
    try:
        for batch in batches:
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(parts) for name, parts in drawn.items()}
