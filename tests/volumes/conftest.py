"""Volumes in files of every format."""

import h5py
import mrcfile
import numpy as np
import tifffile
import zarr


def stored(path, pixels, chunks=(1, 64, 64), sides_nm=(20.0, 8.0, 8.0)):
    """Write a volume of 8 bits; HDF5 under the key `raw`. MRC, which has no such type, gets 16 bits."""
    if path.name.endswith(".ome.zarr"):
        group = zarr.open_group(path, mode="w", zarr_format=3)
        group.create_array("0", data=pixels, chunks=chunks)
        axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
        scale = [{"type": "scale", "scale": list(sides_nm)}]
        datasets = [{"path": "0", "coordinateTransformations": scale}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    elif path.suffix == ".zarr":
        zarr.create_array(path, data=pixels, chunks=chunks)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack")
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["raw"] = pixels
    elif path.suffix == ".mrc":
        with mrcfile.new(path) as file:
            file.set_data(pixels * np.uint16(257))
    else:
        np.save(path, pixels)
    return path
