"""NumPy's .npy files."""

from pathlib import Path

import numpy as np

from bnadapt.data.formats.base import ArrayWriter, NewVolume, Opened, StackWriter, VolumeFormat


class Npy(VolumeFormat):
    """Memory-mapped arrays."""

    suffixes = (".npy",)
    title = ".npy"
    orders_axes = False
    states_size = False
    states_place = False

    def open(self, path: Path, key: str | None, pixel_size_nm: float | None) -> Opened:

        def open_file(path: Path) -> Opened:
            return Opened(np.lib.format.open_memmap(path, mode="r"), format=self, files=lambda: [path])

        return self.open_single_array(path, key, open_file)

    def create(self, volume: NewVolume) -> StackWriter:
        array = np.lib.format.open_memmap(volume.path, "w+", volume.dtype, volume.stored_shape)
        return ArrayWriter.of(array, volume.geometry)
