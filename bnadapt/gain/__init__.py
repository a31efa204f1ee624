"""Will adaptation help? Candidates, what they look like without labels, and the IoU to expect of them. Plain torch."""

from bnadapt.gain.candidate_results import (
    CandidateNetwork,
    CandidateResult,
    CandidateResults,
    CandidateRunner,
    run_candidates,
)
from bnadapt.gain.candidates import CANDIDATES, Candidate
from bnadapt.gain.features import FEATURES, LEARNT, View, features_of
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.predictor import Expectation, Predictor
from bnadapt.gain.source_summary import SourceSummary, summarise_source
from bnadapt.gain.verdict import Verdict, judge

__all__ = [
    "CANDIDATES",
    "FEATURES",
    "LEARNT",
    "Candidate",
    "CandidateNetwork",
    "CandidateResult",
    "CandidateResults",
    "CandidateRunner",
    "Expectation",
    "Observation",
    "Predictor",
    "SourceSummary",
    "Verdict",
    "View",
    "features_of",
    "judge",
    "observe",
    "run_candidates",
    "summarise_source",
]
