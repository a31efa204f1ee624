"""File formats: a module with suffixes, reader and writer each, and one entry here. Nothing else compares suffixes."""

from pathlib import Path

from bnadapt.data.formats.base import Format, ImageFormat, VolumeFormat
from bnadapt.data.formats.hdf5 import Hdf5, Imaris
from bnadapt.data.formats.mrc import Mrc
from bnadapt.data.formats.npy import Npy
from bnadapt.data.formats.pillow import Jpeg, Png
from bnadapt.data.formats.tiff import Tiff
from bnadapt.data.formats.zarr_store import ZARR, OmeZarr
from bnadapt.errors import InputError

PNG, OME_ZARR = Png(), OmeZarr()
FORMATS: tuple[Format, ...] = (Tiff(), PNG, Jpeg(), Hdf5(), Imaris(), OME_ZARR, ZARR, Npy(), Mrc())
IMAGE_EXTENSIONS = tuple(suffix for each in FORMATS if isinstance(each, ImageFormat) for suffix in each.suffixes)


def format_of(path: Path) -> Format | None:
    """The format of a file or folder by its name; for folders of stores also by their contents."""
    return next((each for each in FORMATS if each.suffix_of(path) is not None), None)


def image_format(path: Path) -> ImageFormat | None:
    """The format of an image by its name."""
    file_format = format_of(path)
    return file_format if isinstance(file_format, ImageFormat) else None


def image_format_or_png(path: Path) -> ImageFormat:
    """The format of an image by its name; PNG for unknown suffixes."""
    return image_format(path) or PNG


def volume_format(path: Path) -> VolumeFormat:
    """The format of a volume by its name; refuses other formats."""
    file_format = format_of(path)
    if path.is_dir() and not isinstance(file_format, type(ZARR)):
        return ZARR
    if not isinstance(file_format, VolumeFormat):
        titles = ", ".join(each.title for each in FORMATS if isinstance(each, VolumeFormat))
        raise InputError(f"{path}: is in a format that is not supported; convert it to one of {titles}.")
    return file_format


def stem_of(path: Path) -> str:
    """The name without the suffix of its format: `run.1` for `run.1.ome.tif`, and for a store called `run.1`."""
    file_format = format_of(path)
    end = len((file_format.suffix_of(path) if file_format else None) or "")
    name = path.name[: len(path.name) - end]
    return name[: -len(".ome")] if name.lower().endswith(".ome") and end else name
