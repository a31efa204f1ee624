"""Lightning tasks: networks with their training and scores."""

from bnadapt.tasks.base import AdaptableTask, known_tasks
from bnadapt.tasks.cellseguda import CellSegUDATask
from bnadapt.tasks.losses import DiceCrossEntropy
from bnadapt.tasks.mean_teacher import MeanTeacherTask
from bnadapt.tasks.segmentation import SegmentationTask
from bnadapt.tasks.two_domains import TwoDomainTask
from bnadapt.tasks.ynet import YNetTask

__all__ = [
    "AdaptableTask",
    "CellSegUDATask",
    "DiceCrossEntropy",
    "MeanTeacherTask",
    "SegmentationTask",
    "TwoDomainTask",
    "YNetTask",
    "known_tasks",
]
