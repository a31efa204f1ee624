"""Latent distances: what sketching adds to a forward pass, and sketches against peers on stored samples.

Run by `make bench`; prints tables and writes benchmarks/results/distances-DEVICE.json.
"""

import argparse
import json
import math
from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import ot
import scipy.linalg
import torch
from common import DEVICE, MACHINE, clocked, in_process_of_its_own, peak, printed, results_path, save
from torch import Tensor

from bnadapt.distances import (
    LatentStates,
    Sketch,
    clouds,
    compare,
    latent_spaces,
    replicates,
    sketch_latents,
)
from bnadapt.networks import UNet

RESULTS = results_path("distances")
TILES, SIDE, BATCH, ROUNDS = 32, 256, 8, 9
NARROW = 160  # pixels, of which the default U-Net's narrowest level has all positions that are sketched
CHANNELS, SAMPLES = (16, 128, 1024), (10**4, 10**5, 10**6, 10**7)
MOST_STORED = 2 * 10**8  # values of a domain that are stored for the reference, 1.6 GB
MOST_BY_POT = 10**8  # values of a domain along channels and directions that POT is given; it takes 100 times the memory
CHUNK, POOL = 4096, 16
SHIFT, SCALE = 0.5, 1.5
MEASURED = ("gaussian_wasserstein", "sliced_wasserstein", "channel_wasserstein")


def plain(network: UNet, batches: list[Tensor]) -> None:
    with torch.no_grad():
        for batch in batches:
            network(batch)


def sketching(base_channels: int) -> dict[str, str | float]:
    """Seconds of a plain forward pass, and of one in which all latent spaces are sketched; they take turns."""
    network = UNet(base_channels=base_channels).eval().to(DEVICE, memory_format=torch.channels_last)
    layers = latent_spaces(network)
    tiles = torch.randn(TILES, 1, SIDE, SIDE, device=DEVICE)
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in tiles.split(BATCH)]
    taken = []
    for turn in range(ROUNDS + 1):
        alone, *_ = clocked(lambda: plain(network, batches))
        with_sketches, *_ = clocked(lambda: sketch_latents(network, layers, batches))
        if turn:
            taken.append((alone, with_sketches))
    return {
        "base channels": base_channels,
        "latent spaces": len(layers),
        "forward / s": median(alone for alone, _ in taken),
        "sketched / s": median(sketched for _, sketched in taken),
        "ratio": median(sketched / alone for alone, sketched in taken),
    }


def comparing(base_channels: int, rounds: int) -> dict[str, str | float]:
    """Seconds of all distances in three states, in turns with exact replicates, and how far these differ."""
    network = UNet(base_channels=base_channels).eval().to(DEVICE, memory_format=torch.channels_last)
    layers, tiles = latent_spaces(network), torch.randn(TILES, 1, NARROW, NARROW, device=DEVICE)
    source, target = (sketch_latents(network, layers, each.split(BATCH)) for each in (tiles, SCALE * tiles + SHIFT))
    states = LatentStates(source, target, target)
    taken = []
    for _ in range(rounds):
        *seconds, rows = clocked(states.rows)
        with patch.object(replicates, "EXACT_UP_TO", math.inf):
            *exact_seconds, expected = clocked(states.rows)
        taken.append((*seconds, *exact_seconds))
    wall, processor, exact_wall, exact_processor = map(median, zip(*taken, strict=True))
    pairs = [pair for pair in zip(rows, expected, strict=True) if pair[1].standard_error > 0]
    return {
        "base channels": base_channels,
        "latent spaces": len(layers),
        "all distances, three states / s": wall,
        "of the processor / s": processor,
        "with exact replicates / s": exact_wall,
        "of its processor / s": exact_processor,
        "ratio": exact_processor / processor,
        "largest relative difference of the value": max(abs(row.value / exact.value - 1) for row, exact in pairs),
        "of the standard error": max(abs(row.standard_error / exact.standard_error - 1) for row, exact in pairs),
        "largest difference of bias_corrected, in standard errors": max(
            abs(row.bias_corrected - exact.bias_corrected) / exact.standard_error for row, exact in pairs
        ),
    }


