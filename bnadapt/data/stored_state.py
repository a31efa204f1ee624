"""Check the data module's state in a checkpoint before it is used."""

import math
from collections.abc import Mapping
from typing import Any, get_args

from bnadapt.data.input_change import InputChange
from bnadapt.data.intensity import IntensityName, IntensityRange
from bnadapt.errors import InputError


def check_stored_state(state: Mapping[str, Any]) -> None:
    """Refuse a state of `DomainPair.state_dict` that does not define the scaling of images."""
    try:
        name, size = state["intensity"], state["pixel_size_nm"]
        if name not in get_args(IntensityName):
            raise ValueError(f"unknown scaling {name!r}")
        if size is not None and not 0 < size < math.inf:
            raise ValueError(f"the pixel size is {size}")
        for ends in state.get("ranges", {}).values():
            IntensityRange(**ends)
        InputChange(**state.get("target_change", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        lacking = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(
            f"the checkpoint's scaling of images is damaged ({lacking}); use another copy of it."
        ) from error
