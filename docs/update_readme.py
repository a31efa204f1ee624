"""Put results of studies, runs on real images and benchmarks into README.md, docs and benchmarks: `make readme`."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bnadapt.gain.candidates import ADAPTED
from bnadapt.gain.labelled_tiles import LabelledTileGains
from bnadapt.labels import FineTuning
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.studies.labels.case import RANDOM, STATISTICS

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "lightning_logs"
RESULTS = ROOT / "benchmarks" / "results"
TABLES = ROOT / "benchmarks" / "README.md"
PICTURED = "mitochondria, zscore: lucchi -> vnc"
COMPARED = {"none": "not adapted", "full-resolution": "default", "adapted": "all layers", "mixed": "half of the source"}
"""Candidates that README.md compares, with its headings."""


def replace(page: Path, mark: str, content: str) -> None:
    """Put content between `<!-- mark -->` and `<!-- /mark -->`."""
    marked = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    text = page.read_text(encoding="utf-8")
    page.write_text(marked.sub(lambda marks: f"{marks[1]}{content}{marks[2]}", text), encoding="utf-8")


def update_batchnorm() -> None:
    """The tables of the BatchNorm benchmark, of every device that it has run on."""
    parts = []
    for device, results in benchmarked("batchnorm"):
        for case, tables in results["cases"].items():
            parts += [f"### {case} ({device})\n", *(f"{title}:\n\n{table(rows)}" for title, rows in tables.items())]
        parts.append(f"### Memory added to the peak ({device})\n\n{table(results['peak memory'])}")
    replace(TABLES, "batchnorm", "\n".join(parts))


def update_distances(pages: Path) -> None:
    """The tables of the benchmark of distances, and pages of latent distances with what they found."""
    parts = []
    for device, results in benchmarked("distances"):
        parts += [
            f"Sketching all latent spaces of the default U-Net, beside a plain forward pass ({device}):\n",
            table(results["sketching"]),
            f"Two domains of as many samples each ({device}); errors are relative, against float64:\n",
            table(results["peers"]),
        ]
    replace(TABLES, "distances-benchmark", "\n".join(parts))
    found = [
        said_on(keep(page, "distances", page.parent.name), "distances")
        for page in sorted(pages.glob("*/adapted-distances"))
    ]
    if found:
        replace(ROOT / "docs" / "distances.md", "distances-pages", "\n".join(found))


def update_volumes() -> None:
    """The tables of the benchmarks of volumes."""
    titles = {
        "throughput": "Seconds for a section of 1024 x 1024, beside raw forward passes of the same tiles in memory",
        "memory": "Twelve sections spread over volumes of several sizes, and adaptation to these",
        "peers": "The same network on the same sections in memory; the seam error is the largest difference of a"
        " probability from that of the network on the whole section, then the same without its border, which peers"
        " pad",
        "planes": "IoU of membranes of flyem (FIB-SEM, 250 x 250 x 250 voxels of 10 nm) by networks of vnc, by the"
        " planes in which they have seen the volume; mean, and standard deviation over seeds",
        "survival": "Runs of one thread that were cut off and went on, compared byte for byte with one that was not",
    }
    parts = [
        f"{titles[name]} ({device}):\n\n{table(results[name])}"
        for benchmark in ("volume", "planes", "survival")
        for device, results in benchmarked(benchmark)
        for name in titles
        if name in results
    ]
    replace(ROOT / "docs" / "volumes.md", "volume-benchmark", "\n".join(parts))


def update_studies(studies: Path) -> None:
    """Pages and tables of finished studies, what they found, and how long the targets of a grid take."""
    page = ROOT / "docs" / "studies" / "README.md"
    parts = [f"On {device}:\n\n{table(results['grid'])}" for device, results in benchmarked("grid")]
    replace(page, "grid-benchmark", "\n".join(parts))
    for path in sorted(studies.glob("*/table.parquet")):
        kept = keep(path.parent, "studies", path.parent.name)
        replace(page, kept.name, said_on(kept, "."))
    update_front(ROOT / "docs" / "studies")
    labelled_tile_gains(pd.read_parquet(ROOT / "docs" / "studies" / "labels" / "table.parquet")).save()


def update_front(studies: Path) -> None:
    """README.md's picture, and its table of what the candidates give on natural pairs."""
    replace(ROOT / "README.md", "defaults", natural_pairs(pd.read_parquet(studies / "candidates" / "table.parquet")))
    page = (studies / "pairs" / "README.md").read_text(encoding="utf-8")
    caption, picture = re.search(rf"^({PICTURED}.*)\n\n!\[.*\]\((.*)\)$", page, re.MULTILINE).groups()
    replace(ROOT / "README.md", "picture", f"![{caption}](docs/studies/pairs/{picture})\n")


