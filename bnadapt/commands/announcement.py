"""The line that a command prints before anything heavy is imported: what it will do, with which inputs."""

import os
from collections.abc import Sequence

from bnadapt.commands.command_line import single_values
from bnadapt.text import visible

SENTENCES = {
    "fit": "training a network on {source}",
    "adapt": "adapting {ckpt_path} to {target}",
    "recommend": "examining tiles of {target}, to recommend how to adapt {ckpt_path}",
    "preview": "showing regions of {target} under every candidate for {ckpt_path}",
    "propose": "choosing tiles of {target} to label for {ckpt_path}",
    "finetune": "learning from labelled tiles of {target}, from {ckpt_path} on",
    "test": "scoring {ckpt_path} on the test blocks",
    "validate": "scoring {ckpt_path} on {source}",
    "predict": "segmenting {target} with {ckpt_path}",
    "distances": "measuring how far {source} and {target} lie apart in {ckpt_path}",
    "source_summary": "summarising {source} for {ckpt_path}",
    "export": "exporting {ckpt_path}",
    "objects": "measuring the objects in {mask}",
    "average": "averaging {masks}",
}


def announce(command: str, arguments: Sequence[str]) -> None:
    """Print what a command will do; silent in all but the first of several processes."""
    if (
        command not in SENTENCES
        or any(each.startswith("--print_config") for each in arguments)
        or os.environ.get("LOCAL_RANK", "0") != "0"
    ):
        return
    values = single_values(arguments)
    output = f"; output: {values['output']}" if "output" in values else ""
    print(visible(f"bnadapt {command}: {SENTENCES[command].format_map(_InputNames(values))}{output}."), flush=True)


class _InputNames(dict):
    """Values of options for sentences; a domain is named by its images, or else its class."""

    def __missing__(self, name: str) -> str:
        domain = f"data.{name}"
        return self.get(f"{domain}.images") or self.get(domain) or f"the {name.partition('_')[0]} of the config"
