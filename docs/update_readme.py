"""Put results of studies, runs on real images and benchmarks into README.md, docs and benchmarks: `make readme`."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from bnadapt.commands.study import study_class
from bnadapt.commands.study_config import read_config
from bnadapt.experiments.case import RunLocation
from bnadapt.experiments.tables import Tables
from bnadapt.gain.candidates import ADAPTED, CORRECTED, DEFAULT, NONE
from bnadapt.gain.labelled_tiles import LabelledTileGains
from bnadapt.labels import FineTuning
from bnadapt.labels.self_training import SELF_TRAINED
from bnadapt.studies.candidates.findings import TITLES
from bnadapt.studies.labels.case import RANDOM, SCRATCH, STATISTICS
from bnadapt.studies.verdict.fitting import NATURAL, self_trained_cases
from bnadapt.studies.verdict.scores import WORSE, choices, of_natural_pairs, wide

ROOT = Path(__file__).parents[1]
STUDIES = ROOT / "docs" / "studies"
RUNS = ROOT / "lightning_logs"
RESULTS = ROOT / "benchmarks" / "results"
TABLES = ROOT / "benchmarks" / "README.md"
PICTURED = "mitochondria, zscore: lucchi -> vnc"
CAPTION = (
    "Mitochondria in fly nerve cord (vnc), segmented by a network that was trained on mouse brain (lucchi). Left to"
    " right: the image, the labels, the prediction without and with adaptation, and the pixels that adaptation changes."
    " {} over all test images (IoU: overlap with the labels; 1 is perfect)."
)
COMPARED = {"none": "not adapted", DEFAULT: "default", ADAPTED: "all layers"}
"""Candidates that README.md compares, with its headings."""
LEARNT = {DEFAULT: "default, self-trained", ADAPTED: "all layers, self-trained"}
"""Starts of self-training that README.md compares, with its headings."""
TRAINED = "trained on the target"
EARLIER = "earlier default"
"""All layers, corrected for estimated class proportions where the estimate was sure; the default of `adapt` once."""
STEPS = ("training step", "forward pass")
STRATEGIES = {"never": "no adaptation", "all_layers": "all layers", "default": "default", "choice": "recommended"}
"""Columns of choices that docs/verdict.md compares on unusual targets, with its headings."""
QUALITY = {"iou_unadapted": "not adapted", "iou_adapted": "adapted", "iou_target_trained": "trained on the target"}
"""Scores that docs/which.md compares, with its headings."""


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
        if "policies" in results:
            parts.append(f"### If some layers adapt ({device})\n\n{table(results['policies'])}")
        if "peak memory" in results:
            parts.append(f"### Memory added to the peak ({device})\n\n{table(results['peak memory'])}")
    replace(TABLES, "batchnorm", "\n".join(parts))


def update_distances(pages: Path) -> None:
    """The tables of the benchmark of distances, and links to the pages of latent distances."""
    parts = []
    titles = {
        "sketching": "Sketching all latent spaces of the default U-Net, compared with a plain forward pass ({}):",
        "comparing": "All distances in three states with standard errors, by LAPACK and by torch ({}):",
        "peers": "Two domains with this number of samples each ({}); errors are relative to float64:",
    }
    for device, results in benchmarked("distances"):
        for name in filter(results.__contains__, titles):
            parts += [titles[name].format(device) + "\n", table(results[name])]
    replace(TABLES, "distances-benchmark", "\n".join(parts))
    kept = [keep(page, "distances", page.parent.name) for page in sorted(pages.glob("*/adapted-distances"))]
    if kept:
        links = [f"- [{page.name.replace('-', ' ')}](distances/{page.name}/README.md)\n" for page in kept]
        replace(ROOT / "docs" / "distances.md", "distances-pages", "".join(links))


def update_training_step() -> None:
    """The table of the benchmark of training steps."""
    rows = json.loads((RESULTS / "training_step.json").read_text(encoding="utf-8"))
    lines = [
        {
            "memory format, precision": each["contestant"],
            "device": f"{each['device']}, {each['threads']} threads",
            **{f"{part} [s]": each[part]["seconds"] for part in STEPS},
            **{f"{part}, ratio": each[part]["ratio"] for part in STEPS},
        }
        for each in rows
    ]
    replace(TABLES, "training-step", table(lines))


def update_precision() -> None:
    """The tables of the benchmark of statistics in bfloat16."""
    parts = [f"On {device}:\n\n{table(results['rows'])}" for device, results in benchmarked("precision")]
    replace(TABLES, "precision", "\n".join(parts))


def update_volumes() -> None:
    """The tables of the benchmarks of volumes."""
    titles = {
        "predict": "`predict` and raw float32 passes of the same tiles, in turn, on sections of 1024 x 1024 (16"
        " channels) and 384 x 384 pixels (64 channels); MONAI's windows of 512 overlap by a quarter",
        "throughput": "Seconds for a section of 1024 x 1024, compared with raw forward passes of the same tiles in"
        " memory",
        "memory": "Adapting to volumes of several sizes, and segmenting twelve sections spread over each",
        "whole": "Segmenting whole volumes, with a U-Net of 2 channels",
        "peers": "The same network on the same sections in memory. Seam error: largest difference in probability from"
        " the network on the whole section; the last column excludes the border, which the other methods pad",
        "planes": "IoU of membranes in flyem (FIB-SEM, 250 x 250 x 250 voxels of 10 nm), segmented by networks trained"
        " on vnc, by plane; mean and standard deviation over seeds",
        "survival": "Interrupted and resumed runs of one thread, compared byte for byte with an uninterrupted one",
    }
    parts = [
        f"{titles[name]} ({device}):\n\n{table(results[name])}"
        for benchmark in ("predict", "volume", "planes", "survival")
        for device, results in benchmarked(benchmark)
        for name in titles
        if name in results
    ]
    replace(ROOT / "docs" / "volumes.md", "volume-benchmark", "\n".join(parts))


def update_studies(studies: Path) -> None:
    """Pages and tables of finished studies, everything that the documents say of them, and what a grid takes."""
    parts = [f"On {device}:\n\n{table(results['grid'])}" for device, results in benchmarked("grid")]
    replace(STUDIES / "README.md", "grid-benchmark", "\n".join(parts))
    for path in sorted(studies.glob("*/table.parquet")):
        keep(path.parent, "studies", path.parent.name)
    for (page, mark), content in said_of_studies().items():
        replace(page, mark, content)
    labelled_tile_gains(STUDIES).save()


def said_of_studies() -> dict[tuple[Path, str], str]:
    """What is made of the studies in docs/studies, by page and mark."""
    docs = ROOT / "docs"
    pages = re.findall(r"<!-- /(.*) -->", (STUDIES / "README.md").read_text(encoding="utf-8"))
    picture = partial(front_picture, STUDIES / "pairs")
    return {
        **{(STUDIES / "README.md", name): findings_of(STUDIES / name) for name in pages if (STUDIES / name).is_dir()},
        (STUDIES / "README.md", "by-pair"): by_pair(STUDIES),
        (ROOT / "README.md", "defaults"): natural_pairs(STUDIES),
        (ROOT / "README.md", "picture"): picture("docs/studies"),
        (docs / "index.md", "picture"): picture("studies"),
        (docs / "which.md", "quality"): expected_quality(STUDIES / "pairs"),
        (docs / "labels.md", "gains"): labelled_tiles(STUDIES),
        (docs / "labels.md", "draws"): draws_of_tiles(STUDIES / "labels-draws"),
        (docs / "labels.md", "learn"): learnt_from_tiles(STUDIES / "labels-learn"),
        (docs / "labels.md", "self-training"): self_trained(STUDIES / "self-training"),
        (docs / "verdict.md", "strategies"): strategies(STUDIES / "verdict"),
        (docs / "verdict.md", "certainty"): certainty(STUDIES / "verdict"),
        (docs / "verdict.md", "unusual"): unusual_targets(STUDIES / "verdict"),
    }


def front_picture(study: Path, folder: str) -> str:
    """The picture of README.md and of the site, of a pair, with its caption."""
    caption, picture = captioned(study, PICTURED)
    scores = f"IoU {caption.partition(', IoU ')[2]}"
    return f"![{scores}]({folder}/{study.name}/{picture})\n\n*{CAPTION.format(scores)}*\n"


def redraw_pairs(networks: Path) -> None:
    """Pictures of the pairs whose networks are at hand, drawn anew."""
    page = ROOT / "docs" / "studies" / "pairs"
    study, _ = read_config(page, study_class)
    location = RunLocation(networks, page / "pictures", page, torch.device("cpu"))
    for case in study.cases():
        if case.picture_in(location.pictures).exists() and case.network.path(networks).exists():
            case.draw_picture(location)


def by_pair(studies: Path) -> str:
    """IoU by pair of data sets, mean and standard deviation over seeds, by the earlier default and by this one."""
    scores = _of_pairs(studies)
    lines = []
    for (task, source, target), each in scores.groupby(["task", "source", "target"], sort=False):
        cells = {name: f"{each[name].mean():.3f} ± {each[name].std():.3f}" for name in each}
        lines.append({"task": task, "source": source, "target": target, **cells})
    return table([*lines, {"task": "all", "source": "", "target": "", **_over_seeds(scores)}])


def natural_pairs(studies: Path) -> str:
    """Mean IoU by task on pairs of data sets: of candidates, after self-training, and of networks of the target."""
    scores, case = _of_pairs(studies).drop(columns=EARLIER), ["task", "source", "target"]
    groups = [*scores.groupby("task", sort=False), ("all", scores)]
    lines = [
        {"task": name, "pairs": len(each) // each.index.get_level_values("seed").nunique(), **_over_seeds(each)}
        for name, each in groups
    ]
    losses = scores.sub(scores[COMPARED["none"]], axis=0).groupby(case).mean().min()
    worst = {name: "" if name == TRAINED else f"{loss:+.2f}" for name, loss in losses.items()}
    return table([*lines, {"task": "largest loss of a pair", "pairs": "", **worst}])


def _of_pairs(studies: Path) -> pd.DataFrame:
    """IoU by natural pair and seed (rows) of what README.md compares, and of the earlier default (columns)."""
    rows = pd.read_parquet(studies / "candidates" / "table.parquet")
    learnt = pd.read_parquet(studies / "self-training" / "table.parquet").query("method == 'self-training'")
    case = ["task", "source", "target", "seed"]
    pairs = rows[rows["family"] == NATURAL].pivot_table("iou", case, "candidate")
    own = rows[(rows["family"] == "own") & (rows["candidate"] == NONE)].set_index(["task", "source", "seed"])["iou"]
    scores = pairs[list(COMPARED)].rename(columns=COMPARED)
    scores.insert(1, EARLIER, pairs[CORRECTED].fillna(pairs[ADAPTED]))
    scores = scores.join(learnt.pivot_table("iou", case, "start").rename(columns=LEARNT))
    scores[TRAINED] = own.reindex(scores.reset_index().set_index(["task", "target", "seed"]).index).to_numpy()
    return scores


def expected_quality(study: Path) -> str:
    """By task, IoU with and without adaptation and of networks trained on the target, and the most typical pair."""
    rows = pd.read_parquet(study / "table.parquet")
    pairs = rows[rows["source"] != rows["target"]].groupby(["task", "source", "target"], sort=False)
    means = pairs[list(QUALITY)].mean().reset_index()
    lines, pictures = [], []
    for task, each in means.groupby("task", sort=False):
        lines.append(
            {"task": task, "pairs": len(each), **{title: _range(each[name]) for name, title in QUALITY.items()}}
        )
        typical = each.loc[(each["iou_adapted"] - each["iou_adapted"].mean()).abs().idxmin()]
        pictures.append(_picture(study, f"{task}, zscore: {typical['source']} -> {typical['target']}"))
    return "\n".join([table(lines), "For each task, the pair whose adapted IoU is closest to the mean:\n", *pictures])


def _range(scores: pd.Series) -> str:
    return f"{scores.mean():.2f} ({scores.min():.2f} to {scores.max():.2f})"


def _picture(study: Path, caption: str) -> str:
    """A picture of a study's page, with its caption, for pages in docs/."""
    caption, picture = captioned(study, caption)
    return f"{caption}\n\n![{caption}](studies/{study.name}/{picture})\n"


