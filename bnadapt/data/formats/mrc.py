"""MRC files (MRC2014), with IMOD's additions to the header."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bnadapt.data.formats.base import CHUNK, ArrayWriter, NewVolume, Opened, StackWriter, VolumeFormat
from bnadapt.data.geometry import UNNAMED, Axis, Geometry
from bnadapt.data.lengths import length
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

UNSET = 1.0  # angstrom, stated for an unknown size
LETTERS = {1: "X", 2: "Y", 3: "Z"}  # values of mapc, mapr and maps
STAMP = 1146047817  # "IMOD", 40 bytes into `extra2`, before the flags
SIGNED_BYTES, STANDARD_ORIGIN = 1, 4  # flags
LOOKED_AT, DECISIVE = 8, 0.9  # sampled sections, and ratio of roughness, to decide whether bytes are signed


class Mrc(VolumeFormat):
    """Memory-mapped volumes; the header states the axes, the voxel size and the origin in angstrom."""

    suffixes = (".mrc", ".rec", ".st")
    title = ".mrc"
    integers = (2,)  # programs disagree on the sign of its bytes

    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        return self.open_single_array(path, key, partial(self._opened, has_sign=_has_sign))

    def open_masks(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:
        """See `VolumeFormat.open_masks`; bytes are unsigned unless a flag states a sign, as no class is negative."""
        return self.open_single_array(path, key, partial(self._opened, has_sign=_states_sign))

    def _opened(self, path: Path, has_sign: Callable[[np.ndarray, Any, Path], bool]) -> Opened:
        import mrcfile

        with mrcfile.mmap(path, "r") as file:
            array = file.data
            if array.dtype == np.int8 and not has_sign(array, file.header, path):
                array = array.view(np.uint8)
            with np.errstate(all="ignore"):  # headers without a number of voxels
                voxel_size = file.voxel_size
            geometry = _geometry(file.header, voxel_size, array.ndim, path)
            return Opened(array, geometry, format=self, files=lambda: [path])

    def create(self, volume: NewVolume) -> StackWriter:
        import mrcfile

        shape, letters = volume.stored_shape, volume.geometry.letters
        file = mrcfile.new_mmap(volume.path, shape, mrcfile.utils.mode_from_dtype(volume.dtype))
        header = file.header
        header.label[0] = "Written by bnadapt"  # mrcfile's own label holds the time, so equal volumes would differ
        axes = {letter: volume.geometry[letter].in_nanometres() for letter in "XYZ"}
        numbers = {letter: number for number, letter in LETTERS.items()}
        for field, letter, side in zip(("mapc", "mapr", "maps"), reversed(letters), reversed(shape), strict=False):
            header[field] = numbers.get(letter, 3)
            header[f"m{letter.lower() if letter in axes else 'z'}"] = side
        if all(axes[letter].step_nm for letter in "XY"):
            file.voxel_size = tuple(10 * (axes[letter].step_nm or 0.0) for letter in "XYZ")
            header.origin = tuple(10 * axes[letter].start for letter in "XYZ")
        return ArrayWriter.of(file.data, volume.geometry, file)


def _geometry(header: Any, voxel_size: Any, dimensions: int, path: Path) -> Geometry:
    """Geometry of sections, rows and columns; the header gives steps along X, Y and Z, in any order of axes."""
    order = [int(header[field]) for field in ("maps", "mapr", "mapc")]
    if not any(order):
        order = [3, 2, 1]
    if sorted(order) != [1, 2, 3]:
        raise InputError(f"{path}: names its columns, rows and sections {order[::-1]}; correct mapc, mapr and maps.")
    letters = "".join(LETTERS[number] for number in order)
    steps = {letter: length(voxel_size[letter.lower()]) for letter in letters}
    if int(header.mz) == 1 and int(header.nz) > 1:  # a stack of images without positions along Z
        steps["Z"] = None
    if UNSET in (steps["X"], steps["Y"]):
        steps = dict.fromkeys(steps)
    starts = {letter: float(header.origin[letter.lower()]) for letter in letters}
    if not any(starts.values()):
        starts = {letter: float(header[f"n{letter.lower()}start"]) * (steps[letter] or 0) for letter in letters}
    elif _flag(header, STANDARD_ORIGIN) is False:
        starts = {letter: 0.0 - start for letter, start in starts.items()}
    axes = {letter: Axis(letter.lower(), steps[letter], starts[letter], "angstrom") for letter in letters}
    return Geometry((UNNAMED + letters)[-dimensions:], axes)


def _flag(header: Any, flag: int) -> bool | None:
    """Whether IMOD's header has a flag; None in a header without IMOD's stamp."""
    stamp, flags = np.frombuffer(header.extra2.tobytes(), header.mode.dtype.byteorder + "i4", 2, 40)
    return bool(flags & flag) if stamp == STAMP else None


def _states_sign(array: np.ndarray, header: Any, path: Path) -> bool:
    """Whether IMOD's flag says that bytes are signed."""
    return bool(_flag(header, SIGNED_BYTES))


def _has_sign(array: np.ndarray, header: Any, path: Path) -> bool:
    """Whether bytes are signed: by IMOD's flag, else by the smoother of both readings, else by the stated range."""
    stated = _flag(header, SIGNED_BYTES)
    if stated is not None:
        return stated
    sections = array.reshape(-1, *array.shape[-2:])[:: max(1, len(array) // LOOKED_AT)]
    middle = tuple(slice(max(0, side // 2 - CHUNK // 2), side // 2 + CHUNK // 2) for side in sections.shape[1:])
    part = np.ascontiguousarray(sections[(slice(None), *middle)])
    with_sign, without = _roughness(part), _roughness(part.view(np.uint8))
    has_sign = with_sign < without
    if max(with_sign, without) * DECISIVE <= min(with_sign, without):
        has_sign = not header.dmax > np.iinfo(np.int8).max
    if (part < 0).any():
        log.warning(
            "%s: does not state whether its bytes have a sign; they are read from %s, by their smoothness and range.",
            path,
            "-128 to 127" if has_sign else "0 to 255",
        )
    return has_sign


def _roughness(sections: np.ndarray) -> float:
    """Mean difference of neighbouring pixels."""
    return float(np.abs(np.diff(sections.astype(np.int16), axis=2)).mean()) if sections.shape[2] > 1 else 0.0
