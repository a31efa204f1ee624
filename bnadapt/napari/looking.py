"""A region of an image under every candidate, and under any share of the source's statistics."""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from bnadapt.actions.preview import CandidateNetworks, candidate_networks
from bnadapt.actions.recommend import Judgement, judge_target
from bnadapt.adaptation import SCANNED_TILES, Recipe
from bnadapt.batchnorm import Bank
from bnadapt.data.drawn_tiles import Place
from bnadapt.data.prepare import PreparedSection, resampled
from bnadapt.data.tiles import Blocks
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES
from bnadapt.gain.candidates import FULL_REPLACEMENT
from bnadapt.gain.observation import logits_under
from bnadapt.napari.checking import LEARNT
from bnadapt.napari.inputs import SELF_TRAINED, Inputs, Outputs
from bnadapt.napari.loading import Loaded, load, unchanged
from bnadapt.napari.results import Advice, Look, Region
from bnadapt.napari.segmenting import adapted
from bnadapt.napari.watch import Watch
from bnadapt.tasks import AdaptableTask
from bnadapt.volumes.blocks import blocks_for

MOST = 1024  # largest side of a region in pixels


@dataclass(frozen=True, eq=False)
class Framed:
    """A region as the network sees it, with the context that its predictions depend on."""

    region: Region
    image: Tensor  # (1, C, h, w)
    inside: tuple[slice, slice]  # rows and columns of the region in it

    def cut(self, maps: Tensor) -> np.ndarray:
        """The region (K, H, W), in pixels of the file, of maps (1, K, h, w) of the image."""
        inside = np.ascontiguousarray(maps[0][:, *self.inside].numpy())
        return inside if inside.shape[1:] == self.region.size else resampled(inside, self.region.size)


class Looker:
    """The networks of all candidates on one image, estimated once for any regions of it.

    Threads wait for each other, since a candidate's statistics are in the network while it runs.
    """

    def __init__(self, inputs: Inputs, loaded: Loaded, networks: CandidateNetworks, blocks: Blocks) -> None:
        self.inputs = inputs
        self.loaded = loaded
        self.networks = networks
        self.blocks = blocks
        self._framed: Framed | None = None
        self._advice: Advice | None = None
        self._self_trained: AdaptableTask | None = None
        self._lock = Lock()

    @classmethod
    def of(cls, inputs: Inputs, watch: Watch) -> "Looker":
        """Estimate the statistics of the image under all candidates."""
        loaded = load(inputs, watch)
        data = unchanged(loaded)
        with watch.stopping(loaded.task.network):
            shown = watch.shown(f"Estimating statistics of {inputs.tiles} tiles")
            networks = candidate_networks(loaded.task, data, Recipe(FULL_REPLACEMENT), progress=shown)
            return cls(inputs, loaded, networks, blocks_for(loaded.task, data))

    def look(self, region: Region, watch: Watch) -> Look:
        """A region under every candidate, and by the self-trained network if any; of a large one the middle."""
        framed = self.framed(region)
        name = self.loaded.data.target.name
        place = Place(name, range(*framed.region.rows), range(*framed.region.columns))
        with self._lock, watch.stopping(self.loaded.task.network):
            preview = self.networks.preview(framed.image, [place], watch.shown("Looking"))
        classes = {name: _classes(framed.cut(maps)) for name, maps in preview.probabilities.items()}
        titles = {name: CANDIDATES[name].title for name in classes}
        if task := self._self_trained:
            logits = logits_under(task.runner(), framed.image, Bank.of(task.network))
            classes[SELF_TRAINED] = _classes(framed.cut(logits))
            titles[SELF_TRAINED] = LEARNT.title
        disagreement = framed.cut(preview.disagreement[None].float())[0]
        self._framed = framed
        return Look(framed.region, classes, titles, disagreement, preview.left_out, preview.tiles)

    def self_train(self, outputs: Outputs, watch: Watch) -> None:
        """Write the checkpoint of a self-trained network, unless there is one; looks show that network from then on."""
        path = adapted(self.inputs, LEARNT, outputs, watch)
        self._self_trained = load(self.inputs, watch, checkpoint=path).task

    def framed(self, region: Region) -> Framed:
        """A region (of a large one the middle) as the network sees it, with the context of its predictions."""
        data = self.loaded.data
        sections = data.target.all_sections()
        if not 0 <= region.section < len(sections):
            raise InputError(f"{data.target.name}: has no section {region.section}.")
        prepared = data.prepared("target", sections[region.section])
        region = region.within(prepared.original_size, MOST)
        if min(region.size) < 1:
            raise InputError("The region lies outside of the image; move the view, or draw a rectangle on the image.")
        if prepared.is_blank:
            raise InputError(f"{prepared.name}: every pixel is the same; look at another section.")
        image = torch.from_numpy(prepared.image)
        spans = [self._span(limits, prepared, axis) for axis, limits in enumerate((region.rows, region.columns))]
        areas, inside = (tuple(each) for each in zip(*spans, strict=True))
        return Framed(region, image[None, :, *areas].contiguous(), inside)

    def weighted(self, weight: float) -> np.ndarray:
        """Classes (h, w) of the region looked at last, with this share of the source's statistics."""
        if self._framed is None:
            raise InputError("Look at a region first.")
        with self._lock:
            return _classes(self._framed.cut(self.networks.weighted(weight, self._framed.image)))

    def advice(self, watch: Watch) -> Advice:
        """What to do with the image, judged once on a few tiles of it."""
        if self._advice is None:
            task, data = self.loaded.task, self.loaded.data
            with self._lock, watch.stopping(task.network):
                shown = watch.shown("Comparing candidates")
                self._advice = advice_of(judge_target(task, data, SCANNED_TILES, progress=shown))
        return self._advice

    def advice_or_reason(self, watch: Watch) -> Advice:
        """The same, or why there is none."""
        try:
            return self.advice(watch)
        except InputError as error:
            return Advice("", f"Nothing can be recommended: {str(error).removeprefix('recommend: ')}")

    def _span(self, limits: tuple[int, int], section: PreparedSection, axis: int) -> tuple[slice, slice]:
        """Pixels of a region along an axis of the network's image with their context, and the region in these."""
        old, new = section.original_size[axis], section.size[axis]
        first, last = (round(limit * new / old) for limit in limits)
        last = max(last, first + 1)
        stride, margin = self.blocks.stride, self.blocks.margin
        start = max(0, (first - margin) // stride * stride)
        stop = min(new, -(-(last + margin) // stride) * stride)
        return slice(start, stop), slice(first - start, last - start)


def advice_of(judgement: Judgement) -> Advice:
    """A recommendation in words."""
    verdict = judgement.verdict
    warnings = [each.sentence for each in verdict.alarms]
    return Advice(verdict.choice, verdict.sentence(), warnings, verdict.advises_self_training)


def _classes(probabilities: np.ndarray) -> np.ndarray:
    return probabilities.argmax(0).astype(np.uint8)
