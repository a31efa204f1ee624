"""Origins of public EM data sets, and the download of their files."""

import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from bnadapt.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """The public origin of a data set, at one commit of its repository.

    Attributes:
        name: the set's short name, also of its folder.
        title: subject of the images.
        url: address of a file, with `{path}` for its path in the repository.
        licence: the licence's name and terms.
        citation: reference to cite.
        sha256: checksum of every file, by its path in the repository.
    """

    name: str
    title: str
    url: str
    licence: str
    citation: str
    sha256: dict[str, str]

    def fetch(self, paths: Sequence[str]) -> list[Path]:
        """Return local files, downloaded on first use and checked against their SHA-256.

        They lie in `<data_folder()>/<set>/<path in the repository>`.

        Raises:
            InputError: a file is missing and cannot be fetched, or its checksum is wrong.
        """
        folder = data_folder() / self.name
        if not all((folder / path).exists() for path in paths):
            log.warning(
                "Fetching %s (%s). Licence: %s. Please cite: %s", self.name, self.title, self.licence, self.citation
            )
        with ThreadPoolExecutor(8) as pool:
            return list(
                pool.map(lambda path: _fetched(self.url.format(path=path), self.sha256[path], folder / path), paths)
            )

    def matching(self, prefix: str, suffix: str) -> list[str]:
        """The paths with this prefix and suffix, sorted."""
        return sorted(path for path in self.sha256 if path.startswith(prefix) and path.endswith(suffix))


@cache
def origin(name: str) -> Origin:
    """The registered origin of the set `name`."""
    return Origin(name=name, **json.loads(files(__package__).joinpath(f"{name}.json").read_text()))


def registered() -> list[Origin]:
    """The origins of all public sets, by name."""
    names = sorted(each.name for each in files(__package__).iterdir() if each.name.endswith(".json"))
    return [origin(name.removesuffix(".json")) for name in names]


def data_folder() -> Path:
    """The folder of the environment variable BNADAPT_DATA, else a cache folder of the user."""
    import pooch

    return Path(os.environ.get("BNADAPT_DATA") or pooch.os_cache("bnadapt"))


@cache
def _fetched(url: str, sha256: str, path: Path) -> Path:
    """The file at `path`, downloaded if it is missing; checked once per process."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, known_hash=sha256, fname=path.name, path=path.parent))
    except Exception as error:
        raise InputError(
            f"{path}: is missing or damaged, and cannot be fetched from {url} ({type(error).__name__}); connect to"
            " the network, or put the data set into the folder that BNADAPT_DATA names."
        ) from error
