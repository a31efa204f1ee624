"""Preview of the work of a study."""

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from bnadapt.experiments.case import Case
from bnadapt.experiments.networks import SourceNetwork, Training, fit
from bnadapt.experiments.scheduling import Folders
from bnadapt.text import counted

FEW, SOME = 2, 6  # steps of the trainings that a step is measured by


def plan(cases: Sequence[Case], folders: Folders) -> str:
    """Numbers of missing cases and networks, and the training time of the networks on one worker.

    A step of each kind of training is measured, on synthetic images.
    """
    different = dict.fromkeys(cases)
    missing = [case for case in different if folders.records.read(case) is None]
    networks = {case.needs for case in missing if case.needs}
    to_train = [each for each in networks if not each.path(folders.networks).exists()]
    summary = (
        f"{counted(len(different), 'case')} ({len(different) - len(missing)} measured already),"
        f" {counted(len(networks), 'network')} ({len(networks) - len(to_train)} trained already)."
    )
    if not to_train:
        return summary
    kinds = {_kind(each.training): each.training for each in to_train}
    seconds = {kind: seconds_of_a_step(training) for kind, training in kinds.items()}
    total = sum(seconds[_kind(each.training)] * each.training.steps for each in to_train)
    return (
        f"{summary} Training takes about {total / 3600:.1f} hours on one worker like this"
        f" ({', '.join(f'{each:.2f}' for each in seconds.values())} s a step, measured now); the cases come on top."
    )


def seconds_of_a_step(training: Training) -> float:
    """Seconds of a training step on this machine."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return max(0.0, (_seconds(training, SOME, device) - _seconds(training, FEW, device)) / (SOME - FEW))


def _kind(training: Training) -> str:
    """Key shared by trainings with steps that take equally long."""
    return replace(training, steps=SOME).key


def _seconds(training: Training, steps: int, device: torch.device) -> float:
    size = max(256, training.crop_size)
    short = replace(training, steps=steps, pixel_size_nm=None)
    target = {"class": "Synthetic", "images": 4, "size": size, "seed": 1} if training.task != Training.task else None
    started = time.perf_counter()
    fit(SourceNetwork(short, {"class": "Synthetic", "images": 6, "size": size}, 0, target), device)
    return time.perf_counter() - started
