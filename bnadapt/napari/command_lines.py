"""The command lines, without `bnadapt`, that do the same as the plugin."""

from dataclasses import replace
from pathlib import Path

from bnadapt.napari.inputs import Inputs, Line, Outputs, Treatment
from bnadapt.reports.text import shell_line


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
    return ["objects", "--mask", folder, "--output", str(Path(folder) / "objects.csv"), *labels, *replacing]
