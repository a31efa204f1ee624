"""The argument parser, whose refusals are one sentence."""

from typing import Any, NoReturn

from lightning.pytorch.cli import LightningArgumentParser


class BnadaptParser(LightningArgumentParser):
    """LightningArgumentParser."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        super().error(message, ex)
