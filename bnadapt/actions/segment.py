"""Segment a section of a target with a task's network, in memory."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bnadapt.data import DomainPair
from bnadapt.data.prepare import resampled
from bnadapt.data.whole_sections import Outline, SectionsToSegment
from bnadapt.errors import InputError
from bnadapt.tasks import AdaptableTask
from bnadapt.volumes.blocks import blocks_for


@dataclass(frozen=True, eq=False)
class SegmentedSection:
    """What a network predicts of a section, in the size of its file.

    Attributes:
        name: name of the section.
        classes: (H, W) uint8 class indices.
        foreground: (H, W) float32 probability of no background, 0 to 1.
    """

    name: str
    classes: np.ndarray
    foreground: np.ndarray


@torch.inference_mode()
def segment_section(task: AdaptableTask, data: DomainPair, number: int) -> SegmentedSection:
    """Segment a section of the target of a data module, as `bnadapt predict` does.

    Args:
        task: the trained or adapted network.
        data: has the target.
        number: number of the section, from 0.

    Raises:
        InputError: the section does not exist, or cannot be used.
    """
    if not 0 <= number < (count := len(data.target.all_sections())):
        raise InputError(f"{data.target.name}: section {number} does not exist; give a number from 0 to {count - 1}.")
    data.segment_by(blocks_for(task, data), [number])
    sections = data.prediction_dataset()
    batch = sections[0]
    precision = task.trainer.precision_plugin
    task.eval()
    with precision.forward_context():
        images = precision.convert_input(batch["image"].to(task.device))
        maps = task.predict_step({**batch, "image": images}, 0)
    probabilities = whole_section(sections, batch["section"], maps)
    return SegmentedSection(batch["section"].name, probabilities.argmax(0).astype(np.uint8), foreground(probabilities))


def whole_section(sections: SectionsToSegment, section: Outline, maps: Tensor) -> np.ndarray:
    """Probabilities (K, H, W) of a section in the size of its file, from those (tiles, K, h, w) of its tiles."""
    probabilities = sections.put_together(section, maps.cpu()).numpy()
    if section.size == section.original_size:
        return probabilities
    return resampled(probabilities, section.original_size)


def foreground(probabilities: np.ndarray) -> np.ndarray:
    """Probability (H, W) of no background, of (K, H, W)."""
    return np.clip(1 - probabilities[0], 0, 1)
