"""Training without the Dice loss, whose networks are less sure of themselves."""

from typing import Any

from torch import nn

from bnadapt.data.masks import IGNORED
from bnadapt.tasks import SegmentationTask


class CrossEntropyTask(SegmentationTask):
    """A SegmentationTask with cross-entropy alone.

    Args:
        **options: of `SegmentationTask`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"loss": nn.CrossEntropyLoss(ignore_index=IGNORED), **options})
