"""Training with cross-entropy alone, which gives less confident networks."""

from typing import Any

from torch import nn

from bnadapt.data.masks import IGNORED
from bnadapt.tasks import SegmentationTask


class CrossEntropyTask(SegmentationTask):
    """A SegmentationTask with cross-entropy alone.

    Args:
        **options: options of `SegmentationTask`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"loss": nn.CrossEntropyLoss(ignore_index=IGNORED), **options})
