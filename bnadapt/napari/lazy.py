"""Volumes that napari reads section by section."""

from typing import Any

import numpy as np

from bnadapt.data.readers import Sections, open_stack

IN_MEMORY = 2**28  # bytes up to which a volume is read at once


class LazySections:
    """The sections of a volume as an array (sections, H, W) or (sections, H, W, C), for dask."""

    def __init__(self, sections: Sections, dtype: np.dtype) -> None:
        self.sections = sections
        self.shape = tuple(sections.shape)
        self.dtype = dtype
        self.ndim = len(self.shape)

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        first, *rest = key
        pixels = np.stack([self.sections[index] for index in range(len(self.sections))[first]])
        return pixels[(slice(None), *rest)]


def pixels_of(sections: Sections, first: np.ndarray) -> Any:
    """All sections: in memory if they are few, else as an array that reads on demand; `first` is the first section."""
    if first.nbytes * len(sections) <= IN_MEMORY:
        return np.stack([first, *(sections[index] for index in range(1, len(sections)))])
    return _array(sections, first)


def levels_of(sections: Sections, first: np.ndarray) -> Any:
    """The same; for large OME-Zarr with levels a list of arrays, the finest first."""
    levels = list(sections.opened.levels)
    if len(levels) < 2 or first.nbytes * len(sections) <= IN_MEMORY:
        return pixels_of(sections, first)
    group = sections.opened.key.removesuffix(levels[0])
    path = sections.context.removesuffix(f":{sections.opened.key}")
    coarser = [open_stack(path, f"{group}{level}") for level in levels[1:]]
    return [_array(sections, first), *(_array(each, first) for each in coarser)]


def _array(sections: Sections, first: np.ndarray) -> Any:
    import dask.array

    source = LazySections(sections, first.dtype)
    return dask.array.from_array(source, chunks=(1, *source.shape[1:]), meta=np.empty((0,) * source.ndim, first.dtype))
