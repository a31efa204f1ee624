"""Checks of a foreign zip archive before unpacking."""

import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from bnadapt.errors import InputError

EXPANSION = 100  # greatest ratio of the size of an archive's files to its size
SMALL = 10**8  # bytes that any archive may take


def check_archive(path: Path) -> None:
    """Refuse archives with links, paths outside their folder, or files far larger than the archive, and other files."""
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a package ({error}); give one of bioimage.io.") from error
    for member in members:
        if _leads_out(member):
            raise InputError(
                f"{path}: holds {member.filename}, a link or a place elsewhere; give a package of plain files."
            )
    size = sum(member.file_size for member in members)
    if size > max(SMALL, EXPANSION * path.stat().st_size):
        raise InputError(f"{path}: would take {size / 1e9:.1f} GB, unpacked; take another package.")


def is_inside(name: str) -> bool:
    """Whether a file's name stays in the same folder or below."""
    kinds = (PurePosixPath(name), PureWindowsPath(name))
    return "://" not in name and not any(each.is_absolute() or each.drive or ".." in each.parts for each in kinds)


def _leads_out(member: ZipInfo) -> bool:
    return stat.S_ISLNK(member.external_attr >> 16) or not is_inside(member.filename)
