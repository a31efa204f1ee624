"""The user's choices in plain types, without torch, and the options that they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TILE = 256  # default side of a tile in commands
Line = list[str]


@dataclass(frozen=True)
class Inputs:
    """A network and the image to segment."""

    checkpoint: str
    image: str  # path of a volume, an image or a folder of images
    key: str | None = None  # of an array in the file
    pixel_size_nm: float | None = None  # if the user overrides the file
    plane: str = "xy"  # or xz, yz
    index: tuple[tuple[str, int], ...] = ()  # single index of further axes, such as (("T", 3),)
    is_folder: bool = False  # of images
    tile_size: int = TILE  # of the tiles that statistics are estimated on
    tiles: int = 16  # number of these

    @property
    def what(self) -> tuple[object, ...]:
        """Network and image, independent of how they are looked at."""
        return self.checkpoint, self.image, self.key, self.plane, self.index

    @property
    def target(self) -> Line:
        """Options that name the image."""
        chosen = "{" + ", ".join(f"{axis}: {number}" for axis, number in self.index) + "}" if self.index else None
        given = {
            "": "Folder" if self.is_folder else "Stack",
            ".images": self.image,
            ".images_key": self.key,
            ".pixel_size_nm": None if self.pixel_size_nm is None else f"{self.pixel_size_nm:g}",
            ".override_pixel_size": None if self.pixel_size_nm is None else "true",
            ".plane": None if self.plane == "xy" else self.plane,
            ".index": chosen,
        }
        return [token for name, value in given.items() if value for token in (f"--data.target{name}", value)]

    @property
    def common(self) -> Line:
        """Options of all commands."""
        return ["--ckpt_path", self.checkpoint, *self.target]

    @property
    def reading(self) -> Line:
        """Options of commands that read tiles."""
        return [*self.common, *([] if self.tile_size == TILE else ["--data.tile_size", str(self.tile_size)])]

    @property
    def estimating(self) -> Line:
        """Options of commands that estimate statistics."""
        return [*self.reading, "--data.adaptation_tiles", str(self.tiles)]


@dataclass(frozen=True)
class Treatment:
    """What is done to the network before it segments."""

    name: str  # for files
    title: str  # for people
    options: tuple[str, ...] = ()  # of `bnadapt adapt`; none if the checkpoint is used as it is

    @property
    def adapts(self) -> bool:
        """Whether the network is adapted."""
        return bool(self.options)


SELF_TRAINED = "self-trained"  # name of a treatment
AS_IT_IS = Treatment("unchanged", "the network as it is")
RECOMMENDED = Treatment("recommended", "the recommended statistics", ("--choose", "auto"))


def weighted(weight: float) -> Treatment:
    """All layers adapted, with a share of the source's statistics."""
    return Treatment(
        f"weight-{weight:g}", f"source weight {weight:.2f} (slider)", ("--policy.source_weight", f"{weight:g}")
    )


@dataclass(frozen=True)
class Facts:
    """What is known about a network and an image before anything runs."""

    inputs: Inputs  # completed
    network: Sequence[str]  # lines about it
    image: Sequence[str]  # lines about it
    warnings: Sequence[str]  # sentences about what does not fit
    pixel_size_nm: float | None  # stated by the image's file or the user
    sections: int
    treatments: Sequence[Treatment]  # that the network allows
    folder: str  # for results, by default

    def treatment(self, name: str) -> Treatment:
        """The treatment of a name."""
        return next(each for each in self.treatments if each.name == name)


@dataclass(frozen=True)
class Outputs:
    """Where results of an image go: their folder, and whether earlier ones are replaced."""

    folder: Path
    overwrite: bool = False

    @property
    def overwriting(self) -> Line:
        """The option that replaces earlier results."""
        return ["--overwrite"] if self.overwrite else []

    def checkpoint(self, inputs: Inputs, treatment: Treatment) -> str:
        """The checkpoint of a treatment; the network's own if it is not adapted."""
        if not treatment.adapts:
            return inputs.checkpoint
        return str(self.folder / f"{Path(inputs.checkpoint).stem}-{treatment.name}.ckpt")

    @property
    def recommendation(self) -> str:
        """The folder of a recommendation's page."""
        return str(self.folder / "recommendation")

    @property
    def preview(self) -> str:
        """The folder of a preview's page."""
        return str(self.folder / "preview")

    @property
    def proposed(self) -> str:
        """The folder of tiles to correct."""
        return str(self.folder / "proposed")

    def finetuned(self, inputs: Inputs) -> str:
        """The checkpoint of the fine-tuned network."""
        return str(self.folder / f"{Path(inputs.checkpoint).stem}-finetuned.ckpt")

    def segmented(self, checkpoint: str) -> str:
        """The folder of a network's segmentation."""
        return str(self.folder / f"segmented-by-{Path(checkpoint).stem}")
