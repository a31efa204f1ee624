"""Propose which tiles of a target to label, and write them to draw on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnadapt.actions.adapt import Progress
from bnadapt.actions.preview import preview_target
from bnadapt.adaptation import Recipe
from bnadapt.data import DomainPair
from bnadapt.data.domain import Section
from bnadapt.data.drawn_tiles import Place
from bnadapt.data.masks import as_stored
from bnadapt.data.prepare import resampled_mask
from bnadapt.errors import InputError
from bnadapt.gain.candidates import ADAPTED
from bnadapt.labels.drawing import Drawing, TileToDraw, write_drawings
from bnadapt.labels.proposal import COMPARED, proposed_tiles
from bnadapt.tasks import AdaptableTask

CONSIDERED = 64  # tiles to choose from, drawn at random


@dataclass(frozen=True)
class Proposal:
    """Tiles that were proposed.

    Attributes:
        tiles: tiles to draw on.
        disagreement: share of the pixels of each on which candidates disagree.
        considered: tiles that they were chosen from.
        mean_disagreement: mean over these.
    """

    tiles: list[TileToDraw]
    disagreement: list[float]
    considered: int
    mean_disagreement: float


def propose_tiles(
    task: AdaptableTask,
    data: DomainPair,
    count: int,
    folder: Path,
    progress: Progress = iter,
) -> Proposal:
    """Choose tiles of a target to label, and write them into a folder, see `bnadapt.labels.drawing`.

    Args:
        task: the trained network.
        data: its target is looked at, without masks; no tile is proposed of blocks that adaptation must not read.
        count: number of tiles.
        folder: folder for the tiles.
        progress: wraps the candidates, to show how far it is.

    Raises:
        InputError: no target is given, fewer than one tile is requested, or images cannot be used.
        BatchNormError: statistics cannot be estimated.
    """
    if count < 1:
        raise InputError(f"propose: tiles is {count}; set --tiles to at least 1.")
    preview = preview_target(task, data, Recipe(), CONSIDERED, COMPARED, progress=progress)
    sections = {section.name: section for section in data.target.adaptation()}
    numbers = {name: number for number, name in enumerate(sections)}
    keys = [(numbers[place.section], place.rows.start, place.columns.start) for place in preview.places]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    shares = (preview.disagreement > 0).double().mean((1, 2))
    chosen = proposed_tiles(preview.images, shares, order, count)
    classes = preview.probabilities[ADAPTED].argmax(1).numpy().astype(np.uint8)
    drawings = [
        _drawing(
            sections[preview.places[index].section], preview.places[index], classes[index], task.hparams.num_classes
        )
        for index in chosen
    ]
    write_drawings(folder, drawings)
    return Proposal([each.tile for each in drawings], shares[chosen].tolist(), len(keys), float(shares.mean()))


def _drawing(section: Section, place: Place, classes: np.ndarray, num_classes: int) -> Drawing:
    image = section.read_image()
    suffix = ".tif" if image.dtype.kind == "f" or image.dtype.itemsize > 2 else ".png"
    tile = TileToDraw.at(place, image.shape[:2], suffix)
    return Drawing(tile, image[tile.area], as_stored(resampled_mask(classes, tile.size), num_classes))
