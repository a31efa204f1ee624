"""Tiles worth correcting, and learning from them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bnadapt.commands.next_command import after_recommendation
from bnadapt.data import Domain
from bnadapt.gain import Verdict
from bnadapt.labels.drawing import LIST, TileToDraw, draw, listed_tiles, predicted_classes
from bnadapt.napari.command_lines import adapt_line, finetune_line, predict_line, propose_line, recommend_line, shown
from bnadapt.napari.inputs import Inputs, Outputs, Treatment
from bnadapt.napari.loading import load, target_of
from bnadapt.napari.looking import advice_of
from bnadapt.napari.results import Advice, ProposedTile, Region
from bnadapt.napari.watch import Watch
from bnadapt.reports.verdict_page import write_verdict
from bnadapt.tasks.checkpoints import read_checkpoint


def proposed(inputs: Inputs, count: int, outputs: Outputs, watch: Watch) -> list[ProposedTile]:
    """Tiles to correct; those of an earlier proposal, unless they are to be replaced."""
    folder = Path(outputs.proposed)
    shares: list[float] = []
    if outputs.overwrite or not (folder / LIST).exists():
        loaded = load(inputs, watch, propose_line(inputs, count, outputs))
        proposal = loaded.trainer.propose(
            loaded.task, loaded.data, loaded.path, str(folder), overwrite=outputs.overwrite, tiles=count
        )
        shares = proposal.disagreement
    numbers = _numbers(target_of(inputs))
    tiles = listed_tiles(folder)
    return [
        _proposed(tile, numbers, predicted_classes(folder, tile, _num_classes(inputs)), share)
        for tile, share in zip(tiles, shares or [0.0] * len(tiles), strict=True)
    ]


def corrected(inputs: Inputs, outputs: Outputs, masks: Mapping[str, np.ndarray | None]) -> int:
    """Write the masks of tiles, and count the corrected ones.

    `masks` are classes (h, w) by the name of the tile's file, None for tiles that are not corrected.
    """
    folder = Path(outputs.proposed)
    for tile in listed_tiles(folder):
        draw(folder, tile, masks.get(tile.file), _num_classes(inputs))
    return sum(mask is not None for mask in masks.values())


def finetuned(inputs: Inputs, steps: int, outputs: Outputs, watch: Watch) -> tuple[str, str]:
    """Train the network on corrected tiles; returns the path of the new checkpoint, and the outcome in a sentence."""
    loaded = load(inputs, watch, finetune_line(inputs, steps, outputs))
    path = loaded.trainer.finetune(
        loaded.task,
        loaded.data,
        loaded.path,
        outputs.finetuned(inputs),
        overwrite=outputs.overwrite,
        proposed=outputs.proposed,
        steps=steps,
    )
    record = loaded.task.adaptation["finetuning"]
    scored = ""
    if record["iou_after"] is not None:
        scored = (
            f" On tiles that were left out in turn, foreground IoU went from {record['iou_before']:.2f} to"
            f" {record['iou_after']:.2f}."
        )
    return str(path), f"Learnt from {record['labelled_tiles']} tiles in {record['steps']} steps.{scored}"


def measured(inputs: Inputs, outputs: Outputs, watch: Watch) -> Advice:
    """Which candidate does best on corrected tiles; writes its page, too."""
    line = recommend_line(inputs, outputs, outputs.proposed)
    loaded = load(inputs, watch, line)
    folder = line[line.index("--output") + 1]
    judgement = loaded.trainer.recommend(
        loaded.task, loaded.data, loaded.path, folder, overwrite=outputs.overwrite, proposed=outputs.proposed
    )
    commands = _after(judgement.verdict, inputs, outputs)
    write_verdict(judgement.verdict, judgement.results, loaded.data.target.name, Path(folder), commands)
    return advice_of(judgement)


def _after(verdict: Verdict, inputs: Inputs, outputs: Outputs) -> dict[str, str]:
    """What to type after a recommendation, by the words above it."""
    step = after_recommendation(verdict)
    if step is None:
        return {}
    treatment = Treatment(verdict.choice, "", tuple(step.options))
    path = outputs.checkpoint(inputs, treatment)
    return {
        step.said: shown(
            adapt_line(inputs, treatment, path) if treatment.adapts else predict_line(inputs, path, outputs)
        )
    }


def _proposed(tile: TileToDraw, numbers: Mapping[str, int], prediction: np.ndarray, share: float) -> ProposedTile:
    rows, columns = ((part.start, part.stop) for part in tile.area)
    return ProposedTile(tile.file, Region(numbers[tile.section], rows, columns), prediction, share)


def _numbers(target: Domain) -> dict[str, int]:
    """Numbers of sections by name."""
    return {section.name: number for number, section in enumerate(target.all_sections())}


def _num_classes(inputs: Inputs) -> int:
    return read_checkpoint(Path(inputs.checkpoint)).parameters["num_classes"]