def _over_seeds(scores: pd.DataFrame) -> dict[str, str]:
    """Mean, and standard deviation over seeds of that mean, by column."""
    means = scores.groupby(level="seed").mean()
    return {name: f"{means[name].mean():.3f} ± {means[name].std():.3f}" for name in means}


def labelled_tile_gains(studies: Path) -> LabelledTileGains:
    """What `recommend` says of labelled tiles: gains by the defaults of `finetune`, over the pairs of all tasks."""
    names = ("labels", "labels-other-tasks")
    rows = pd.concat([pd.read_parquet(studies / name / "table.parquet") for name in names])
    drawn = rows[(rows["choice"] == RANDOM) & rows["learn"].isin([FineTuning().learn, STATISTICS])]
    means = drawn[drawn["start"] == ADAPTED].pivot_table("iou", ["tiles", "learn"], ["task", "source", "target"])
    everywhere = means.dropna()
    numbers = [number for number in everywhere.index.unique("tiles") if number > 0]
    learnt = {str(number): everywhere.loc[(number, FineTuning().learn)] for number in numbers}
    before = everywhere.loc[(0, STATISTICS)]
    gains = {number: round(float((iou - before).mean()), 3) for number, iou in learnt.items()}
    return LabelledTileGains(len(before), gains)


