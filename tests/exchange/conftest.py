"""A package of an adapted network, which is written once."""

import pytest

from bnadapt.commands.cli import main
from tests.conftest import TARGET_ALONE, once

ABOUT = ["--about.authors", '["A. Tester"]', "--about.license", "MIT"]


@pytest.fixture(scope="session")
def package(tmp_path_factory, adapted_once):
    """A package of bioimage.io, as `export` writes it; it is only read."""

    def export(folder):
        written = ["--format=bioimageio", "--output", str(folder / "package.zip")]
        main(["export", "--ckpt_path", str(adapted_once / "adapted.ckpt"), *TARGET_ALONE, *written, *ABOUT])

    return once(tmp_path_factory, "package", export) / "package.zip"
