"""Put adapted statistics into an existing package of bioimage.io, leaving the rest unchanged."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch

from bnadapt.errors import InputError
from bnadapt.exchange.archives import check_archive, is_inside
from bnadapt.exchange.exported import Export
from bnadapt.exchange.packages import described, network_parameters
from bnadapt.exchange.state_dicts import in_form_of, own_weights
from bnadapt.files import sha256_of

STATE_DICT = "pytorch_state_dict"


def described_like(export: Export, folder: Path) -> Any:
    """The description of a package's model with the network's weights, with its files in a folder.

    Weights of other formats are left out, and test outputs are computed anew.

    Raises:
        InputError: the package holds no state dict of the network, or names code other than the network's.
    """
    from bioimageio.spec import load_description
    from bioimageio.spec.utils import write_yaml

    check_archive(export.like)
    model = described(export.like)
    network_parameters(export.like, model, export.parameters["network"], "--model.network")
    content = model.model_dump(mode="json", exclude_unset=True)
    _check_processing(export.like, content)
    with ZipFile(export.like) as archive:
        archive.extractall(folder)
    path = folder / "rdf.yaml"
    weights = content["weights"][STATE_DICT]
    stored = _inside(folder, weights, export.like)
    torch.save(in_form_of(stored, own_weights(export.network)), stored)
    content["weights"] = {STATE_DICT: {**weights, "sha256": sha256_of(stored), "parent": None}}
    write_yaml(content, path)
    for name, values in _outputs(path).items():
        tensor = next(each for each in content["outputs"] if each["id"] == name)["test_tensor"]
        np.save(_inside(folder, tensor, export.like), values)
        tensor["sha256"] = sha256_of(folder / tensor["source"])
    write_yaml(content, path)
    return load_description(path, perform_io_checks=False)


def _check_processing(path: Path, content: dict[str, Any]) -> None:
    """Refuse steps before and after the network that are code in the package."""
    tensors = [*content["inputs"], *content["outputs"]]
    steps = [step for each in tensors for step in (*each.get("preprocessing", ()), *each.get("postprocessing", ()))]
    if any("callable" in step or "source" in step for step in steps):
        raise InputError(
            f"{path}: scales its images by its own code, which is not run; give the format state_dict instead."
        )


def _inside(folder: Path, described_file: dict[str, Any], package: Path) -> Path:
    """Path of a file of a package in the folder where it is unpacked; refuses files that are missing."""
    name = described_file["source"]
    if not is_inside(name) or not (folder / name).is_file():
        raise InputError(f"{package}: names the file {name}, which is not in it; give one that holds all its files.")
    return folder / name


def _outputs(path: Path) -> dict[str, np.ndarray]:
    """Outputs of a package's model for its test inputs."""
    from bioimageio.core import create_prediction_pipeline
    from bioimageio.core.digest_spec import get_test_input_sample
    from bioimageio.spec import load_description

    model = load_description(path, perform_io_checks=False)
    with create_prediction_pipeline(model, weight_format=STATE_DICT, devices=["cpu"]) as pipeline:
        sample = pipeline.predict_sample_without_blocking(get_test_input_sample(model))
    return {str(name): np.asarray(tensor.data) for name, tensor in sample.members.items()}
