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
from bnadapt.exchange.importing import Foreign
from bnadapt.exchange.state_dicts import read_weights

OURS = "bnadapt.exchange.probabilities_of"
INTEGERS = (2**8 - 1, 2**16 - 1)


def is_package(path: Path) -> bool:
    """Whether a file is a package of bioimage.io, or the description of one."""
    return path.suffix == ".zip" or path.name.endswith(("rdf.yaml", "bioimageio.yaml"))


def read_package(path: Path, trusted: str | None, intensity: IntensityName | None) -> Foreign:
    """The network of a package.

    Args:
        path: of the package.
        trusted: network that the user names.
        intensity: scaling that the user names.

    Raises:
        InputError: packages cannot be read here, this one holds no state dict, or names code that the user does not
            name; or its normalisation has no equivalent here, and none is given.
    """
    if find_spec("bioimageio") is None or find_spec("bioimageio.spec") is None:
        raise InputError("import: packages of bioimage.io need bioimageio.core; pip install 'bnadapt[share]'.")
    model = described(path)
    weights = model.weights.pytorch_state_dict
    if weights is None:
        raise InputError(f"{path}: holds no state dict of torch, whose BatchNorm statistics could be adapted.")
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        raise InputError(
            f"{path}: takes {len(model.inputs)} inputs and gives {len(model.outputs)} outputs; give a model of one"
            " image and one map of classes."
        )
    tensor, output = model.inputs[0], model.outputs[0]
    name, arguments = _network(path, weights.architecture, trusted)
    channels, classes = (_channels(each) for each in (tensor, output))
    return Foreign(
        **{"network": name, "network_args": arguments, "in_channels": channels, "num_classes": max(2, classes)}
        | (_own(weights.architecture.kwargs) if name == OURS else {}),
        weights=_weights(weights),
        intensity=intensity or _own_intensity(model) or _intensity(path, tensor.preprocessing),
        pixel_size_nm=_pixel_size(tensor),
    )


def described(path: Path) -> Any:
    """The model of a package, in the newest format.

    Raises:
        InputError: there is none, or it is not valid.
    """
    from bioimageio.spec import InvalidDescr, load_description
    from loguru import logger

    logger.disable("bioimageio")
    try:
        model = load_description(path, format_version="latest")
    except Exception as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(f"{path}: cannot be read as a package ({said}); give one of bioimage.io.") from error
    finally:
        logger.enable("bioimageio")
    if isinstance(model, InvalidDescr) or model.type != "model":
        raise InputError(f"{path}: is no valid model of bioimage.io; `bioimageio validate-format {path}` tells why.")
    return model


def _network(path: Path, architecture: Any, trusted: str | None) -> tuple[str, dict[str, Any]]:
    """Import path and arguments of the network; code of the package is not even unpacked unless the user names it."""
    arguments = dict(architecture.kwargs)
    if hasattr(architecture, "import_from"):
        name, told = f"{architecture.import_from}.{architecture.callable}", ""
    else:
        source = str(architecture.source)
        name, told = f"{Path(source).stem}.{architecture.callable}", f" of its file {source}"
    if name not in (OURS, trusted):
        raise InputError(
            f"{path}: names the network {name}{told}, code that would be imported and run; look at it, and if you trust"
            f" that code, name it yourself by --network {name}."
        )
    if told:
        _unpack(architecture, path)
    return name, arguments


def _unpack(source: Any, path: Path) -> None:
    """Put code of a package where one works.

    Raises:
        InputError: another module has that name.
    """
    from bioimageio.spec.utils import get_reader

    reader = get_reader(source)
    content, module = reader.read(), Path.cwd() / reader.original_file_name
    if module.exists() and module.read_bytes() != content:
        raise InputError(f"{module}: is another file than that of {path}; remove it, or work in another folder.")
    if not module.exists():
        if module.stem in sys.stdlib_module_names or PathFinder.find_spec(module.stem) is not None:
            raise InputError(
                f"{path}: calls its code {module.name}, which is the name of an installed module; rename it."
            )
        module.write_bytes(content)


def _own(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a package says that `export` has written."""
    return {
        "network": arguments["network"],
        "network_args": dict(arguments["arguments"]),
        "in_channels": arguments["in_channels"],
        "num_classes": arguments["num_classes"],
    }


def _own_intensity(model: Any) -> IntensityName | None:
    """The scaling of a network that `export` has written."""
    return model.config.model_dump().get("bnadapt", {}).get("intensity")


def _intensity(path: Path, steps: list[Any]) -> IntensityName:
    """The scaling here that is nearest to a package's normalisation.

    Raises:
        InputError: there is none.
    """
    for step in steps:
        match step.id:
            case "zero_mean_unit_variance" | "fixed_zero_mean_unit_variance":
                return "zscore"
            case "scale_range":
                return "percentile"
            case "scale_linear" if _divides_by_type(step.kwargs):
                return "dtype"
    told = ", ".join(step.id for step in steps if step.id != "ensure_dtype") or "nothing"
    raise InputError(
        f"{path}: normalises by {told}, for which there is no scaling of the same effect here; give --intensity: how"
        " the images were scaled that the network was trained on (zscore, percentile, dtype or dataset)."
    )


def _divides_by_type(numbers: Any) -> bool:
    gain, offset = getattr(numbers, "gain", None), getattr(numbers, "offset", None)
    return offset == 0 and isinstance(gain, float) and any(abs(gain * each - 1) < 1e-3 for each in INTEGERS)


def _channels(tensor: Any) -> int:
    found = [axis for axis in tensor.axes if axis.type == "channel"]
    return len(found[0].channel_names) if found else 1


def _pixel_size(tensor: Any) -> float | None:
    """In nanometres, where the axes say so."""
    factors = {"nanometer": 1.0, "micrometer": 1000.0, "angstrom": 0.1}
    sizes = [axis.scale * factors[axis.unit] for axis in tensor.axes if axis.type == "space" and axis.unit in factors]
    return sizes[-1] if sizes else None


def _weights(descriptor: Any) -> dict[str, Tensor]:
    """The state dict that a package holds."""
    from bioimageio.spec.utils import get_reader

    reader = get_reader(descriptor)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / reader.original_file_name
        path.write_bytes(reader.read())
        return read_weights(path)
