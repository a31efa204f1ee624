"""Gains from a few labelled tiles in known pairs of data sets, beyond adaptation without labels."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

STORED = Path(__file__).with_name("labelled_tiles.json")


@dataclass(frozen=True)
class LabelledTileGains:
    """Gains of `bnadapt finetune`, as measured by the study `labels`.

    Attributes:
        pairs: number of pairs of source and target.
        gains: foreground IoU minus that of the adapted network, mean over pairs, by number of labelled tiles.
    """

    pairs: int
    gains: Mapping[str, float]

    @classmethod
    @cache
    def load(cls) -> "LabelledTileGains":
        """The gains shipped with bnadapt."""
        return cls(**json.loads(STORED.read_text(encoding="utf-8")))

    def save(self, path: Path = STORED) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def sentence(self) -> str:
        """The gains in a sentence."""
        numbers = list(self.gains)
        gave = ", ".join(f"{gain:+.2f} from {number}" for number, gain in self.gains.items())
        tiles = "tile" if numbers[-1] == "1" else "tiles"
        return (
            f"In {self.pairs} known pairs, bnadapt finetune changed the IoU of the adapted network on average by {gave}"
            f" labelled {tiles}."
        )
