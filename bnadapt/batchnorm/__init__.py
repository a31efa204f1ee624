"""BatchNorm statistics: estimate them on a new domain, keep them as a bank. Plain torch."""

from bnadapt.batchnorm.bank import Bank, BankMismatchError, LayerShift
from bnadapt.batchnorm.domain_banks import DomainBanks
from bnadapt.batchnorm.estimate import adapt, estimate
from bnadapt.batchnorm.estimation import Estimate, Estimation
from bnadapt.batchnorm.layers import BatchNormError, NoBatchNormError, StatisticsError, batchnorm_layers
from bnadapt.batchnorm.moments import Moments
from bnadapt.batchnorm.policy import DECODER, ENCODER, DecayingMomentum, Policy, SourcePrior, SourceWeight
from bnadapt.batchnorm.propagation import PropagationName
from bnadapt.batchnorm.stopping import Convergence, UntilKnown
from bnadapt.batchnorm.volume import VolumeTiles

__all__ = [
    "DECODER",
    "ENCODER",
    "Bank",
    "BankMismatchError",
    "BatchNormError",
    "Convergence",
    "DecayingMomentum",
    "DomainBanks",
    "Estimate",
    "Estimation",
    "LayerShift",
    "Moments",
    "NoBatchNormError",
    "Policy",
    "PropagationName",
    "SourcePrior",
    "SourceWeight",
    "StatisticsError",
    "UntilKnown",
    "VolumeTiles",
    "adapt",
    "batchnorm_layers",
    "estimate",
]
