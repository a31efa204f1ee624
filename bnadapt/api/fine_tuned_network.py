"""`bnadapt.finetune`: a copy of a network that has learnt from a few labelled tiles of a target."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from bnadapt.actions.finetune import UNCHOSEN, bank_or_none
from bnadapt.actions.labelled import checked
from bnadapt.adaptation import Recipe
from bnadapt.api.adapted_network import TILES
from bnadapt.api.inputs import Network, SourceModel
from bnadapt.errors import InputError
from bnadapt.gain.candidates import ADAPTED, FULL_REPLACEMENT, NONE
from bnadapt.labels import FineTuned, FineTuning, self_train
from bnadapt.labels import finetune as finetuned
from bnadapt.labels.self_training import SELF_TRAINED


@dataclass(frozen=True, eq=False, repr=False)
class FineTunedNetwork(FineTuned):
    """A network that has learnt from labelled tiles of a target; for further attributes see `FineTuned`.

    Attributes:
        network: copy of the given network with that state, in eval mode.
        labelled: number of labelled tiles.
    """

    network: nn.Module = field(kw_only=True)
    labelled: int = field(kw_only=True)

    def __repr__(self) -> str:
        tiles = f"{self.labelled} tile{'s' if self.labelled > 1 else ''}"
        scored = f": held-out IoU {self.before:.3f} before, {self.after:.3f} after" if self.scores else ""
        name = type(self.network).__name__
        return f"{type(self).__name__}({name}, learnt {self.learn} from {tiles} in {self.steps} steps{scored})"


def finetune(
    network: Network,
    images: Any,
    labelled: Any,
    settings: FineTuning | None = None,
    *,
    start: Literal["adapted", "self-trained", "none"] = ADAPTED,
) -> FineTunedNetwork:
    """Train a copy of a network on a few labelled tiles of a target; the network itself is left unchanged.

    BatchNorm statistics are those of all images of the target, not of the labelled tiles alone, and follow the weights
    as these change. A network without BatchNorm layers learns `head` or `all` from its own weights.

    Args:
        network: a `torch.nn.Module`, a task of bnadapt, or the path of a checkpoint.
        images: images of the target, without masks, in random order; see `bnadapt.api.inputs`. From files 64 tiles are
            drawn at random, everything else is read to the end and held in memory.
        labelled: images of the target with masks, of one size, all of which are used; of files those of the train
            block, prepared as `images` are.
        settings: what is learnt, and for how long; see `bnadapt.labels.FineTuning`.
        start: `adapted`, from the target's statistics in all layers; `self-trained`, the same after learning from the
            network's own confident predictions; `none`, from the statistics of the network, such as
            `bnadapt.adapt(...).network`.

    Raises:
        BnadaptError: there is nothing to learn from, images cannot be used, or `affine` or `mixing` is to be learnt
            without BatchNorm layers.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1))
        >>> target = torch.randn(16, 1, 32, 32) + 3
        >>> finetune(network, target, (target[:2], (target[:2, 0] > 3).long()), FineTuning(steps=5))
        FineTunedNetwork(Sequential, learnt all from 2 tiles in 5 steps)
    """
    if start not in UNCHOSEN:
        raise InputError(f"finetune: start is {start!r}; take one of {', '.join(UNCHOSEN)}.")
    model = SourceModel.of(network)
    tiles = checked(model.labelled_tiles(labelled), "labelled")
    batches = list(model.batches(images, count=TILES))
    copied, source = deepcopy(model.network).eval(), model.source_bank or bank_or_none(model.network)
    if source and start != NONE:
        model.runner().estimate(batches, Recipe(FULL_REPLACEMENT)).bank.apply(copied)
    if start == SELF_TRAINED:
        copied.load_state_dict(self_train(copied, batches, source_bank=source))
    tuned = finetuned(copied, batches, tiles, settings or FineTuning(), source)
    tuned.apply(copied)
    return FineTunedNetwork(**vars(tuned), network=copied, labelled=len(tiles))
