"""Will adaptation help? Candidates, what they look like without labels, and the IoU to expect of them. Plain torch."""

from bnadapt.gain.candidates import CANDIDATES, Candidate, InputChange
from bnadapt.gain.features import FEATURES, LEARNT, View, features_of
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.predictor import Expectation, Predictor
from bnadapt.gain.source_summary import SourceSummary, summarise_source
from bnadapt.gain.treatment import Treated, Treatment, Treatments, Trials, try_all
from bnadapt.gain.verdict import Verdict, judge

__all__ = [
    "CANDIDATES",
    "FEATURES",
    "LEARNT",
    "Candidate",
    "Expectation",
    "InputChange",
    "Observation",
    "Predictor",
    "SourceSummary",
    "Treated",
    "Treatment",
    "Treatments",
    "Trials",
    "Verdict",
    "View",
    "features_of",
    "judge",
    "observe",
    "summarise_source",
    "try_all",
]
