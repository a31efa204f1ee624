"""Results of the commands, printed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from bnadapt.actions.propose import Proposal
from bnadapt.distances import MEASURES
from bnadapt.gain import SourceSummary
from bnadapt.labels.drawing import MASKS, NOT_DRAWN, PREDICTIONS
from bnadapt.reports.latent_findings import LatentFindings, answer, by_state, details
from bnadapt.reports.terminal import Console

ORDER = ("iou", "dice", "precision", "recall")
LEARNT = {
    "mixing": "mixing coefficients of statistics",
    "affine": "scales and shifts",
    "head": "the last layer",
    "all": "all weights",
}
SUMMARISED = {"val": "validation block", "train": "train block, for the split has no validation block"}


def print_scores(scores: Mapping[str, float], adapted_to: str | None) -> None:
    """Print scores by tag, such as `test/SET/MEASURE/CLASS`, of a network that may be adapted to a target."""
    ious = [f"{value:.3f} on {tag.split('/')[1]}" for tag, value in scores.items() if tag.endswith("/iou")]
    state = f"adapted to {adapted_to}" if adapted_to else "not adapted"
    title = "Mean IoU" if any("/iou/" in tag for tag in scores) else "Foreground IoU"
    Console().print(f"{title} {' and '.join(ious)}; the network is {state}.", style="bold")
    rows: dict[str, dict[str, float]] = {}
    for tag, value in scores.items():
        _, name, measure, *label = tag.split("/")
        rows.setdefault(" / ".join([name, *label]), {})[measure] = value
    measures = [name for name in ORDER if name in next(iter(rows.values()))]
    table = Table("test set", *measures)
    for name, values in rows.items():
        table.add_row(name, *(f"{values[measure]:.4f}" for measure in measures))
    Console().print(table)


def print_adaptation(record: Mapping[str, Any], path: Path) -> None:
    """Print the record of an adaptation in sentences, and the paths of the results."""
    console = Console()
    total, adapted = record["batchnorm_layers"], len(record["adapted_layers"])
    layers = total if adapted == total else f"{adapted} of {total}"
    console.print(
        f"Adapted {layers} BatchNorm layers to {record['target']}: {record['tiles']} tiles,"
        f" {record['pixels'] / 1e6:.1f} Mpixel, {record['seconds']:.1f} s."
    )
    for unit, count in (("image", len(record["blank_sections"])), ("tile", record["blank_tiles"])):
        if count:
            console.print(f"{count} blank {unit}{'s' if count > 1 else ''} left out: all pixels are equal.")
    if record["until"]:
        state = "converged" if record["converged"] else "NOT converged"
        console.print(f"The statistics have {state} to a standard error of {record['until']['tolerance']}.")
    if learning := record.get("self_training"):
        console.print(
            f"Learnt all weights from its own predictions of {learning['tiles']} tiles in {learning['steps']} steps,"
            f" {learning['seconds']:.0f} s."
        )
    if record["class_proportions"]["target"]:
        console.print(_proportions_sentence(record["class_proportions"]))
    for alarm in record["alarms"]:
        console.print(alarm)
    for kind, extension in (("Checkpoint", path.suffix), ("Bank", ".safetensors"), ("Record", ".json")):
        console.print(f"{kind}: {path.with_suffix(extension)}")


def print_finetuning(record: Mapping[str, Any], path: Path) -> None:
    """Print the record of a fine-tuning in sentences, and the paths of the results."""
    tuning, console = record["finetuning"], Console()
    tiles = (
        f"{tuning['labelled_tiles']} labelled tile{'s' if tuning['labelled_tiles'] > 1 else ''} of {record['target']}"
    )
    console.print(
        f"Learnt {LEARNT[tuning['learn']]} from {tiles} in {tuning['steps']} steps, {tuning['seconds']:.0f} s, from"
        f" {tuning['start']}; statistics of {tuning['unlabelled_tiles']} unlabelled tiles."
    )
    if tuning["iou_after"] is None:
        console.print("Not cross-validated: this needs three labelled tiles that show every class; see `bnadapt test`.")
    else:
        console.print(
            f"Foreground IoU on labelled tiles that were not learnt from (cross-validated): {tuning['iou_before']:.3f}"
            f" before, {tuning['iou_after']:.3f} after.",
            style="bold",
        )
        if tuning["iou_after"] < tuning["iou_before"]:
            console.print("Learning lowered the score: compare predictions without and with it before you choose.")
    for kind, extension in (("Checkpoint", path.suffix), ("Record", ".json")):
        console.print(f"{kind}: {path.with_suffix(extension)}")


def print_proposal(proposal: Proposal, folder: Path) -> None:
    """Print how many tiles were proposed, why, and how to draw on them."""
    console = Console()
    console.print(
        f"Proposed {len(proposal.tiles)} of {proposal.considered} tiles: candidates disagree on"
        f" {min(proposal.disagreement):.1%} to {max(proposal.disagreement):.1%} of their pixels, on"
        f" {proposal.mean_disagreement:.1%} on average."
    )
    console.print(
        f"Draw on the masks in {folder / MASKS}: classes, or 0 and 255; {NOT_DRAWN} stays where you draw nothing."
        f" {folder / PREDICTIONS} holds what the adapted network predicts, to be copied there and corrected."
    )


def _proportions_sentence(record: Mapping[str, Any]) -> str:
    """The class proportions that statistics were corrected for, or why they were not."""
    source = _percentages(record["source"])
    if not record.get("reason"):
        how = "estimated" if record["estimated"] else "given"
        return f"Corrected for class proportions: {_percentages(record['target'])} ({how}); the source has {source}."
    limits = ", ".join(f"{low:.1%} to {high:.1%}" for low, high in record["range"])
    return (
        f"Not corrected for class proportions: the estimate is {_percentages(record['estimate'])} ({limits}), the"
        f" source has {source}, but {record['reason']}. Give --class_proportions if you know them."
    )


def _percentages(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:.1%}" for share in shares)


def print_source_summary(summary: SourceSummary, block: str, path: Path) -> None:
    """Print the summary of the source, scored on `block`, and the checkpoint that holds it."""
    pixels = summary.moments.pixels.tolist()
    Console().print(
        f"The summary of the source is in {path}: class moments of {sum(pixels) / 1e6:.1f} labelled Mpixel, by class"
        f" {_percentages([count / sum(pixels) for count in pixels])}; foreground IoU {summary.iou:.3f} on tiles of the"
        f" {SUMMARISED[block]}."
    )


def print_distances(findings: LatentFindings) -> None:
    """Print the answer, the mean over layers of every measure in every state, and their meaning."""
    console = Console()
    console.print(answer(findings), style="bold")
    states = list(by_state(findings.rows))
    titles = {"noise_floor": "two halves of the source", "unadapted": "without", "adapted": "with adaptation"}
    table = Table("distance, mean over layers", *(titles[state] for state in states))
    for measure in findings.measures:
        values = (f"{mean(row.value for row in findings.of(measure, state)):.3f}" for state in states)
        table.add_row(MEASURES[measure].title, *values)
    console.print(table)
    for sentence in details(findings):
        console.print(sentence)


def print_export(name: str, path: Path) -> None:
    """Print the exported file, its size, and a program that reads it."""
    how = {
        "torchscript": "torch.jit.load reads it",
        "onnx": "onnxruntime and others read it",
        "bioimageio": f"bioimageio.core has tested it; to test it again: bioimageio test {path}",
        "state_dict": "torch.load reads it",
    }[name]
    Console().print(f"Exported: {path} ({path.stat().st_size / 1e6:.1f} MB); {how}.")