def labelled_tiles(studies: Path) -> str:
    """IoU by pair of the default of `finetune` over labelled tiles, and means of other starts."""
    rows = pd.read_parquet(studies / "labels" / "table.parquet").query("choice == @RANDOM")
    rows = rows[rows["learn"].isin([FineTuning().learn, STATISTICS])]
    numbers = sorted(number for number in rows["tiles"].unique() if number > 0)
    heads = {number: f"{number} tile{'s' if number > 1 else ''}" for number in numbers}
    pairs = rows.pivot_table("iou", ["source", "target"], ["start", "tiles"])
    lines = [
        {
            "": f"{source} to {target}",
            "not adapted": scores[(NONE, 0)],
            "adapted": scores[(ADAPTED, 0)],
            "self-trained": scores[(SELF_TRAINED, 0)],
            **{heads[number]: scores[(ADAPTED, number)] for number in numbers},
        }
        for (source, target), scores in pairs.drop("scratch", errors="ignore").iterrows()
    ]
    lines.append({head: pd.DataFrame(lines)[head].mean() if head else "mean" for head in lines[0]})
    for start in (SELF_TRAINED, NONE, SCRATCH):
        means = pairs[start].mean()
        lines.append(
            {**dict.fromkeys(lines[0], ""), "": f"mean, from {start}", **{heads[n]: means[n] for n in numbers}}
        )
    return table(
        [{head: f"{cell:.3f}" if isinstance(cell, float) else cell for head, cell in each.items()} for each in lines]
    )


