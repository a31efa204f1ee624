"""Outputs of `bnadapt predict` as layers for a viewer."""

from pathlib import Path
from typing import Any

import zarr

from bnadapt.data.readers import open_masks
from bnadapt.data.writers import KINDS
from bnadapt.errors import InputError
from bnadapt.files import existing

LABELS, IMAGE = "labels", "image"


def layers_of(folder: str | Path, key: str | None = None) -> list[tuple[Any, dict[str, Any], str]]:
    """Masks and probabilities of volumes as layers for napari, with their names, scale and origin in nanometres.

    `viewer.add_layer(napari.layers.Layer.create(*layer))` shows one; its pixels are read on display.

    Args:
        folder: output folder of `predict`.
        key: key of the arrays in HDF5 files or Zarr groups.

    Returns:
        For every file: data (the resolution levels of OME-Zarr, the finest first, else an array), options and kind of
        a layer, probabilities first, so that masks are shown on top.

    Raises:
        InputError: the folder holds no volumes, or they cannot be read.
    """
    files = sorted(existing(Path(folder)).glob("[!.]*"))
    volumes = [(path, kind) for kind in reversed(KINDS) for path in files if path.match(f"*_{kind}.*")]
    if not volumes:
        raise InputError(f"{folder}: holds nothing that predict has written; give its --output.")
    return [_layer(path, kind, key) for path, kind in volumes]


def _layer(path: Path, kind: str, key: str | None) -> tuple[Any, dict[str, Any], str]:
    sections = open_masks(path, key=key)
    opened, geometry = sections.opened, sections.geometry
    axes = {letter: geometry[letter].in_nanometres() for letter in geometry.letters}
    pixel = axes["X"].step or 1.0
    scale = tuple(axis.step or (1.0 if letter == "T" else pixel) for letter, axis in axes.items())
    options = {"name": path.name.partition(".")[0], "scale": scale}
    if any(axis.start for axis in axes.values()):
        options["translate"] = tuple(axis.start for axis in axes.values())
    data = opened.array
    if opened.levels:
        group = zarr.open_group(path, mode="r")
        data = [group[level] for level in opened.levels]
    return data, options, LABELS if kind == KINDS[0] else IMAGE
