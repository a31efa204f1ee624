"""File formats: a module with suffixes, reader and writer for each, and one entry here; nothing else knows a suffix."""

from pathlib import Path

from bnadapt.data.formats.base import Format, ImageFormat, VolumeFormat
from bnadapt.data.formats.hdf5 import Hdf5, Imaris
from bnadapt.data.formats.mrc import Mrc
from bnadapt.data.formats.npy import Npy
from bnadapt.data.formats.pillow import Jpeg, Png
from bnadapt.data.formats.tiff import Tiff
from bnadapt.data.formats.zarr_store import ZARR, OmeZarr
from bnadapt.errors import InputError

PNG = Png()
FORMATS: tuple[Format, ...] = (Tiff(), PNG, Jpeg(), Hdf5(), Imaris(), OmeZarr(), ZARR, Npy(), Mrc())
IMAGE_EXTENSIONS = tuple(suffix for each in FORMATS if isinstance(each, ImageFormat) for suffix in each.suffixes)


def format_of(path: Path) -> Format | None:
    """The format of a file, or a folder, by its name; a folder may also be a store by what it holds."""
    return next((each for each in FORMATS if each.suffix_of(path) is not None), None)


def image_format(path: Path) -> ImageFormat | None:
    """The format of an image by its name."""
    found = format_of(path)
    return found if isinstance(found, ImageFormat) else None


def volume_format(path: Path) -> VolumeFormat:
    """The format of a volume by its name.

    Raises:
        InputError: it is none that is read.
    """
    found = format_of(path)
    if path.is_dir() and not isinstance(found, type(ZARR)):
        return ZARR
    if not isinstance(found, VolumeFormat):
        titles = ", ".join(each.title for each in FORMATS if isinstance(each, VolumeFormat))
        raise InputError(f"{path}: is of a format that is not read; convert it to one of {titles}.")
    return found


def stem_of(path: Path) -> str:
    """The name without the ending of its format, such as `run.1` of `run.1.ome.tif`, and of a store called `run.1`."""
    found = format_of(path)
    end = len((found.suffix_of(path) if found else None) or "")
    name = path.name[: len(path.name) - end]
    return name[: -len(".ome")] if name.lower().endswith(".ome") and end else name
