"""The main job from end to end: train on a source, test, adapt to a target, test again, for a few configs.

`python -m bnadapt.studies.demo --configs configs/synthetic.yaml --output lightning_logs/demo`
"""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from matplotlib.figure import Figure

from bnadapt.callbacks.pictures import comparison, predictions_by_state
from bnadapt.cli import BnadaptCLI, main
from bnadapt.errors import InputError
from bnadapt.files import atomic_write
from bnadapt.refusals import refusals
from bnadapt.studies.demo_page import write_page

OWN_FILES = ("results.json", "unfinished-run")


@dataclass(frozen=True)
class Case:
    """One training and adaptation: a config, a scaling of intensities, a seed."""

    config: Path
    intensity: str
    seed: int

    @property
    def name(self) -> str:
        """Also the name of its folder."""
        return f"{self.config.stem}-{self.intensity}-seed{self.seed}"

    @property
    def key(self) -> str:
        """Changes with anything that the case is a function of."""
        return sha256(f"{self.config.read_text(encoding='utf-8')}{self.intensity}{self.seed}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """What a case gave; IoU of the foreground on the test blocks of source and target.

    Attributes:
        config: name of the config.
        intensity: scaling of intensities.
        seed: of training.
        source_unadapted: source network on the source.
        source_adapted: adapted network on the source.
        target_unadapted: source network on the target.
        target_adapted: adapted network on the target.
        gain: IoU(adapted) - IoU(unadapted) on the target.
        tiles: that adaptation read.
        adaptation_seconds: that adaptation took.
    """

    config: str
    intensity: str
    seed: int
    source_unadapted: float
    source_adapted: float
    target_unadapted: float
    target_adapted: float
    gain: float
    tiles: int
    adaptation_seconds: float


def run_case(case: Case, folder: Path) -> tuple[Record, Figure]:
    """Do the four commands of a case, as a user would type them.

    Args:
        case: what to run.
        folder: for its logs and checkpoints.

    Returns:
        Its record, and a row of pictures of one image of the target.
    """
    config, checkpoints = str(case.config), folder / "checkpoints"
    logger = ["--trainer.logger.save_dir", str(folder.parent), "--trainer.logger.name", folder.name]
    common = ["--config", config, "--data.intensity", case.intensity, *logger, "--trainer.logger.version"]
    best, adapted = str(checkpoints / "best.ckpt"), str(checkpoints / "adapted.ckpt")
    fit = ["--trainer.enable_model_summary", "false", "--seed_everything", str(case.seed)]
    bnadapt("fit", *common, "", *fit)
    before = bnadapt("test", *common, "test-unadapted", "--ckpt_path", best)
    adaptation = bnadapt("adapt", *common, "adapt", "--ckpt_path", best, "--output", adapted).model.adaptation
    after = bnadapt("test", *common, "test-adapted", "--ckpt_path", adapted)
    scores = [{key: value.item() for key, value in cli.trainer.callback_metrics.items()} for cli in (before, after)]
    record = Record(
        config=case.config.stem,
        intensity=case.intensity,
        seed=case.seed,
        source_unadapted=scores[0]["test/source/iou"],
        source_adapted=scores[1]["test/source/iou"],
        target_unadapted=scores[0]["test/target/iou"],
        target_adapted=scores[1]["test/target/iou"],
        gain=scores[1]["test/target/iou"] - scores[0]["test/target/iou"],
        tiles=adaptation["tiles"],
        adaptation_seconds=adaptation["seconds"],
    )
    return record, target_picture(after)


def bnadapt(*arguments: str) -> BnadaptCLI:
    """Print a command of bnadapt, and do it."""
    print(f"\n$ bnadapt {shlex.join(arguments)}", flush=True)
    return main(list(arguments))


def target_picture(tested: BnadaptCLI) -> Figure:
    """Image, mask, predictions and their difference for the first test tile of the target."""
    which = tested.model.test_names.index("target")
    item = tested.datamodule.test_dataloader()[which].dataset.uncut(0)
    return comparison(item, predictions_by_state(tested.model, item["image"][None]))


def run_cases(cases: list[Case], output: Path) -> Iterator[Record]:
    """Run cases one after the other; one that an interrupted run has finished is not run again."""
    for number, case in enumerate(cases, start=1):
        finished = output / "unfinished-run" / f"{case.name}-{case.key}.json"
        if finished.exists():
            yield Record(**json.loads(finished.read_text(encoding="utf-8")))
            continue
        print(f"\n[{number}/{len(cases)}] {case.name}", flush=True)
        record, picture = run_case(case, output / case.name)
        picture.savefig(output / f"{case.name}.png", dpi=110)
        with atomic_write(finished) as partial:
            partial.write_text(json.dumps(asdict(record)), encoding="utf-8")
        yield record


def demo(cases: list[Case], output: Path) -> None:
    """Run all cases, write `results.json`, `table.md` and the picture page, and print table and path."""
    if output.is_dir() and any(output.iterdir()) and not any((output / own).exists() for own in OWN_FILES):
        raise InputError(f"{output}: holds something else than an earlier demo; give another folder.")
    if not (output / "unfinished-run").exists():
        shutil.rmtree(output, ignore_errors=True)
    records = [asdict(record) for record in run_cases(cases, output)]
    command = shlex.join(["python", "-m", "bnadapt.studies.demo", *sys.argv[1:]])
    with atomic_write(output / "results.json") as partial:
        partial.write_text(json.dumps({"command": command, "records": records}, indent=2) + "\n", encoding="utf-8")
    print(write_page(output))
    shutil.rmtree(output / "unfinished-run")


def arguments() -> argparse.Namespace:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--configs", nargs="+", type=Path, required=True, help="configs of bnadapt with source and target"
    )
    parser.add_argument("--intensities", nargs="+", default=["dtype"], help="scalings of intensities to compare")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds: 1, 2, ...")
    parser.add_argument("--output", type=Path, required=True, help="folder of results, replaced")
    asked = parser.parse_args()
    if asked.seeds < 1:
        parser.error("--seeds: give at least 1")
    if missing := [path for path in asked.configs if not path.is_file()]:
        parser.error(f"{missing[0]}: no such config")
    return asked


if __name__ == "__main__":
    with refusals():
        asked = arguments()
        demo(
            [
                Case(config, intensity, seed)
                for seed in range(1, asked.seeds + 1)
                for config in asked.configs
                for intensity in asked.intensities
            ],
            asked.output,
        )
