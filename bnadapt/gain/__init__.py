"""Will adaptation help? Candidates, what they look like without labels, and the IoU to expect of them. Plain torch."""

from bnadapt.gain.candidates import CANDIDATES, Candidate, InputChange
from bnadapt.gain.features import FEATURES, View, features_of
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.reference import SourceReference, source_reference
from bnadapt.gain.treatment import Treated, Trials, try_all

__all__ = [
    "CANDIDATES",
    "FEATURES",
    "Candidate",
    "InputChange",
    "Observation",
    "SourceReference",
    "Treated",
    "Trials",
    "View",
    "features_of",
    "observe",
    "source_reference",
    "try_all",
]
