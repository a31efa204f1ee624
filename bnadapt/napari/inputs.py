"""The user's choices, the equivalent command lines, and results; plain types, without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnadapt.reports.text import shell_line

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


AS_IT_IS = Treatment("unchanged", "the network as it is")
RECOMMENDED = Treatment("recommended", "what is recommended", ("--choose", "auto"))


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


@dataclass(frozen=True)
class Region:
    """A rectangle of a section, in pixels of the file; rows and columns are [first, last)."""

    section: int
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def within(self, size: Sequence[int], most: int) -> "Region":
        """The part inside a section of this size, and of that the middle of at most `most` pixels."""
        rows, columns = (
            _clipped(*limits, side, most) for limits, side in zip((self.rows, self.columns), size, strict=True)
        )
        return replace(self, rows=rows, columns=columns)


@dataclass(frozen=True, eq=False)
class Look:
    """A region under every candidate."""

    region: Region
    classes: Mapping[str, np.ndarray]  # (h, w) uint8 by the candidate's name
    titles: Mapping[str, str]
    disagreement: np.ndarray  # (h, w) share of the candidates that differ from the most frequent class
    left_out: Mapping[str, str]  # missing information by the name of the candidate that needs it
    tiles: int  # behind the statistics

    def foreground(self, name: str) -> float:
        """Share of the region that a candidate predicts as foreground."""
        return float((self.classes[name] > 0).mean())


@dataclass(frozen=True)
class Advice:
    """A recommendation in words: the candidate, what to do and whether it helps, and what to check."""

    choice: str
    sentence: str
    warnings: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class ProposedTile:
    """A tile to correct."""

    file: str  # name of its image and its mask
    region: Region
    prediction: np.ndarray  # (h, w) uint8 class indices
    disagreement: float = 0.0  # share of its pixels on which candidates disagree


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


def shown(*lines: Line) -> str:
    """Command lines as typed."""
    return "\n".join(shell_line(["bnadapt", *line]) for line in lines)


def preview_line(inputs: Inputs, outputs: Outputs) -> Line:
    """Regions under every candidate, on a page."""
    return ["preview", *inputs.estimating, "--output", outputs.preview, *outputs.overwriting]


def recommend_line(inputs: Inputs, outputs: Outputs, proposed: str | None = None) -> Line:
    """A recommendation; on corrected tiles, if there are any."""
    measured = ["--proposed", proposed] if proposed else []
    output = f"{outputs.recommendation}-measured" if proposed else outputs.recommendation
    return ["recommend", *inputs.reading, *measured, "--output", output, *outputs.overwriting]


def adapt_line(inputs: Inputs, treatment: Treatment, output: str) -> Line:
    """An adapted checkpoint; replaces that of another command."""
    return ["adapt", *inputs.estimating, *treatment.options, "--output", output, "--overwrite"]


def propose_line(inputs: Inputs, count: int, outputs: Outputs) -> Line:
    """Tiles to correct."""
    tiles = ["--tiles", str(count)]
    return ["propose", *inputs.estimating, *tiles, "--output", outputs.proposed, *outputs.overwriting]


def finetune_line(inputs: Inputs, steps: int, outputs: Outputs) -> Line:
    """A network trained on corrected tiles."""
    learning = ["--proposed", outputs.proposed, "--steps", str(steps)]
    return ["finetune", *inputs.estimating, *learning, "--output", outputs.finetuned(inputs), *outputs.overwriting]


def predict_line(inputs: Inputs, checkpoint: str, outputs: Outputs) -> Line:
    """The whole image segmented by a network; volumes as OME-Zarr."""
    common = replace(inputs, checkpoint=checkpoint).common
    format_ = [] if inputs.is_folder else ["--format", "ome.zarr"]
    return ["predict", *common, *format_, "--output", outputs.segmented(checkpoint), *outputs.overwriting]


def objects_line(folder: str, with_labels: bool, overwrite: bool, min_size: int = 0) -> Line:
    """A table of the objects of a segmentation, of at least so many voxels."""
    labels = ["--labels", str(Path(folder) / "objects.ome.zarr")] if with_labels else []
    replacing = [*(["--min_size", str(min_size)] if min_size else []), *(["--overwrite"] if overwrite else [])]
    return ["objects", folder, "--output", str(Path(folder) / "objects.csv"), *labels, *replacing]


def _clipped(first: int, last: int, side: int, most: int) -> tuple[int, int]:
    first, last = max(0, first), min(side, last)
    surplus = max(0, last - first - most)
    return first + surplus // 2, last - (surplus - surplus // 2)
