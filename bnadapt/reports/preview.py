"""Results of a preview: some regions of a target under every candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from bnadapt.data.drawn_tiles import Place
from bnadapt.gain import CANDIDATES
from bnadapt.gain.agreement import disagreement


@dataclass(frozen=True, eq=False)
class Preview:
    """Predictions of a network on some regions of a target under every candidate.

    Attributes:
        target: name of the domain.
        images: (n, C, h, w) of the regions, unchanged.
        places: positions of the regions.
        probabilities: (n, K, h, w) by the candidate's name.
        left_out: missing information by the name of the candidate that needs it.
        tiles: tiles of the target behind the statistics.
        options: options of `bnadapt adapt` by candidate.
        can_be_judged: whether `recommend` needs only the checkpoint.
    """

    target: str
    images: Tensor
    places: Sequence[Place]
    probabilities: Mapping[str, Tensor]
    left_out: Mapping[str, str]
    tiles: int
    options: Mapping[str, Sequence[str]]
    can_be_judged: bool

    @cached_property
    def classes(self) -> Mapping[str, Tensor]:
        """(n, h, w) predicted, by the candidate's name."""
        return {name: each.argmax(1) for name, each in self.probabilities.items()}

    @cached_property
    def foreground(self) -> Mapping[str, Tensor]:
        """(n,) share of every region predicted as any class above 0, by the candidate's name."""
        return {name: (each > 0).double().mean((1, 2)) for name, each in self.classes.items()}

    @property
    def compared(self) -> Sequence[str]:
        """Names of the candidates that do not invert (others disagree everywhere); all if these are fewer than two."""
        upright = [name for name in self.classes if not CANDIDATES[name].is_inverted]
        return upright if len(upright) > 1 else list(self.classes)

    @cached_property
    def disagreement(self) -> Tensor:
        """(n, h, w) share of the compared candidates that differ from the most frequent class."""
        classes = next(iter(self.probabilities.values())).shape[1]
        return disagreement([self.classes[name] for name in self.compared], classes)
