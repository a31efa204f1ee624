"""The command to type next, with the options of the finished one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnadapt.actions.choose import AUTO
from bnadapt.actions.self_train import SELF_TRAINING_OPTIONS
from bnadapt.commands.command_line import split_options
from bnadapt.gain.candidates import INVERTED, NONE
from bnadapt.gain.verdict import Doubt, Verdict
from bnadapt.text import shell_line

NETWORK = ("model", "model.network")  # which the user names, see bnadapt.networks.trust
KEPT = ("config", "c", "data.tile_size", "data.overlap", "trainer.accelerator", *NETWORK)
OVERRIDES = ("data.intensity", "data.pixel_size_nm")  # which override the checkpoint
TARGET, TARGET_MASKS = "data.target", "data.target.masks"
IMAGES = ["--data.target", "Folder", "--data.target.images", "IMAGES"]
MASKS = ["--data.target.masks", "MASKS"]


def next_command(
    name: str, arguments: Sequence[str], *, ckpt_path: Path, has_target: bool, more: Sequence[str] = ()
) -> str:
    """The command line of a command.

    Args:
        name: name of the command.
        arguments: arguments of the finished command; its target, network, tiles, device and config are kept.
        ckpt_path: checkpoint for the command.
        has_target: whether the finished command had a target; if not, a placeholder stands for its images.
        more: further options.
    """
    overrides = () if arguments[0] == "fit" else OVERRIDES
    words = _words_of(arguments, lambda option: option in overrides or _is_kept(option, name))
    if not has_target:
        words = [*IMAGES, *words]
    return shell_line(["bnadapt", name, "--ckpt_path", str(ckpt_path), *words, *more])


@dataclass(frozen=True)
class NextStep:
    """A command with its further options, and the words above it: when it is the next one to run."""

    name: str
    options: Sequence[str] = ()
    said: str = "Next"


def after_recommendation(verdict: Verdict) -> NextStep | None:
    """What to run after a recommendation; nothing where the images must be looked into first."""
    if verdict.doubt is Doubt.NOISE:
        return None
    if verdict.doubt is Doubt.POLARITY:
        return NextStep("adapt", ["--choose", INVERTED], "Next, if the images are inverted")
    if verdict.choice == NONE:
        return NextStep("predict")
    if verdict.advises_self_training:
        return NextStep("adapt", SELF_TRAINING_OPTIONS)
    return NextStep("adapt", ["--choose", verdict.choice if verdict.measured else AUTO])


def resume_command(arguments: Sequence[str], ckpt_path: Path) -> str:
    """The command line that resumes an interrupted training from the checkpoint of its last epoch.

    `arguments` are the arguments of the training; all are kept except the checkpoint that it resumed itself.
    """
    words = _words_of(arguments, lambda option: option != "ckpt_path")
    return shell_line(["bnadapt", "fit", "--ckpt_path", str(ckpt_path), *words])


def source_summary_command(arguments: Sequence[str], ckpt_path: Path) -> str:
    """The command line that adds a summary of the source to a checkpoint, with a placeholder for the images.

    `arguments` are the arguments of the finished command; its network is kept.
    """
    source = ["--data.source", "Folder", "--data.source.images", "IMAGES", "--data.source.masks", "MASKS"]
    network = _words_of(arguments, NETWORK.__contains__)
    return shell_line(["bnadapt", "source_summary", "--ckpt_path", str(ckpt_path), *source, *network])


def has_masks(arguments: Iterable[str]) -> bool:
    """Whether the command line gives masks of a folder's target."""
    return any(token.startswith("--data.target.masks") for token in arguments)


def _words_of(arguments: Sequence[str], is_kept: Callable[[str], bool]) -> list[str]:
    """The words of those options of a command that are kept."""
    return [word for name, _, words in split_options(arguments[1:]) if is_kept(name) for word in words]


def _is_kept(option: str, command: str) -> bool:
    if option.startswith(TARGET_MASKS) and command == "predict":
        return False
    if option == "data.adaptation_tiles" and command == "adapt":
        return True
    return option in KEPT or option == TARGET or option.startswith(f"{TARGET}.")
