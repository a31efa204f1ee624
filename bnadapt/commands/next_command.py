"""The command to type next, with the options of the finished one."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bnadapt.commands.command_line import split_options
from bnadapt.reports.text import shell_line

NETWORK = ("model", "model.network")  # which the user names, see bnadapt.networks.trust
KEPT = ("config", "c", "data.tile_size", "data.overlap", "trainer.accelerator", *NETWORK)
SEEN = ("data.intensity", "data.pixel_size_nm")  # which override the checkpoint
TARGET, TARGET_MASKS = "data.target", "data.target.masks"
IMAGES = ["--data.target", "Folder", "--data.target.images", "IMAGES"]
MASKS = ["--data.target.masks", "MASKS"]


def next_command(name: str, done: Sequence[str], *, ckpt_path: Path, has_target: bool, more: Sequence[str] = ()) -> str:
    """The command line of a command.

    Args:
        name: name of the command.
        done: arguments of the finished command, whose target, network, tiles, device and config are kept.
        ckpt_path: checkpoint for the command.
        has_target: whether the finished command had a target; if not, a placeholder stands for its images.
        more: further options.
    """
    seen = () if done[0] == "fit" else SEEN
    kept = _words_of(done, lambda option: option in seen or _is_kept(option, name))
    if not has_target:
        kept = [*IMAGES, *kept]
    return shell_line(["bnadapt", name, "--ckpt_path", str(ckpt_path), *kept, *more])


def resume_command(done: Sequence[str], ckpt_path: Path) -> str:
    """The command line that resumes an interrupted training from the checkpoint of its last epoch.

    `done` are the arguments of the training; all are kept but the checkpoint that it resumed itself.
    """
    kept = _words_of(done, lambda option: option != "ckpt_path")
    return shell_line(["bnadapt", "fit", "--ckpt_path", str(ckpt_path), *kept])


def source_summary_command(done: Sequence[str], ckpt_path: Path) -> str:
    """The command line that adds a summary of the source to a checkpoint, with a placeholder for the images.

    `done` are the arguments of the finished command, whose network is kept.
    """
    source = ["--data.source", "Folder", "--data.source.images", "IMAGES", "--data.source.masks", "MASKS"]
    network = _words_of(done, NETWORK.__contains__)
    return shell_line(["bnadapt", "source_summary", "--ckpt_path", str(ckpt_path), *source, *network])


def has_masks(done: Iterable[str]) -> bool:
    """Whether the command line gives masks of a folder's target."""
    return any(token.startswith("--data.target.masks") for token in done)


def _words_of(done: Sequence[str], is_kept: Callable[[str], bool]) -> list[str]:
    """The words of the options of a command whose names are kept."""
    return [word for name, _, words in split_options(done[1:]) if is_kept(name) for word in words]


def _is_kept(option: str, command: str) -> bool:
    if option.startswith(TARGET_MASKS) and command == "predict":
        return False
    if option == "data.adaptation_tiles" and command == "adapt":
        return True
    return option in KEPT or option == TARGET or option.startswith(f"{TARGET}.")