def natural_pairs(rows: pd.DataFrame) -> str:
    """Mean IoU by task of the candidates of interest on pairs of data sets, and of networks trained on the target."""
    pairs = rows[rows["family"] == "pair"].pivot_table("iou", ["task", "source", "target", "seed"], "candidate")
    own = rows[(rows["family"] == "own") & (rows["candidate"] == "none")]
    trained = own.set_index(["task", "source", "seed"])["iou"]
    scores = pairs[list(COMPARED)].rename(columns=COMPARED).reset_index()
    keys = pd.MultiIndex.from_frame(scores[["task", "target", "seed"]])
    scores["trained on the target"] = trained.reindex(keys).to_numpy()
    groups = [*scores.groupby("task", sort=False), ("all", scores)]
    lines = [{"task": name, "pairs": len(each) // each["seed"].nunique(), **_over_seeds(each)} for name, each in groups]
    losses = pairs.sub(pairs["none"], axis=0).groupby(["task", "source", "target"]).mean().min()
    worst = {title: f"{losses[name]:+.2f}" for name, title in COMPARED.items()}
    lines.append({"task": "largest loss of a pair", "pairs": "", **worst, "trained on the target": ""})
    return table(lines)


def _over_seeds(scores: pd.DataFrame) -> dict[str, str]:
    """Mean, and standard deviation over seeds of that mean, by column."""
    means = scores.groupby("seed")[[*COMPARED.values(), "trained on the target"]].mean()
    return {name: f"{means[name].mean():.3f} ± {means[name].std():.3f}" for name in means}


def labelled_tile_gains(rows: pd.DataFrame) -> LabelledTileGains:
    """What `recommend` says of labelled tiles: gains by the defaults of `finetune`, from the table of `labels`."""
    drawn = rows[rows["choice"] == RANDOM]
    means = drawn.pivot_table("iou", ["start", "tiles", "learn"], ["task", "source", "target"])
    numbers = [number for number in means.loc[SELF_TRAINED].index.unique("tiles") if number > 0]
    learnt = {str(number): means.loc[(SELF_TRAINED, number, FineTuning().learnt_from(number))] for number in numbers}
    before = means.loc[(ADAPTED, 0, STATISTICS)]
    gains = {number: round(float((iou - before).mean()), 3) for number, iou in learnt.items()}
    return LabelledTileGains(len(before), gains)


def keep(page: Path, kind: str, name: str) -> Path:
    """A copy of the folder of a page in docs/, without what is large or can be made from the rest."""
    kept = ROOT / "docs" / kind / name
    shutil.rmtree(kept, ignore_errors=True)
    left_out = shutil.ignore_patterns("index.html", "distances.parquet", "records", "tensorboard")
    shutil.copytree(page, kept, ignore=left_out)
    return kept


def said_on(page: Path, folder: str) -> str:
    """Title of a page, as a link by way of a folder, its answer and its bullets."""
    lines = (page / "README.md").read_text(encoding="utf-8").splitlines()
    title, *said = [line.strip("*") for line in lines if line[:2] in ("# ", "- ", "**")]
    listed = [line if line.startswith("- ") else f"- {line}" for line in said]
    return "\n".join([f"**[{title[2:]}]({folder}/{page.name}/README.md)**\n", *listed, ""])


def benchmarked(name: str) -> list[tuple[str, dict]]:
    """Results of a benchmark by device."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(f"{name}-*.json"))]
    return [(f"{each['device']}, {each['processor']}, torch {each['torch']}", each) for each in read]


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as Markdown, numbers with three digits at least."""
    cells = [[head.replace("|", "\\|") for head in rows[0]], ["---"] * len(rows[0])]
    cells += [[written(value) for value in row.values()] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


def written(value: object) -> str:
    """A cell."""
    if value is None:
        return "-"
    if isinstance(value, float) and abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    update_batchnorm()
    update_volumes()
    update_distances(RUNS / "distances-em")
    update_studies(RUNS / "studies")