def _gains_of_tiles(study: Path) -> pd.DataFrame:
    """IoU after learning minus that of the adapted network (`gain`), by what is learnt, tiles, pair and draw."""
    rows = pd.read_parquet(study / "table.parquet").query("start == @ADAPTED and choice == @RANDOM")
    pair = ["task", "source", "target"]
    before = rows[rows["learn"] == STATISTICS].set_index(pair)["iou"]
    learnt = rows[rows["learn"] != STATISTICS]
    gains = learnt["iou"].to_numpy() - before.reindex(pd.MultiIndex.from_frame(learnt[pair])).to_numpy()
    number = learnt["tiles"].map(lambda count: "all" if count < 0 else str(count))
    return learnt.assign(pair=learnt[pair].agg(" ".join, axis=1), gain=gains, number=number)


def learnt_from_tiles(study: Path) -> str:
    """Mean gain over pairs of all that can be learnt, by number of tiles."""
    gains = _gains_of_tiles(study).pivot_table("gain", "learn", "number", sort=False)
    rows = [
        {"--learn": name, **{_tiles(number): f"{gain:+.3f}" for number, gain in each.items()}}
        for name, each in gains.iterrows()
    ]
    return table(rows)


def draws_of_tiles(study: Path) -> str:
    """Gain of the default over pairs and draws of the tiles, by number of tiles."""
    lines = []
    for number, each in _gains_of_tiles(study).groupby("number", sort=False):
        by_pair = each.groupby("pair")["gain"]
        lines.append(
            {
                "learnt from": _tiles(number),
                "mean gain": f"{each['gain'].mean():+.3f}",
                "standard deviation over draws": "-" if number == "all" else f"{by_pair.std().mean():.3f}",
                "worst pair, mean of its draws": f"{by_pair.mean().min():+.3f}",
                "worst draw": f"{each['gain'].min():+.3f}",
            }
        )
    return table(lines)


