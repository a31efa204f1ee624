"""Will adaptation help? Candidates, their label-free features, and the gain to expect. Plain torch."""

from bnadapt.gain.candidate_results import (
    CandidateNetwork,
    CandidateResult,
    CandidateResults,
    CandidateRunner,
    run_candidates,
)
from bnadapt.gain.candidates import CANDIDATES, PREVIEWED, RECOMMENDABLE, Candidate
from bnadapt.gain.features import FEATURES, View, features_of
from bnadapt.gain.judging import judge
from bnadapt.gain.observation import Observation, observe
from bnadapt.gain.prediction import Prediction
from bnadapt.gain.predictor import Expectation, Known, Predictor
from bnadapt.gain.source_summary import SourceSummary, summarise_source
from bnadapt.gain.verdict import Verdict

__all__ = [
    "CANDIDATES",
    "FEATURES",
    "PREVIEWED",
    "RECOMMENDABLE",
    "Candidate",
    "CandidateNetwork",
    "CandidateResult",
    "CandidateResults",
    "CandidateRunner",
    "Expectation",
    "Known",
    "Observation",
    "Prediction",
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
