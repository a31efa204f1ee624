"""Read packages of bioimage.io."""

import sys
import tempfile
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor

from bnadapt.data.intensity import IntensityName
from bnadapt.errors import InputError
from bnadapt.exchange.archives import check_archive, is_inside
from bnadapt.exchange.importing import ImportedNetwork
from bnadapt.exchange.state_dicts import fitted, read_weights
from bnadapt.networks.trust import accepted, outline

OURS = "bnadapt.exchange.probabilities_of"
INTEGERS = (2**8 - 1, 2**16 - 1)


def is_package(path: Path) -> bool:
    """Whether a file is a package of bioimage.io, or the description of one."""
    return path.suffix == ".zip" or path.name.endswith(("rdf.yaml", "bioimageio.yaml"))


def read_package(path: Path, trusted: str | None, intensity: IntensityName | None) -> ImportedNetwork:
    """The network of a package.

    Args:
        path: path of the package.
        trusted: network that the user names.
        intensity: scaling that the user names.

    Raises:
        InputError: libraries are missing, the package holds no state dict or names code that the user does not, or its
            normalisation has no equivalent here and the user names none.
    """
    if find_spec("bioimageio") is None or find_spec("bioimageio.spec") is None:
        raise InputError("import: packages of bioimage.io need bioimageio.core; pip install 'bnadapt[share]'.")
    model = described(path)
    tensor = model.inputs[0]
    parameters = network_parameters(path, model, trusted, "--network")
    weights = _weights(path, model.weights.pytorch_state_dict)
    if (tensors := outline(parameters)) is not None:
        fitted(weights, tensors)
    is_ours = _call(model.weights.pytorch_state_dict.architecture) == OURS
    return ImportedNetwork(
        **parameters,
        weights=weights,
        intensity=intensity or (_own_intensity(model) if is_ours else None) or _intensity(path, tensor.preprocessing),
        pixel_size_nm=_pixel_size(tensor),
    )


def described(path: Path) -> Any:
    """The model of a package, in the newest format; nothing that it names is run or fetched.

    Raises:
        InputError: the model is missing or invalid, holds no state dict, or does not map one image to one map.
    """
    from bioimageio.spec import InvalidDescr, load_description
    from loguru import logger

    if path.suffix == ".zip":
        check_archive(path)
    logger.disable("bioimageio")
    try:
        model = load_description(path, format_version="latest", perform_io_checks=False)
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(f"{path}: cannot be read as a package ({reason}); give one of bioimage.io.") from error
    finally:
        logger.enable("bioimageio")
    if isinstance(model, InvalidDescr) or model.type != "model":
        raise InputError(f"{path}: is not a valid model of bioimage.io; `bioimageio validate-format {path}` shows why.")
    if model.weights.pytorch_state_dict is None:
        raise InputError(f"{path}: holds no state dict of torch, which adaptation needs.")
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        raise InputError(
            f"{path}: takes {len(model.inputs)} inputs and gives {len(model.outputs)} outputs; give a model of one"
            " image and one map of classes."
        )
    return model


def network_parameters(path: Path, model: Any, requested: str | None, option: str) -> dict[str, Any]:
    """The parameters of a package's network; code in it is not even unpacked unless the user names it.

    Args:
        path: path of the package.
        model: description of the model.
        requested: network that the user names.
        option: option for that.

    Raises:
        InputError: the package names code that the user does not, or what no file may name; see
            `bnadapt.networks.trust`.
    """
    architecture = model.weights.pytorch_state_dict.architecture
    name, arguments = _call(architecture), dict(architecture.kwargs)
    channels, classes = (_channels(each) for each in (model.inputs[0], model.outputs[0]))
    parameters = {"network": name, "network_args": arguments, "in_channels": channels, "num_classes": max(2, classes)}
    if name == OURS:
        described = {"network_args": arguments.pop("arguments", None)} | arguments
        parameters = {key: described.get(key) for key in parameters}
    parameters = accepted(parameters, path, requested, option)
    if not hasattr(architecture, "import_from"):
        _unpack(path, architecture)
    return parameters


def _call(architecture: Any) -> str:
    """Import path of the network's class or function."""
    module = getattr(architecture, "import_from", None) or Path(str(architecture.source)).stem
    return f"{module}.{architecture.callable}"


def _unpack(path: Path, code: Any) -> None:
    """Copy code of a package into the working directory; refuses names of other modules."""
    content, module = _read(path, code), Path.cwd() / Path(str(code.source)).name
    if module.exists() and module.read_bytes() != content:
        raise InputError(f"{module}: is another file than that of {path}; remove it, or work in another folder.")
    if not module.exists():
        if module.stem in sys.stdlib_module_names or PathFinder.find_spec(module.stem) is not None:
            raise InputError(f"{path}: names its code {module.name}, like an installed module; rename it.")
        with module.open("xb") as file:  # x follows no link
            file.write(content)


def _own_intensity(model: Any) -> IntensityName | None:
    """The scaling of a network written by `export`."""
    return model.config.model_dump().get("bnadapt", {}).get("intensity")


def _intensity(path: Path, steps: list[Any]) -> IntensityName:
    """The scaling here that is nearest to a package's normalisation; refuses if there is none."""
    for step in steps:
        match step.id:
            case "zero_mean_unit_variance" | "fixed_zero_mean_unit_variance":
                return "zscore"
            case "scale_range":
                return "percentile"
            case "scale_linear" if _divides_by_type(step.kwargs):
                return "dtype"
    operations = ", ".join(step.id for step in steps if step.id != "ensure_dtype") or "nothing"
    raise InputError(
        f"{path}: normalises by {operations}, which no scaling of bnadapt does; give --intensity,"
        " the scaling of the training images (zscore, percentile, dtype or dataset)."
    )


def _divides_by_type(numbers: Any) -> bool:
    gain, offset = getattr(numbers, "gain", None), getattr(numbers, "offset", None)
    return offset == 0 and isinstance(gain, float) and any(abs(gain * each - 1) < 1e-3 for each in INTEGERS)


def _channels(tensor: Any) -> int:
    channels = [axis for axis in tensor.axes if axis.type == "channel"]
    return len(channels[0].channel_names) if channels else 1


def _pixel_size(tensor: Any) -> float | None:
    """The pixel size in nanometres, if the axes state it."""
    factors = {"nanometer": 1.0, "micrometer": 1000.0, "angstrom": 0.1}
    sizes = [axis.scale * factors[axis.unit] for axis in tensor.axes if axis.type == "space" and axis.unit in factors]
    return sizes[-1] if sizes else None


def _weights(path: Path, descriptor: Any) -> dict[str, Tensor]:
    """The state dict in a package."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder) / Path(str(descriptor.source)).name
        stored.write_bytes(_read(path, descriptor))
        return read_weights(stored, f"{path}: {stored.name}")


def _read(path: Path, described_file: Any) -> bytes:
    """A file of a package; refuses files that are missing, damaged or elsewhere."""
    from bioimageio.spec.utils import get_reader

    name = str(described_file.source)
    folder = path.parent.resolve()
    is_elsewhere = path.suffix != ".zip" and not (folder / name).resolve().is_relative_to(folder)
    if not is_inside(name) or is_elsewhere:
        raise InputError(f"{path}: names the file {name}, which is not in it; give a package that holds all its files.")
    try:
        return get_reader(described_file).read()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {name} cannot be read ({error}); copy the package again.") from error
