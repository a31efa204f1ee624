"""BatchNorm statistics: estimate them on a new domain, keep them as a bank. Plain torch."""

from bnadapt.batchnorm.bank import Bank, BankMismatchError
from bnadapt.batchnorm.estimate import StatisticsRecorder, adapt
from bnadapt.batchnorm.layers import NoBatchNormError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments

__all__ = [
    "Bank",
    "BankMismatchError",
    "Moments",
    "NoBatchNormError",
    "StatisticsRecorder",
    "adapt",
    "batchnorm_layers",
]