def _tiles(number: str) -> str:
    return f"{number} tile{'' if number == '1' else 's'}"


def self_trained(study: Path) -> str:
    """Mean IoU by task of adapting all layers, TENT and self-training, and the range of their gains over cases."""
    rows = pd.read_parquet(study / "table.parquet").query("start == @ADAPTED")
    scores = rows.pivot_table("iou", ["task", "source", "target", "seed"], "method")
    scores = scores.rename(columns={STATISTICS: "adapted, all layers"})
    scores = scores[["adapted, all layers", *scores.columns.drop("adapted, all layers")]]
    tasks = [*scores.groupby("task"), ("all", scores)]
    lines = [
        {"task": task, "pairs": each.groupby(["task", "source", "target"]).ngroups}
        | {name: f"{mean:.3f}" for name, mean in each.mean().items()}
        for task, each in tasks
    ]
    gains = scores.sub(scores["adapted, all layers"], axis=0).drop(columns="adapted, all layers")
    seeds = gains.groupby("seed").mean()
    said = {"gain by seed": lambda name: ", ".join(f"{each:+.3f}" for each in seeds[name])}
    said |= {"gain of a case": lambda name: f"{gains[name].min():+.3f} to {gains[name].max():+.3f}"}
    lines += [{"task": title} | {name: of(name) for name in gains} for title, of in said.items()]
    return table([{head: each.get(head, "") for head in lines[0]} for each in lines])


def strategies(study: Path) -> str:
    """Mean IoU of natural pairs, the worst change, and how many cases lose, by what is done."""
    rows, predicted = _predictions(study)
    picked = choices(predicted, rows)
    scores = wide(rows[rows["record"].isin(picked.index)], "iou").loc[picked.index]
    learnt = self_trained_cases(predicted).set_index("record")["self_trained"].reindex(picked.index)
    followed = learnt.where(picked["advised"] & learnt.notna(), picked["choice"])
    compared = {
        "no adaptation": scores[NONE],
        "all layers": scores[ADAPTED],
        "layers at full resolution": scores["full-resolution"],
        "the same, half of the source's statistics kept (default of `adapt`)": scores[DEFAULT],
        "the recommended candidate": picked["choice"],
        "the best candidate of each case (oracle)": picked["oracle"],
        "all layers and self-training, always": learnt,
        "the recommended candidate, or self-training where that is advised": followed,
    }
    changes = {name: iou - scores[NONE] for name, iou in compared.items()}
    return table(
        [
            {
                "strategy": name,
                "mean IoU": f"{iou.mean():.3f}",
                "worst change": f"{changes[name].min():+.3f}",
                f"cases of {len(picked)} worse by {WORSE:g}": str((changes[name] < -WORSE).sum()),
            }
            for name, iou in compared.items()
        ]
    )


