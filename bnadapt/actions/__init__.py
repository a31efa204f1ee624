"""The work of commands, callbacks and the Python API: plain functions from a task and its data to a frozen result."""

from bnadapt.actions.adapt import Adaptation, adapt_to_target, save_adapted
from bnadapt.actions.distances import measure_distances
from bnadapt.actions.finetune import finetune_to_target
from bnadapt.actions.preview import CandidateNetworks, candidate_networks, preview_target
from bnadapt.actions.propose import Proposal, propose_tiles
from bnadapt.actions.recommend import Judgement, judge_target
from bnadapt.actions.segment import SegmentedSection, segment_section
from bnadapt.actions.summarise import add_source_summary, class_moments_of, source_summary_of

__all__ = [
    "Adaptation",
    "CandidateNetworks",
    "Judgement",
    "Proposal",
    "SegmentedSection",
    "adapt_to_target",
    "add_source_summary",
    "candidate_networks",
    "class_moments_of",
    "finetune_to_target",
    "judge_target",
    "measure_distances",
    "preview_target",
    "propose_tiles",
    "save_adapted",
    "segment_section",
    "source_summary_of",
]
