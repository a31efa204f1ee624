"""What is trained, and how it is scored."""

from bnadapt.tasks.base import AdaptableTask
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.segmentation import SegmentationTask

__all__ = ["AdaptableTask", "DiceCrossEntropy", "SegmentationTask"]