class Streams:
    """Correlated latents of a source, and of a target that is shifted and scaled, in chunks that are made on the fly.

    A few random chunks are made once and given again with a new sign and order of channels' signs, so that making them
    costs little.
    """

    def __init__(self, channels: int, samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        mixing = torch.eye(channels) + torch.randn(channels, channels, generator=generator) / channels**0.5
        self.pool = [torch.randn(CHUNK, channels, generator=generator) @ mixing for _ in range(POOL)]
        self.samples = samples
        self.channels = channels

    def chunks(self, domain: str) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed({"source": 1, "target": 2}[domain])
        for start in range(0, self.samples, CHUNK):
            chosen = self.pool[int(torch.randint(POOL, (1,), generator=generator))]
            sign = 1 - 2 * int(torch.randint(2, (1,), generator=generator))
            latents = sign * chosen[: min(CHUNK, self.samples - start)]
            yield (latents if domain == "source" else SCALE * latents + SHIFT).to(DEVICE)

    def stored(self, domain: str) -> Tensor:
        return torch.cat(list(self.chunks(domain)))


def sketched(streams: Streams) -> dict[str, float]:
    """All distances, with standard errors, from a pass over chunks of which none is kept."""
    both = []
    for domain in ("source", "target"):
        sketch = Sketch.empty(streams.channels, DEVICE)
        for number, chunk in enumerate(streams.chunks(domain)):
            sketch = sketch.merged(Sketch.of(chunk, torch.full((len(chunk),), number, device=DEVICE)))
        both.append(sketch)
    return {name: distance.value for name, distance in compare(*both).items()}


def by_pot(streams: Streams) -> dict[str, float]:
    """POT on stored samples."""
    source, target = streams.stored("source"), streams.stored("target")
    projections = clouds.directions(streams.channels).to(source)
    return {
        "gaussian_wasserstein": float(ot.gaussian.empirical_bures_wasserstein_distance(source, target, reg=0)),
        "sliced_wasserstein": float(ot.sliced_wasserstein_distance(source, target, projections=projections)),
        "channel_wasserstein": float(ot.wasserstein_1d(source, target, p=2).mean().sqrt()),
    }


def by_sqrtm(streams: Streams) -> dict[str, float]:
    """NumPy covariances of stored samples, and scipy's matrix roots."""
    source, target = (streams.stored(domain).cpu().numpy() for domain in ("source", "target"))
    first, second = np.cov(source.T, bias=True), np.cov(target.T, bias=True)
    root = scipy.linalg.sqrtm(first).real
    cross = np.trace(scipy.linalg.sqrtm(root @ second @ root).real)
    shift = np.square(source.mean(0, dtype=np.float64) - target.mean(0, dtype=np.float64)).sum()
    return {"gaussian_wasserstein": float(np.sqrt(shift + np.trace(first) + np.trace(second) - 2 * cross))}


def reference(streams: Streams) -> dict[str, float]:
    """In float64 on stored samples, by sorting and by POT's formula of Gaussians."""
    source, target = (streams.stored(domain).double().cpu() for domain in ("source", "target"))
    covariances = [torch.cov(each.T, correction=0) for each in (source, target)]
    means = [each.mean(0) for each in (source, target)]
    projections = clouds.directions(streams.channels)
    along = [by_sorting(source @ line, target @ line) for line in projections.T]
    channels = [by_sorting(source[:, channel], target[:, channel]) for channel in range(streams.channels)]
    return {
        "gaussian_wasserstein": float(ot.gaussian.bures_wasserstein_distance(*means, *covariances)),
        "sliced_wasserstein": float(np.sqrt(np.mean(along))),
        "channel_wasserstein": float(np.sqrt(np.mean(channels))),
    }


def by_sorting(source: Tensor, target: Tensor) -> float:
    """Squared 2-Wasserstein distance of as many numbers (n,) on either side."""
    return float((source.sort().values - target.sort().values).square().mean())


METHODS = {
    "bnadapt, all 11 measures": (sketched, lambda channels, samples: True),
    "POT, stored, 3 measures": (by_pot, lambda channels, samples: (channels + 64) * samples <= MOST_BY_POT),
    "scipy sqrtm, stored, 1 measure": (by_sqrtm, lambda channels, samples: channels * samples <= MOST_STORED),
}


def run_alone(name: str, channels: int, samples: int) -> tuple[float, float, dict[str, float]]:
    """Seconds, MiB added to the peak, and distances."""
    torch.manual_seed(0)
    streams = Streams(channels, samples)
    method, _ = METHODS[name]
    method(Streams(channels, CHUNK))
    before = peak()
    seconds, _, distances = clocked(lambda: method(streams))
    return seconds, peak() - before, distances


def against_peers(channels: int, samples: int) -> list[dict[str, str | int | float]]:
    """A row for every method."""
    storable = samples * channels <= MOST_STORED
    truth = in_process_of_its_own(run_reference, channels, samples) if storable else {}
    rows = []
    for name, (_, fits) in METHODS.items():
        if not fits(channels, samples):
            continue
        seconds, memory, distances = in_process_of_its_own(run_alone, name, channels, samples)
        errors = {
            measure: abs(distances[measure] / value - 1) for measure, value in truth.items() if measure in distances
        }
        rows.append(
            {
                "channels": channels,
                "samples": samples,
                "method": name,
                "seconds": seconds,
                "MiB": memory,
                **{f"error of {measure}": errors.get(measure) for measure in MEASURED},
            }
        )
    return rows


def run_reference(channels: int, samples: int) -> dict[str, float]:
    return reference(Streams(channels, samples))


def main(parts: list[str], most: float) -> None:
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= MACHINE
    if "sketching" in parts:
        results["sketching"] = [sketching(base_channels) for base_channels in (16, 64)]
        printed(f"{TILES} tiles of {SIDE} x {SIDE}, batches of {BATCH}", results["sketching"])
        save(RESULTS, results)
    if "comparing" in parts:
        results["comparing"] = []
        for base_channels, rounds in ((16, 2), (64, 1)):
            results["comparing"].append(comparing(base_channels, rounds))
            save(RESULTS, results)
        printed("All distances in three states", results["comparing"])
    if "peers" in parts:
        results["peers"] = []
        for channels, samples in product(CHANNELS, SAMPLES):
            if channels * samples <= most:
                rows = against_peers(channels, samples)
                printed(f"{channels} channels, {samples} samples of each domain", rows)
                results["peers"] += rows
                save(RESULTS, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["sketching", "comparing", "peers"], help="what to measure")
    parser.add_argument("--most", type=float, default=2e9, help="values of a domain; 1e10 takes half an hour more")
    asked = parser.parse_args()
    main(asked.parts, asked.most)
