"""The command that one would type next, with the options of the one that is done."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bnadapt.commands.command_line import split_options
from bnadapt.reports.text import shell_line

NETWORK = ("model", "model.network")  # which the user names, see bnadapt.networks.trust
KEPT = ("config", "c", "data.tile_size", "data.overlap", "trainer.accelerator", *NETWORK)
SEEN = ("data.intensity", "data.pixel_size_nm")  # asked for beside what a checkpoint remembers
TARGET, TARGET_MASKS = "data.target", "data.target.masks"
IMAGES = ["--data.target", "Folder", "--data.target.images", "IMAGES"]
MASKS = ["--data.target.masks", "MASKS"]


def next_command(name: str, done: Sequence[str], *, ckpt_path: Path, has_target: bool, more: Sequence[str] = ()) -> str:
    """A command line.

    Args:
        name: of the command.
        done: arguments of the command that is done; its target, network, tiles, device and config are kept.
        ckpt_path: checkpoint that the command takes.
        has_target: whether the command that is done named a target, by an option or in its config; if not, its images
            are to be filled in.
        more: further options.
    """
    seen = () if done[0] == "fit" else SEEN
    kept = _words_of(done, lambda option: option in seen or _is_kept(option, name))
    if not has_target:
        kept = [*IMAGES, *kept]
    return shell_line(["bnadapt", name, "--ckpt_path", str(ckpt_path), *kept, *more])


def resume_command(done: Sequence[str], ckpt_path: Path) -> str:
    """The command line that goes on with a training that was interrupted.

    Args:
        done: arguments of that training; all are kept but the checkpoint that it went on from itself.
        ckpt_path: of the last epoch.
    """
    kept = _words_of(done, lambda option: option != "ckpt_path")
    return shell_line(["bnadapt", "fit", "--ckpt_path", str(ckpt_path), *kept])


def source_summary_command(done: Sequence[str], ckpt_path: Path) -> str:
    """The command line that adds to a checkpoint what is to be known of its source; its images are to be filled in.

    Args:
        done: arguments of the command that is done; its network is kept.
        ckpt_path: checkpoint that the command takes.
    """
    source = ["--data.source", "Folder", "--data.source.images", "IMAGES", "--data.source.masks", "MASKS"]
    network = _words_of(done, NETWORK.__contains__)
    return shell_line(["bnadapt", "source_summary", "--ckpt_path", str(ckpt_path), *source, *network])


def has_masks(done: Iterable[str]) -> bool:
    """Whether the command line gives masks of a folder's target."""
    return any(token.startswith("--data.target.masks") for token in done)


def _words_of(done: Sequence[str], is_kept: Callable[[str], bool]) -> list[str]:
    """The words of the options of a command that are kept by their names."""
    return [word for name, _, words in split_options(done[1:]) if is_kept(name) for word in words]


def _is_kept(option: str, command: str) -> bool:
    if option.startswith(TARGET_MASKS) and command == "predict":
        return False
    if option == "data.adaptation_tiles" and command == "adapt":
        return True
    return option in KEPT or option == TARGET or option.startswith(f"{TARGET}.")
