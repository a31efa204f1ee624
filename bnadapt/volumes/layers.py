"""What `bnadapt predict` has written, as layers for a viewer."""

from pathlib import Path
from typing import Any

import zarr

from bnadapt.data.readers import open_masks
from bnadapt.data.readers.files import existing
from bnadapt.data.writers import KINDS
from bnadapt.errors import InputError

LABELS, IMAGE = "labels", "image"


def layers_of(folder: str | Path, key: str | None = None) -> list[tuple[Any, dict[str, Any], str]]:
    """Masks and probabilities of volumes as layers for napari, with their names and the scale in nanometres.

    `viewer.add_layer(napari.layers.Layer.create(*layer))` shows one; its pixels are read when they are shown.

    Args:
        folder: that `predict` has written.
        key: of the arrays inside HDF5 files or Zarr groups.

    Returns:
        For every file: data (the resolution levels of OME-Zarr, the finest first, else an array), options and kind of
        a layer, probabilities first, so that masks are shown on top.

    Raises:
        InputError: the folder holds no volumes, or they cannot be read.
    """
    files = sorted(existing(Path(folder)).glob("[!.]*"))
    found = [(path, kind) for kind in reversed(KINDS) for path in files if path.match(f"*_{kind}.*")]
    if not found:
        raise InputError(f"{folder}: holds nothing that predict has written; give its --output.")
    return [_layer(path, kind, key) for path, kind in found]


def _layer(path: Path, kind: str, key: str | None) -> tuple[Any, dict[str, Any], str]:
    sections = open_masks(path, key=key)
    voxel = sections.opened.voxel
    pixel = voxel.pixel_size_nm or 1.0
    options = {"name": path.name.partition(".")[0], "scale": (sections.spacing_nm or pixel, pixel, pixel)}
    data = sections.opened.array
    if sections.opened.is_ome_zarr:
        group = zarr.open_group(path, mode="r")
        data = [group[str(level)] for level in range(len(list(group.array_keys())))]
    return data, options, LABELS if kind == KINDS[0] else IMAGE
