"""Sketch the latents of a network's layers over tiles."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.batches import batches_of
from bnadapt.distances.latents import DistanceError
from bnadapt.distances.sketch import Sketch

WAITING = 8192  # latents of a layer that are sketched together
EXAMPLE_TILES, EXAMPLE_POSITIONS = 32, 16


class Sketching:
    """Sketches the outputs of layers while a network runs; a context, in which the layers have hooks.

    From every tile the same number of random positions is taken, at the same relative positions in all layers, as a
    function of the seed and the tile's number alone. So sketches do not depend on batches. A layer with no more
    positions than that contributes all of them.

    Args:
        network: network, or a function around it, that runs the layers on a batch, in the mode and precision that it
            has: put it into eval mode first.
        layers: modules of the network by name, each with an output (N, C, ...); other outputs are left out.
        positions_per_tile: greatest number of positions.
        seed: seed of the positions.

    Attributes:
        examples: some latents (up to 512, C) of every layer, float32 on the CPU, for figures.

    Examples:
        with Sketching(network, latent_spaces(network)) as sketching:
            for images in batches:
                sketching.update(images)
        sketches = sketching.compute()
    """

    def __init__(
        self,
        network: Callable[[Tensor], Any],
        layers: Mapping[str, nn.Module],
        positions_per_tile: int = 96,
        seed: int = 0,
    ) -> None:
        self.network = network
        self.layers = layers
        self.positions_per_tile = positions_per_tile
        self.seed = seed
        self.tiles = 0
        self._examples: dict[str, list[Tensor]] = {}
        self._waiting: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._sketches: dict[str, Sketch] = {}
        self._hooks: list[Any] = []
        self._stack = ExitStack()

    def __enter__(self) -> "Sketching":
        self._stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code knows no new hooks
        self._hooks = [layer.register_forward_hook(partial(self._take, name)) for name, layer in self.layers.items()]
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._stack.close()

    def update(self, images: Tensor, numbers: Tensor | None = None) -> None:
        """Run a batch.

        Args:
            images: (N, C, ...), where the network takes them.
            numbers: (N,) of its tiles, which differ between processes; by default they continue from batch to batch.

        Raises:
            DistanceError: latents are not finite.
        """
        self._numbers = torch.arange(self.tiles, self.tiles + len(images)) if numbers is None else numbers.cpu()
        self._positions = torch.stack([self._drawn(number) for number in self._numbers.tolist()])
        self._flat: dict[tuple[int, ...], Tensor] = {}
        self.tiles += len(images)
        with torch.no_grad():
            self.network(images)

    def compute(self, group: distributed.ProcessGroup | None = None) -> dict[str, Sketch]:
        """Sketches of all tiles so far, by layer in the order in which the network first called them.

        Args:
            group: processes whose tiles are pooled (a collective); by default this one alone.

        Raises:
            DistanceError: no layer gave latents.
        """
        for name in list(self._waiting):
            self._flush(name)
        sketches = self._sketches if group is None else self._pooled(group)
        if not sketches:
            raise DistanceError("No latents were seen; give at least one tile, and layers whose output is a tensor.")
        return dict(sketches)

    @property
    def examples(self) -> dict[str, Tensor]:
        """Latents of this process's first tiles."""
        return {name: torch.cat(parts) for name, parts in self._examples.items()}

    def _take(self, name: str, layer: nn.Module, inputs: object, output: Any) -> None:
        if not isinstance(output, Tensor) or output.ndim < 2:
            return
        if len(output) != len(self._numbers):
            raise DistanceError(
                f"Layer {name} gives {len(output)} outputs for {len(self._numbers)} tiles; leave it out."
            )
        latents = self._taken(output.detach())
        numbers = self._numbers.repeat_interleave(latents.shape[1]).to(output.device)
        chosen = self._numbers < EXAMPLE_TILES
        if chosen.any():
            few = latents[chosen.to(output.device), :: -(-latents.shape[1] // EXAMPLE_POSITIONS)]
            self._examples.setdefault(name, []).append(few.flatten(0, 1).float().cpu())
        waiting = self._waiting.setdefault(name, [])
        waiting.append((latents.flatten(0, 1).float(), numbers))
        if sum(len(each) for each, _ in waiting) >= WAITING:
            self._flush(name)

    def _taken(self, output: Tensor) -> Tensor:
        """Latents (N, n, C) at the positions of an output (N, C, ...)."""
        size = tuple(output.shape[2:])
        flat = output.flatten(2) if size else output.unsqueeze(2)
        if flat.shape[2] <= self.positions_per_tile:
            return flat.transpose(1, 2).clone()  # an activation in place may follow
        if size not in self._flat:
            self._flat[size] = _flat_positions(self._positions, size).to(output.device)
        tiles = torch.arange(len(flat), device=flat.device).unsqueeze(1)
        return flat.transpose(1, 2)[tiles, self._flat[size]]

    def _drawn(self, number: int) -> Tensor:
        """Relative positions (n, 3) of a tile, in [0, 1)."""
        return torch.from_numpy(np.random.default_rng([self.seed, number]).random((self.positions_per_tile, 3)))

    def _flush(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        latents, numbers = (torch.cat(parts) for parts in zip(*waiting, strict=True))
        if latents.device.type == "mps":  # it has no float64
            latents, numbers = latents.cpu(), numbers.cpu()
        try:
            sketch = Sketch.of(latents, numbers)
        except DistanceError as error:
            raise DistanceError(f"Layer {name}: {error}") from error
        self._sketches[name] = self._sketches[name].merged(sketch) if name in self._sketches else sketch

    def _pooled(self, group: distributed.ProcessGroup) -> dict[str, Sketch]:
        """The sketches of all processes; one that saw no tile takes part with empty ones."""
        widths = {name: sketch.covariances.mean.shape[1] for name, sketch in self._sketches.items()}
        gathered: list[dict[str, int]] = [{}] * distributed.get_world_size(group)
        distributed.all_gather_object(gathered, widths, group)
        channels = {name: width for each in gathered for name, width in each.items()}
        device = next(iter(self.layers.values()))
        device = next(device.parameters(), torch.zeros(0)).device
        return {
            name: self._sketches.get(name, Sketch.empty(width, device)).pooled(group)
            for name, width in channels.items()
        }


def sketch_latents(
    network: Callable[[Tensor], Any],
    layers: Mapping[str, nn.Module],
    images: Any,
    positions_per_tile: int = 96,
    seed: int = 0,
) -> dict[str, Sketch]:
    """Sketch the latents of layers over images (see `bnadapt.batchnorm.batches.batches_of`), else as `Sketching`."""
    with Sketching(network, layers, positions_per_tile, seed) as sketching:
        for batch in batches_of(images):
            sketching.update(batch)
    return sketching.compute()


def _flat_positions(positions: Tensor, size: tuple[int, ...]) -> Tensor:
    """Indices (N, n) into the flattened axes of a size, of relative positions (N, n, 3)."""
    flat = torch.zeros(positions.shape[:2], dtype=torch.int64)
    for axis, length in enumerate(size):
        flat = flat * length + (positions[:, :, axis] * length).long()
    return flat