def certainty(study: Path) -> str:
    """How often the recommendation decides on natural pairs, and is right, by task."""
    rows, predicted = _predictions(study)
    tasks = [None, *rows.loc[rows["family"] == NATURAL, "task"].unique()]
    lines = [(task or "all", of_natural_pairs(predicted, rows, task)) for task in tasks]
    return table(
        [
            {
                "task": name,
                "cases": each["records"],
                "decided": f"{each['decided']:.0%}",
                "right where decided": f"{each['right']:.0%}" if each["right"] == each["right"] else "-",
                "rank correlation of predicted and true gains": f"{each['rank_correlation']:.2f}",
                "self-training advised": f"{each['advised']:.0%}",
                "better than none where advised": f"{each['helped']:.0%}",
            }
            for name, each in lines
        ]
    )


def unusual_targets(study: Path) -> str:
    """IoU on targets other than natural pairs, and how many images are taken for inverted, by family of targets."""
    rows, predicted = _predictions(study)
    families = {title: choices(predicted, rows, name) for name, title in TITLES.items() if name in set(rows["family"])}
    return table(
        [
            {
                "targets": title,
                "cases": len(picked),
                **{heading: f"{picked[name].mean():.3f}" for name, heading in STRATEGIES.items()},
                f"worse by {WORSE:g}": int((picked["choice"] - picked["never"] < -WORSE).sum()),
                "inverted by itself": int(picked["inverted"].sum()),
                "left to you": int(picked["suspected"].sum()),
            }
            for title, picked in families.items()
        ]
    )


def _predictions(study: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the first scheme of the study of recommendations, and those with a predicted gain."""
    rows = pd.read_parquet(study / "table.parquet")
    rows = rows[rows["scheme"] == rows["scheme"].iloc[0]]
    return rows, rows[rows["predicted"].notna()]


def keep(page: Path, kind: str, name: str) -> Path:
    """A copy of the folder of a page in docs/, without what is large or can be made from the rest."""
    kept = ROOT / "docs" / kind / name
    shutil.rmtree(kept, ignore_errors=True)
    left_out = shutil.ignore_patterns("index.html", "distances.parquet", "records", "tensorboard")
    shutil.copytree(page, kept, ignore=left_out)
    return kept


def findings_of(folder: Path) -> str:
    """Title of a study, as a link to its page in docs/studies, and what it found."""
    study, _ = read_config(folder, study_class)
    title = f"**[{study.title}](./{folder.name}/README.md)**\n"
    return "\n".join([title, *(f"- {each}" for each in study.findings(Tables.read(folder))), ""])


def captioned(folder: Path, start: str) -> tuple[str, str]:
    """Caption of a study's picture, by how it starts, and the path of the picture within the folder."""
    study, _ = read_config(folder, study_class)
    captions = study.pictures(Tables.read(folder))
    record = next(record for record, caption in captions.items() if caption.startswith(f"{start},"))
    return captions[record], f"pictures/{record}.png"


def benchmarked(name: str) -> list[tuple[str, dict]]:
    """Results of a benchmark by device."""
    read = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob(f"{name}-*.json"))]
    machines = [each.get("machine", each) for each in read]
    named = [f"{each['device']}, {each['processor']}, torch {each['torch']}" for each in machines]
    return list(zip(named, read, strict=True))


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
    update_training_step()
    update_precision()
    update_volumes()
    update_distances(RUNS / "distances-em")
    redraw_pairs(RUNS / "studies" / "networks")
    update_studies(RUNS / "studies")
