"""Statistics estimated in bfloat16 or float32: time, and what they change in the IoU, on real images.

Run by `make bench`; needs the networks of the study of pairs, prints a table and writes
benchmarks/results/precision-DEVICE.json. All scores are those of float32 forward passes.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

import torch
from common import DEVICE, MACHINE, printed, results_path, save

from bnadapt.batchnorm import Bank
from bnadapt.commands.study import study_class
from bnadapt.commands.study_config import read_config
from bnadapt.experiments.network_evaluation import DomainEvaluation
from bnadapt.experiments.trained_networks import cached_network
from bnadapt.gain.candidates import ADAPTED, CANDIDATES, DEFAULT

ROOT = Path(__file__).parents[1]
POLICIES = {"default": CANDIDATES[DEFAULT].policy, "all layers": CANDIDATES[ADAPTED].policy}


def targets(networks: Path) -> Iterator[DomainEvaluation]:
    """The networks of the first seed, in float32, on the sets of their task, their own among them."""
    study, _ = read_config(ROOT / "docs" / "studies" / "pairs", study_class)
    for case in study.cases():
        if case.labels["seed"] == 1 and case.needs is not None and case.needs.path(networks).exists():
            evaluation = replace(case.evaluation, precision="float32", latent_tiles=0)
            yield cached_network(case.network, networks, evaluation, DEVICE).on(case.target)


def estimated(target: DomainEvaluation, name: str, is_half: bool) -> tuple[Bank, float]:
    """Statistics by a policy, and the processor time that they take."""
    tiles = target.adaptation_tiles()
    started = time.process_time()
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=is_half):
        bank = target.network.adapted(tiles, POLICIES[name]).bank
    return bank, time.process_time() - started


def scored(target: DomainEvaluation, bank: Bank) -> float:
    """Foreground IoU on tiles of the test block."""
    with bank.applied(target.network.network):
        return target.quick_scores(24).iou


def compared(target: DomainEvaluation, name: str) -> dict[str, float]:
    """Change of the IoU by bfloat16, and the ratio of times."""
    (single, slow), (half, fast) = (estimated(target, name, is_half) for is_half in (False, True))
    return {"change": abs(scored(target, half) - scored(target, single)), "ratio": fast / slow}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=Path, default=ROOT / "lightning_logs" / "studies" / "networks")
    found = [{name: compared(target, name) for name in POLICIES} for target in targets(parser.parse_args().networks)]
    if not found:
        print("precision.py: no networks found; run bnadapt study pairs --config configs/studies/pairs.yaml first.")
        return
    rows = [
        {
            "statistics of": name,
            "cases": len(found),
            "change of IoU by bfloat16, mean": mean(each[name]["change"] for each in found),
            "worst": max(each[name]["change"] for each in found),
            "processor time, bfloat16 / float32": mean(each[name]["ratio"] for each in found),
        }
        for name in POLICIES
    ]
    printed("Statistics estimated in bfloat16, scored in float32", rows)
    save(results_path("precision"), {"machine": MACHINE, "rows": rows})


if __name__ == "__main__":
    main()
