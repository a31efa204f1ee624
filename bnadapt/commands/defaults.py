"""Defaults behind the nulls of `--print_config`, as YAML comments, read from docstrings."""

import re
from collections.abc import Iterator, Mapping, Sequence

from bnadapt.commands.docstrings import documented, ours

TASK = "SegmentationTask"
OF_TRAINER = (
    ("trainer.precision", "`fit` takes bf16-mixed or 32-true, whichever trains faster on this machine, measured at its"
     " start; `predict` bf16-mixed where that is faster and changes almost no pixel; commands that estimate statistics"
     " (adapt, finetune, preview, propose, recommend) where the machine computes in bfloat16; others 32-true"),
    ("trainer.max_steps", "`fit` takes 2000 steps, or stops when the IoU on the source's validation block has not risen"
     " for 20 epochs, if neither steps, epochs nor time are given"),
)  # fmt: skip


def defaults_in_force(arguments: Sequence[str]) -> str:
    """Comments on the defaults of options; `arguments` may name a task by `--model`."""
    of_data = _clauses("data", documented(ours("data/datamodule.py"), "DomainPair"))
    lines = [f"#   {name}: {text}" for name, text in (*_of_task(arguments), *of_data, *OF_TRAINER)]
    return "\n".join(["# Where a value below is null, or a length is not set:", *lines])


def _of_task(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Defaults of the named task, if it is one of bnadapt."""
    option = re.search(r"--model(?:\.class_path)?[= ](\S+)", " ".join(arguments))
    task = option[1].rpartition(".")[2] if option else TASK
    for path in ours("tasks").glob("*.py"):
        if f"class {task}(" in path.read_text(encoding="utf-8"):
            yield from _clauses("model", documented(path, task))


def _clauses(prefix: str, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The clause about the default of every option that has one."""
    for name, text in texts.items():
        clauses = [each for each in re.split(r"(?<=[.;])\s+", text) if "by default" in each.lower()]
        if clauses:
            yield f"{prefix}.{name}", " ".join(clauses).strip(".;")
