"""Estimate BatchNorm statistics on a new domain and store them as a bank. Plain torch."""

from bnadapt.batchnorm.bank import Bank, BankMismatchError, LayerShift
from bnadapt.batchnorm.class_estimation import measure_class_moments
from bnadapt.batchnorm.class_moments import ClassMoments, ProportionCorrection
from bnadapt.batchnorm.entropy import minimise_entropy
from bnadapt.batchnorm.estimator import Estimate, Estimator, PropagationName
from bnadapt.batchnorm.functional import adapt, estimate
from bnadapt.batchnorm.layers import (
    BatchNormError,
    BatchNormWarning,
    NoBatchNormError,
    StatisticsError,
    batchnorm_layers,
)
from bnadapt.batchnorm.moments import Moments
from bnadapt.batchnorm.policy import (
    DECODER,
    ENCODER,
    FULL_RESOLUTION,
    GROUPS,
    DecayingMomentum,
    Policy,
    SourcePrior,
    SourceWeight,
)
from bnadapt.batchnorm.proportion_trials import ProportionCandidate
from bnadapt.batchnorm.proportions import ProportionEstimate, estimate_proportions
from bnadapt.batchnorm.resolution import layer_groups
from bnadapt.batchnorm.stopping import Convergence, UntilConverged
from bnadapt.batchnorm.volume import VolumeTiles

__all__ = [
    "DECODER",
    "ENCODER",
    "FULL_RESOLUTION",
    "GROUPS",
    "Bank",
    "BankMismatchError",
    "BatchNormError",
    "BatchNormWarning",
    "ClassMoments",
    "Convergence",
    "DecayingMomentum",
    "Estimate",
    "Estimator",
    "LayerShift",
    "Moments",
    "NoBatchNormError",
    "Policy",
    "PropagationName",
    "ProportionCandidate",
    "ProportionCorrection",
    "ProportionEstimate",
    "SourcePrior",
    "SourceWeight",
    "StatisticsError",
    "UntilConverged",
    "VolumeTiles",
    "adapt",
    "batchnorm_layers",
    "estimate",
    "estimate_proportions",
    "layer_groups",
    "measure_class_moments",
    "minimise_entropy",
]
