"""The image files of a folder."""

import re
import unicodedata
from pathlib import Path

from bnadapt.data.formats import IMAGE_EXTENSIONS, stem_of
from bnadapt.errors import InputError
from bnadapt.files import existing_folder


def image_files(folder: Path) -> dict[str, Path]:
    """The image files of a folder by name without extension, in natural order (2 before 10), without hidden ones.

    Raises:
        InputError: the folder is missing or holds no images, or two have the same name.
    """
    existing_folder(folder)
    try:
        entries = [path for path in folder.iterdir() if not path.name.startswith((".", "~"))]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); check its permissions.") from error
    images = (path for path in entries if path.suffix.lower() in IMAGE_EXTENSIONS and not _is_other(path))
    paths = sorted(images, key=_natural)
    if not paths:
        raise InputError(f"{folder}: holds no images; put PNG, JPEG or TIFF files there or give another folder.")
    by_stem: dict[str, Path] = {}
    for path in paths:
        name = composed(stem_of(path))
        if name in by_stem:
            raise InputError(f"{path}: {by_stem[name].name} has the same name; rename one of the two.")
        by_stem[name] = path
    return by_stem


def _is_other(path: Path) -> bool:
    """Whether there is something other than a file, such as a folder or a pipe."""
    return path.exists() and not path.is_file()


def composed(name: str) -> str:
    """The name in Unicode's composed form, since some systems decompose accented letters."""
    return unicodedata.normalize("NFC", name)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorting key of natural order, so that neighbouring sections stay neighbours."""
    parts = re.split(r"([0-9]+)", composed(path.name))
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
