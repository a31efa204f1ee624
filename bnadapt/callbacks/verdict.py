"""Judge a target with a task's network, and prepare to treat it by a candidate."""

from dataclasses import replace

import torch
from lightning.pytorch import LightningModule, Trainer

from bnadapt.adaptation import Recipe
from bnadapt.callbacks.inference import adaptation_pass
from bnadapt.callbacks.source_summary import source_summary_of
from bnadapt.data import TargetChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, Trials, Verdict, judge
from bnadapt.gain.annotation import FEWEST, measured
from bnadapt.gain.candidates import with_odds
from bnadapt.gain.source_summary import images_and_masks
from bnadapt.gain.verdict import verdict_on


def judge_target(trainer: Trainer, task: LightningModule, tiles: int, annotated: int = 0) -> tuple[Verdict, Trials]:
    """The verdict on the target of the Trainer's data module, and what it rests on.

    Args:
        trainer: whose data, device and precision are used.
        task: the trained network.
        tiles: to look at.
        annotated: labelled tiles of the target's train block to score candidates on, instead of predicting; at most.

    Raises:
        InputError: there is no target, or nothing is known of the source.
        BatchNormError: statistics cannot be estimated.
    """
    if tiles < 1 or annotated < 0:
        raise InputError(f"recommend: tiles is {tiles}, annotated {annotated}; give at least 1 and 0.")
    data = trainer.datamodule
    data.change_target(data.requested_change or TargetChange())  # not that of an earlier adaptation
    if task.hparams.num_classes != 2:
        raise InputError(
            f"recommend: the network has {task.hparams.num_classes} classes; its predictions rest on networks of two."
        )
    if task.source_summary is None:
        if data.source is None:
            raise InputError(
                "recommend: the checkpoint holds no summary of its source; give --data.source with masks, or add it by"
                " bnadapt source_summary."
            )
        task.source_summary = source_summary_of(trainer, task)
    images = torch.stack([item["image"] for item in data.unlabelled_tiles("target", tiles)])
    runs = adaptation_pass(trainer, task)
    runs.group = None  # every process looks at the same tiles
    verdict, trials = judge(runs, images, task.source_summary)
    if not annotated:
        return verdict, trials
    images, masks = images_and_masks(data.labelled_tiles("target", "train", annotated))
    if len(images) < FEWEST:
        raise InputError(f"recommend: --annotated needs {FEWEST} labelled tiles of the target at least; give more.")
    return verdict_on(task.source_summary, trials, measured(trials, images, masks), len(images)), trials


def recipe_of(name: str, trials: Trials, recipe: Recipe) -> Recipe:
    """How statistics are re-estimated for a candidate; all else is as in another recipe."""
    candidate = CANDIDATES[name]
    odds, scan = candidate.odds, trials.scan_for(candidate)
    proportions = "source" if odds is None else with_odds(scan.chosen.proportions, odds)
    return replace(recipe, policy=candidate.policy, class_proportions=proportions)


def target_change_of(name: str, trials: Trials) -> TargetChange:
    """What a candidate does to images of the target."""
    change = CANDIDATES[name].change
    return TargetChange(trials.level if change.inverted else None, change.zoom)
