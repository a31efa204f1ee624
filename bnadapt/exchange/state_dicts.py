"""Files of weights alone, as torch saves them: a state dict, bare or inside another program's checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnadapt.errors import InputError
from bnadapt.exchange.exported import Export
from bnadapt.networks.stored import check_numbers, fits, load_tensors

INSIDE = ("state_dict", "model_state_dict", "model", "network", "net", "params", "weights")
"""Names under which programs keep a state dict in a checkpoint."""
WRAPPERS = ("", "module.", "model.", "network.", "net.", "_orig_mod.", "module.model.", "model.module.")
"""Prefixes of tensors' names that come from a module around the network."""
COUNTS = ".num_batches_tracked"  # missing in older files


def write(export: Export, path: Path) -> None:
    """The network's state dict; or the file `like`, with its weights replaced."""
    trained = own_weights(export.network)
    if export.like is None:
        torch.save(trained, path)
    else:
        save(in_form_of(export.like, trained), path, export.like)


def save(content: dict[str, Any], path: Path, like: Path) -> None:
    """Write content as the file `like` is written: by torch, or by safetensors with its metadata."""
    if like.suffix != ".safetensors":
        torch.save(content, path)
        return
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(like, "pt") as original:
        metadata = original.metadata()
    save_file(content, path, metadata)


def own_weights(network: nn.Module) -> dict[str, Tensor]:
    """A network's state dict, contiguous and on the CPU."""
    return {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}


def read_weights(path: Path, source: str | None = None) -> dict[str, Tensor]:
    """The state dict of a file of torch or safetensors, bare or inside a checkpoint.

    Refuses files without a state dict or with values that are not finite; `source` is the file's name in messages.
    """
    content, inside = read_content(path)
    weights = content[inside] if inside else content
    check_numbers(weights, source or path)
    return weights


def read_content(path: Path) -> tuple[dict[str, Any], str | None]:
    """The content of a file, read without running code in it, and the key of its state dict (None if it is the whole).

    Raises:
        InputError: the file is missing, cannot be read without running code, or holds no tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give weights saved by torch or safetensors.")
    try:
        content = _loaded(path)
    except Exception as error:
        raise InputError(
            f"{path}: is damaged, or is not a file of weights that can be read without running code in it"
            f" ({type(error).__name__}); load it where you trust it, and save its state_dict() by torch.save."
        ) from error
    if _is_state_dict(content):
        return content, None
    names = [name for name in INSIDE if isinstance(content, Mapping) and _is_state_dict(content.get(name))]
    if not names:
        raise InputError(f"{path}: holds no state dict; save that of the network by torch.save.")
    return dict(content), names[0]


def fitted(weights: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a file by the names of a network's state, which may differ by a module around one of them.

    Raises:
        InputError: names or shapes do not fit.
    """
    names = _names(weights, network)
    missing = [name for name in network if name not in names and not name.endswith(COUNTS)]
    different = [name for name in names if not fits(weights[names[name]], network[name])]
    surplus = sorted(weights.keys() - set(names.values()))
    if missing or different or surplus:
        first = (missing or different or surplus)[0]
        raise InputError(
            f"the weights do not fit the network: of its {len(network)} tensors {len(missing)} are missing and"
            f" {len(different)} of another shape or type, {len(surplus)} more are in the file; the first is {first}."
            " Check --network and --network_args."
        )
    return {name: weights[names[name]] if name in names else tensor for name, tensor in network.items()}


def in_form_of(path: Path, trained: Mapping[str, Tensor]) -> dict[str, Any]:
    """The content of a file of weights with other weights in their place; refuses those of another network."""
    content, inside = read_content(path)
    weights = content[inside] if inside else content
    names = _names(weights, trained)
    fitted(weights, trained)
    replaced = {
        **weights,
        **{names[name]: tensor.to(weights[names[name]].dtype) for name, tensor in trained.items() if name in names},
    }
    return {**content, inside: replaced} if inside else replaced


def _names(weights: Mapping[str, Tensor], network: Mapping[str, Tensor]) -> dict[str, str]:
    """Names in a file of weights by those in a network, for the wrappers that fit most of them."""
    best: dict[str, str] = {}
    for outer in WRAPPERS:  # around the network in the file
        for inner in WRAPPERS:  # around the network here
            names = {
                name: outer + name.removeprefix(inner)
                for name in network
                if name.startswith(inner) and outer + name.removeprefix(inner) in weights
            }
            best = max(best, names, key=len)
    return best


def _loaded(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return load_tensors(path)


def _is_state_dict(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and any(isinstance(each, Tensor) for each in content.values())
        and all(isinstance(name, str) for name in content)
    )
