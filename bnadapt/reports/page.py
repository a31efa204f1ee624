"""Write a page with its pictures into a folder."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import imageio.v3
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bnadapt.files import atomic_folder
from bnadapt.reports.document import Document


def write_page(
    page: Document,
    pictures: Iterable[tuple[str, np.ndarray]],
    folder: Path,
    texts: Mapping[str, str] | None = None,
    replaced: Sequence[str] = (),
) -> None:
    """Write pictures, texts, `index.html` and the same as `README.md`, all or nothing.

    Args:
        page: the page, which refers to the pictures by name.
        pictures: (H, W, 3) uint8 by file name.
        folder: created if missing; files of these names are replaced.
        texts: further files, by name.
        replaced: patterns of the names of an earlier page's pictures, to remove.
    """
    with atomic_folder(folder) as partial:
        for name, drawn in pictures:
            imageio.v3.imwrite(partial / name, drawn)
        for name, text in {**(texts or {}), "index.html": page.html(), "README.md": page.markdown()}.items():
            (partial / name).write_text(text, encoding="utf-8", newline="")
        written = {each.name for each in partial.iterdir()}
    for pattern in replaced:
        for left in folder.glob(pattern):
            if left.name not in written:
                left.unlink()


def rendered(figure: Figure) -> np.ndarray:
    """A figure as (H, W, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
