"""Put adapted statistics into a package of bioimage.io that others have made; all else in it stays."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnadapt.errors import InputError
from bnadapt.exchange.exported import Export
from bnadapt.exchange.packages import described
from bnadapt.exchange.state_dicts import in_form_of, own_weights
from bnadapt.provenance import sha256_of

STATE_DICT = "pytorch_state_dict"


def described_like(export: Export, folder: Path) -> Any:
    """The description of a package's model with the network's weights, whose files lie in a folder.

    Weights of other formats are left out, and test outputs are computed anew.

    Raises:
        InputError: it is no package with a state dict of the network.
    """
    from bioimageio.spec import load_description
    from bioimageio.spec.utils import read_yaml, write_yaml

    path = _unpacked(export.like, folder)
    content = read_yaml(path)
    weights = content["weights"].get(STATE_DICT)
    if weights is None:
        raise InputError(f"{export.like}: holds no state dict of torch; give the package that was imported.")
    stored = folder / weights["source"]
    torch.save(in_form_of(stored, own_weights(export.network)), stored)
    content["weights"] = {STATE_DICT: {**weights, "sha256": sha256_of(stored), "parent": None}}
    write_yaml(content, path)
    for name, values in _outputs(path).items():
        tensor = next(each for each in content["outputs"] if each["id"] == name)["test_tensor"]
        np.save(folder / tensor["source"], values)
        tensor["sha256"] = sha256_of(folder / tensor["source"])
    write_yaml(content, path)
    return load_description(path)


def _unpacked(package: Path, folder: Path) -> Path:
    """The description of a package, whose files are put into a folder, all by names of their own."""
    from bioimageio.spec import save_bioimageio_package

    archive = save_bioimageio_package(described(package), output_path=folder / "package.zip")
    shutil.unpack_archive(archive, folder)
    archive.unlink()
    return folder / "rdf.yaml"


def _outputs(path: Path) -> dict[str, np.ndarray]:
    """What the model of a package makes of its test inputs."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import get_test_input_sample
    from bioimageio.spec import load_description

    model = load_description(path, perform_io_checks=False)
    with create_prediction_pipeline(model, weight_format=STATE_DICT, devices=["cpu"]) as pipeline:
        sample = pipeline.predict_sample_without_blocking(get_test_input_sample(model))
    return {str(name): np.asarray(tensor.data) for name, tensor in sample.members.items()}
