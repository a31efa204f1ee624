"""Will adaptation help? Candidates, what they look like without labels, and the IoU to expect of them. Plain torch."""

from bnadapt.gain.candidates import CANDIDATES, Candidate, InputChange
from bnadapt.gain.features import FEATURES, View, features_of
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.source_summary import SourceSummary, summarise_source
from bnadapt.gain.treatment import Treated, Trials, try_all

__all__ = [
    "CANDIDATES",
    "FEATURES",
    "Candidate",
    "InputChange",
    "Observation",
    "SourceSummary",
    "Treated",
    "Trials",
    "View",
    "features_of",
    "observe",
    "summarise_source",
    "try_all",
]
