"""Training without the Dice loss, whose networks are less sure of themselves."""

from typing import Any

from torch import nn

from bnadapt.data.masks import IGNORED
from bnadapt.tasks import SegmentationTask


class CrossEntropyTask(SegmentationTask):
    """A SegmentationTask with cross-entropy alone.

    Args:
        *args: see `SegmentationTask`.
        **kwargs: see `SegmentationTask`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"loss": nn.CrossEntropyLoss(ignore_index=IGNORED), **kwargs})
