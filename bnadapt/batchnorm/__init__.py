"""BatchNorm statistics: estimate them on a new domain, keep them as a bank. Plain torch."""

from bnadapt.batchnorm.bank import Bank, BankMismatchError
from bnadapt.batchnorm.estimate import StatisticsError, StatisticsRecorder, adapt
from bnadapt.batchnorm.layers import BatchNormError, NoBatchNormError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments

__all__ = [
    "Bank",
    "BankMismatchError",
    "BatchNormError",
    "Moments",
    "NoBatchNormError",
    "StatisticsError",
    "StatisticsRecorder",
    "adapt",
    "batchnorm_layers",
]
