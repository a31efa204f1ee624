"""Adapt a task's network by a recipe, or by a candidate that the user names or the recommendation chooses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from bnadapt.actions.adapt import Adaptation, Progress, adapt_to_target
from bnadapt.actions.recommend import Judgement, judge_target
from bnadapt.adaptation import SCANNED_TILES, Recipe
from bnadapt.data import DomainPair, InputChange
from bnadapt.errors import InputError
from bnadapt.gain import RECOMMENDABLE
from bnadapt.reports.verdict_page import verdict_record
from bnadapt.tasks import AdaptableTask

AUTO = "auto"  # the candidate that is recommended
Show = Callable[[str], Progress]


@dataclass(frozen=True)
class ChosenAdaptation:
    """An adaptation that was applied to a task's network.

    Attributes:
        adaptation: the adaptation.
        judgement: judgement of the target, if a candidate was chosen.
    """

    adaptation: Adaptation
    judgement: Judgement | None


def check_choice(option: str, choice: str, *settings: object, names: Sequence[str] = tuple(RECOMMENDABLE)) -> None:
    """Refuse an unknown choice, or one together with settings that it determines.

    Args:
        option: name of the option, for messages.
        choice: a name, or `auto`.
        settings: policy, class proportions and change of the images; None where they are not given.
        names: names that the option takes besides `auto`.

    Raises:
        InputError: it is refused.
    """
    if choice not in (AUTO, *names):
        raise InputError(f"{option} {choice} is unknown; take {AUTO} or one of {', '.join(names)}.")
    if any(each is not None for each in settings):
        raise InputError(
            f"{option} determines policy, class proportions and --data.target_change; leave out these, or the choice."
        )


def adapt_by_choice(
    task: AdaptableTask, data: DomainPair, recipe: Recipe, choice: str | None, show: Show, limit: int | None = None
) -> ChosenAdaptation:
    """Adapt a task's network in place, and set the change of the target's images in the data.

    Args:
        task: the trained network.
        data: its target is read, without masks.
        recipe: how statistics are estimated.
        choice: name of a candidate, or `auto`; its policy and change of images replace the given ones.
        show: gives the `progress` of a piece of work by its name.
        limit: greatest number of batches to read.

    Raises:
        InputError: the target is missing or unreadable, or the source has no summary to choose by.
        BatchNormError: the statistics cannot be estimated.
    """
    data.target_change = data.requested_change or InputChange()  # not that of another target
    judgement = None
    if choice is not None:
        judgement = judge_target(task, data, SCANNED_TILES, progress=show("Trying candidates"))
        judgement = judgement if choice == AUTO else judgement.choosing(choice)
        task.source_summary = judgement.summary
        recipe, data.target_change = judgement.recipe(recipe), judgement.change
    adaptation = adapt_to_target(task, data, recipe, lambda batches: islice(show("Adapting")(batches), limit))
    adaptation.apply(task)
    if judgement:
        task.adaptation["recommendation"] = verdict_record(judgement.verdict)
    return ChosenAdaptation(adaptation, judgement)
