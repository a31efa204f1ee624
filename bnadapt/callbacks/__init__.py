"""Lightning callbacks: adaptation, distances, source summary and pictures around training and testing."""

from bnadapt.callbacks.applied_bank import AppliedBank
from bnadapt.callbacks.batchnorm_adaptation import BatchNormAdaptation
from bnadapt.callbacks.latent_distance import LatentDistance
from bnadapt.callbacks.pictures import SegmentationPictures, TrainingCrops
from bnadapt.callbacks.prediction_files import PredictionFiles
from bnadapt.callbacks.source_summary import SourceSummaryCallback
from bnadapt.callbacks.tensorboard import TensorBoardOverview

__all__ = [
    "AppliedBank",
    "BatchNormAdaptation",
    "LatentDistance",
    "PredictionFiles",
    "SegmentationPictures",
    "SourceSummaryCallback",
    "TensorBoardOverview",
    "TrainingCrops",
]
