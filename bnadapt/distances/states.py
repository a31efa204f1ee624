"""Source and target in every latent space of a network, without and with adaptation."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Literal

from bnadapt.distances.comparison import compare_each, noise_floor
from bnadapt.distances.measures import MEASURES, Measure
from bnadapt.distances.sketch import Sketch

State = Literal["noise_floor", "unadapted", "adapted"]


@dataclass(frozen=True)
class LayerDistance:
    """A distance in one layer and state.

    Attributes:
        layer: name of the latent space.
        depth: its index in the order in which the network calls them.
        channels: its width.
        state: `noise_floor` (source against source), `unadapted` (source against target in the source network),
            `adapted` (source in the source network against target in the adapted one: the residual shift).
        measure: name of the measure.
        unit: unit of the three values.
        value: see `Distance`, as for the next two.
        bias_corrected: without the bias of finite samples.
        standard_error: of `value`.
        source_samples: latents of the source.
        target_samples: latents of the sample it is compared with.
    """

    layer: str
    depth: int
    channels: int
    state: State
    measure: str
    unit: str
    value: float
    bias_corrected: float
    standard_error: float
    source_samples: int
    target_samples: int


@dataclass(frozen=True)
class LatentStates:
    """Sketches of every latent space, by layer in the order in which the network calls them.

    Attributes:
        source: source in the source network.
        target: target in the source network.
        adapted: target in the adapted network, if there is one.
    """

    source: Mapping[str, Sketch]
    target: Mapping[str, Sketch]
    adapted: Mapping[str, Sketch] | None = None

    def rows(self, measures: Mapping[str, Measure] = MEASURES) -> list[LayerDistance]:
        """The distances of every layer in all states."""
        return [row for depth, layer in enumerate(self.source) for row in self._rows(depth, layer, measures)]

    def _rows(self, depth: int, layer: str, measures: Mapping[str, Measure]) -> list[LayerDistance]:
        source, targets = self.source[layer], {"unadapted": self.target[layer]}
        targets |= {"adapted": self.adapted[layer]} if self.adapted else {}
        half = source.samples // 2
        by_state = {"noise_floor": (noise_floor(source, measures), half, source.samples - half)}
        for state, distances in zip(targets, compare_each(source, list(targets.values()), measures), strict=True):
            by_state[state] = distances, source.samples, targets[state].samples
        return [
            LayerDistance(layer, depth, source.width, state, name, measures[name].unit, *astuple(distance), *samples)
            for state, (distances, *samples) in by_state.items()
            for name, distance in distances.items()
        ]
