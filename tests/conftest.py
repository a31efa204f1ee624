"""Small images and networks that every test may use."""

import gc
import os
import random
import sys
from pathlib import Path

import imageio.v3
import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import settings

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # a core for each process of tests, and for those that it starts
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

from bnadapt.__main__ import run
from bnadapt.callbacks import pictures
from bnadapt.commands.cli import main
from bnadapt.data import Synthetic
from bnadapt.reports import candidate_panels

settings.register_profile("fixed", derandomize=True, database=None, deadline=None)  # the same examples every time
settings.register_profile("free", deadline=None, print_blob=True)  # by --hypothesis-profile free
settings.load_profile("fixed")

pictures.DPI = candidate_panels.DPI = 50  # a sixteenth of the pixels of pictures

needs_em_data = pytest.mark.skipif(
    not os.environ.get("BNADAPT_DATA"), reason="BNADAPT_DATA names no folder with the EM data sets"
)

SMALL = [
    "--seed_everything=1",
    "--model.network_args.base_channels=4",
    "--data.crop_size=32",
    "--data.crops_per_epoch=16",
    "--data.tile_size=32",
    "--data.overlap=8",
    "--data.batch_size=4",
    "--trainer.max_epochs=2",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
DOMAINS = [
    "--data.source=Synthetic",
    "--data.source.size=48",
    "--data.source.images=6",
    "--data.source.object_size=12",
    "--data.target=Synthetic",
    "--data.target.size=48",
    "--data.target.images=6",
    "--data.target.object_size=12",
    "--data.target.mean=[0.4, 0.1]",
    "--data.target.seed=9",
    "--data.intensity=dtype",
]


def without(options, *prefixes):
    """The options that do not begin with any of the prefixes."""
    return [option for option in options if not str(option).startswith(prefixes)]


LOADING = [*without(SMALL, "--trainer.max_epochs", "--model"), *DOMAINS]  # of commands that take a checkpoint
TARGET_ALONE = without(LOADING, "--data.source")  # the same where no distances are to be measured


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    """Logs and outputs of a test land in its own folder."""
    monkeypatch.chdir(tmp_path)


def pytest_collection():
    """Modules live as long as the process: looking for garbage among them takes seconds in each process."""
    gc.disable()


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _collected(monkeypatch):
    """What a test makes is collected, although the console script would keep it until its end."""
    monkeypatch.setattr(gc, "freeze", lambda: None)


def once(tmp_path_factory, name, make):
    """A folder that `make` fills once, whatever number of processes run the tests."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root
    folder = root / name
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            folder.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A finished `bnadapt fit` on synthetic images: its checkpoint folder."""
    longer = [
        "--data.crops_per_epoch=120",
        "--trainer.max_epochs=3",
        "--model.optimizer=AdamW",
        "--model.optimizer.lr=0.01",
    ]

    def fit(folder):
        main(["fit", *SMALL, *DOMAINS, *longer, f"--trainer.logger.save_dir={folder}"])

    return once(tmp_path_factory, "trained", fit) / "default" / "version_0" / "checkpoints"


@pytest.fixture(scope="session")
def best(trained):
    """Its best checkpoint."""
    return trained / "best.ckpt"


@pytest.fixture(scope="session")
def adapted_once(tmp_path_factory, best):
    """A folder of `bnadapt adapt` on synthetic images: checkpoint, bank, record and page, and its log in `default`."""

    def adapt(folder):
        logger = [f"--trainer.logger.save_dir={folder}", "--trainer.logger.version=adapt"]
        main(["adapt", *LOADING, "--ckpt_path", str(best), "--output", str(folder / "adapted.ckpt"), *logger])

    return once(tmp_path_factory, "adapted", adapt)


@pytest.fixture
def adapted(adapted_once):
    """The adapted checkpoint; bank, record and page are beside it."""
    return adapted_once / "adapted.ckpt"


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run the console script and give the one sentence it refuses with."""

    def refuse(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnadapt", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run()
        assert stopped.value.code == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("bnadapt: error: ")
        return last

    return refuse


def write_images(folder: Path, count=6, size=48, ending=".png", dtype=np.uint8, seed=0):
    """A folder with `images` and `masks` of bright blobs, as a user would have it."""
    domain = Synthetic(size=size, images=count, object_size=12, std=(0.1, 0.1), seed=seed)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for index, section in enumerate(domain.labelled()):
        image = np.clip(section.read_image(), 0, 1)
        if np.issubdtype(dtype, np.integer):
            image = image * np.iinfo(dtype).max
        imageio.v3.imwrite(folder / "images" / f"{index:02d}{ending}", image.astype(dtype))
        imageio.v3.imwrite(folder / "masks" / f"{index:02d}.png", section.read_mask() * 255)
    return folder


@pytest.fixture
def images(tmp_path):
    """Such a folder of 8-bit PNG files."""
    return write_images(tmp_path / "mine")


class NetworkWithoutBatchNorm(torch.nn.Sequential):
    """What `--model.network` may name: a class of one's own."""

    def __init__(self, in_channels, num_classes):
        convolutions = [torch.nn.Conv2d(in_channels, 4, 3, padding=1), torch.nn.Conv2d(4, num_classes, 1)]
        super().__init__(convolutions[0], torch.nn.GroupNorm(1, 4), convolutions[1])


@pytest.fixture(autouse=True)
def _one_thread_and_the_same_draws():
    """Networks this small gain nothing from a second thread; no test depends on what others have drawn before."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, for libraries that draw from it
    random.seed(0)
