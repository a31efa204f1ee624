"""Experiments that a person reruns by one command; this list of them loads nothing else."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A study and the location of its class.

    Attributes:
        path: module and class, as `module:class`.
        about: description in a line.
    """

    path: str
    about: str


STUDIES = {
    "demo": Entry("bnadapt.commands.demo:Demo", "train, test, adapt and test again, by the commands"),
    "two-mean-grid": Entry(
        "bnadapt.studies.two_mean_grid:TwoMeanGrid", "synthetic sources against targets of other intensities"
    ),
    "image-shifts": Entry("bnadapt.studies.image_shifts:ImageShifts", "a source against itself under image shifts"),
    "pairs": Entry("bnadapt.studies.pairs:Pairs", "real EM data sets on each other"),
    "several-sources": Entry(
        "bnadapt.studies.several_sources:SeveralSources", "one network of many data sets, on one that it has not seen"
    ),
    "recipes": Entry(
        "bnadapt.studies.recipes:Recipes",
        "how long to train a network for other data sets, and with which augmentation",
    ),
    "irregular-training": Entry(
        "bnadapt.studies.irregular_training:IrregularTraining", "networks whose running statistics are off"
    ),
    "latent-spaces": Entry(
        "bnadapt.studies.latent_spaces.study:LatentSpaces", "which latent distance predicts what adaptation does"
    ),
    "proportions": Entry(
        "bnadapt.studies.proportions.study:Proportions",
        "targets of other class proportions, and the correction for them",
    ),
    "comparison": Entry(
        "bnadapt.studies.comparison.study:Comparison", "methods of domain adaptation side by side, and what they cost"
    ),
    "candidates": Entry(
        "bnadapt.studies.candidates.study:Candidates",
        "every way to treat a target, and what can be seen of it without labels",
    ),
    "verdict": Entry(
        "bnadapt.studies.verdict.study:VerdictStudy", "whether the gain is predicted on what no prediction has seen"
    ),
    "labels": Entry(
        "bnadapt.studies.labels.study:Labels",
        "what a few labelled tiles of the target are worth, with and without adaptation",
    ),
    "self-training": Entry(
        "bnadapt.studies.self_training:SelfTrainingStudy", "what an adapted network learns from its own predictions"
    ),
    "how-much": Entry(
        "bnadapt.studies.how_much:HowMuch", "how much of the source to keep, where, and from how many tiles"
    ),
}
