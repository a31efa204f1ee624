"""Whether a volume that is seen in three planes is segmented better: flyem (FIB-SEM, isotropic) by networks of vnc.

Run by `make bench`, where BNADAPT_DATA is set; prints a table, writes benchmarks/results/planes-DEVICE.json. Scores are
those of all of the labelled volume, of which neither training nor adaptation (to the other volume) has seen anything.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from common import MACHINE, printed, results_path, save

from bnadapt.commands.average import average_segmentations
from bnadapt.commands.cli import main as command
from bnadapt.data import FlyEM
from bnadapt.data.readers import open_masks

CONFIG = Path(__file__).parents[1] / "configs" / "vnc-to-flyem.yaml"
PLANES = ("xy", "xz", "yz")
NETWORKS = {"without adaptation": "best.ckpt", "adapted": "adapted.ckpt"}
QUIET = ("--trainer.enable_progress_bar=false",)


def volumes(folder: Path) -> tuple[Path, np.ndarray]:
    """The labelled volume in a file, and its membranes."""
    sections = FlyEM().labelled()
    path = folder / "volume.npy"
    np.save(path, np.stack([each.read_image() for each in sections]))
    return path, np.stack([each.read_mask() for each in sections]) > 0


def networks(folder: Path, seed: int) -> None:
    """Train one on vnc, and adapt it to the volume without labels."""
    log = [f"--trainer.logger.save_dir={folder}"]
    command(["fit", f"--config={CONFIG}", f"--seed_everything={seed}", *log, *QUIET])
    (best,) = folder.rglob("best.ckpt")
    best.rename(folder / NETWORKS["without adaptation"])
    target = ["--data.target=FlyEM", "--data.target.sample=1", "--data.tile_size=250", "--trainer.logger=false", *QUIET]
    command(["adapt", f"--ckpt_path={folder / 'best.ckpt'}", *target, f"--output={folder / 'adapted.ckpt'}"])


def segmented(checkpoint: Path, volume: Path, folder: Path) -> dict[str, np.ndarray]:
    """Masks by the planes that they come from."""
    for plane in PLANES:
        target = ["--data.target=Stack", f"--data.target.images={volume}", f"--data.target.plane={plane}"]
        size = ["--data.target.pixel_size_nm=10", "--data.tile_size=250", "--trainer.logger=false", *QUIET]
        command(["predict", f"--ckpt_path={checkpoint}", *target, *size, f"--output={folder / plane}"])
    mask, _ = average_segmentations([str(folder / plane) for plane in PLANES], output=str(folder / "average"))
    masks = {plane: folder / plane / "volume_mask.npy" for plane in PLANES} | {"average of the three": mask}
    return {name: open_masks(path).opened.array > 0 for name, path in masks.items()}


def iou(predicted: np.ndarray, membranes: np.ndarray) -> float:
    return float((predicted & membranes).sum() / (predicted | membranes).sum())


def scored(seed: int) -> list[dict[str, str | float]]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        volume, membranes = volumes(folder)
        networks(folder, seed)
        rows = []
        for name, checkpoint in NETWORKS.items():
            masks = segmented(folder / checkpoint, volume, folder / name)
            rows += [{"network": name, "planes": which, "IoU": iou(mask, membranes)} for which, mask in masks.items()]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    if "BNADAPT_DATA" not in os.environ:
        print("planes: needs flyem and vnc; set BNADAPT_DATA to the folder of the data sets.")
        return
    scores_by_planes: dict[tuple[str, str], list[float]] = {}
    for seed in parser.parse_args().seeds:
        for row in scored(seed):
            scores_by_planes.setdefault((row["network"], row["planes"]), []).append(row["IoU"])
        rows = [
            {
                "network": name,
                "planes": planes,
                "IoU": mean(scores),
                "over seeds": stdev(scores) if len(scores) > 1 else None,
                "seeds": len(scores),
            }
            for (name, planes), scores in scores_by_planes.items()
        ]
        save(results_path("planes"), {**MACHINE, "planes": rows})
    printed("Membranes of flyem by networks of vnc", rows)


if __name__ == "__main__":
    main()
