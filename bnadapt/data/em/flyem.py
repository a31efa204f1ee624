"""FlyEM medulla, FIB-SEM (Parag et al. 2015)."""

import gzip
import io
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from bnadapt.data.domain import Domain, Section
from bnadapt.data.em.origin import origin
from bnadapt.data.readers import read_image
from bnadapt.errors import InputError


class FlyEM(Domain):
    """`flyem`: sample 2, 250 labelled sections, or sample 1, 250 without; 250 x 250, 10 nm isotropic, FIB-SEM.

    The origin labels neuron bodies; a pixel is membrane where bodies meet in its section
    (`skimage.segmentation.find_boundaries`), so the width of membranes is a convention.

    Args:
        sample: 1 or 2. Each is a separate domain, since they are two volumes.
        task: `membrane` (10 %).
        split: parts of the labelled sections for training, validation and test.
        gap: sections left out between two blocks.
    """

    def __init__(
        self,
        sample: Literal[1, 2] = 2,
        task: Literal["membrane"] = "membrane",
        split: Sequence[float] = (0.6, 0.2, 0.2),
        gap: int = 10,
    ) -> None:
        super().__init__(split, gap)
        self.sample = sample
        self.name = "flyem" if sample == 2 else "flyem-sample1"
        self.classes = ("background", task)
        self.origin = origin("flyem")
        self._bodies = cache(self._read_bodies)

    def labelled(self) -> list[Section]:
        """The sections of sample 2."""
        return self._sections(self._membrane) if self.sample == 2 else []

    def unlabelled(self) -> list[Section]:
        """The sections of sample 1."""
        return self._sections(None) if self.sample == 1 else []

    def _sections(self, read_mask: Callable[[int], np.ndarray] | None) -> list[Section]:
        folder = f"training_sample{self.sample}/grayscale_maps/"
        images = self.origin.fetch(self.origin.matching(folder, ".png"))
        return [
            Section(
                name=image.name,
                read_image=partial(read_image, image),
                read_mask=partial(read_mask, index) if read_mask else None,
                pixel_size_nm=10.0,
            )
            for index, image in enumerate(images)
        ]

    def _membrane(self, index: int) -> np.ndarray:
        from skimage.segmentation import find_boundaries

        return find_boundaries(self._bodies()[index]).astype(np.uint8)

    def _read_bodies(self) -> np.ndarray:
        """Body of every voxel, (250, 250, 250) int: superpixels looked up in the set's transforms."""
        import h5py

        path: Path = self.origin.fetch(["training_sample2/groundtruth.h5.gz"])[0]
        try:
            with h5py.File(io.BytesIO(gzip.decompress(path.read_bytes())), "r") as store:
                superpixels, transforms = store["stack"][:], store["transforms"][:]
        except (OSError, KeyError) as error:
            raise InputError(f"{path}: cannot be read ({error}); delete it so that it is fetched again.") from error
        body_of = np.zeros(int(max(superpixels.max(), transforms[:, 0].max())) + 1, dtype=np.int64)
        body_of[transforms[:, 0]] = transforms[:, 1]
        return body_of[superpixels]
