"""The command line of `bnadapt import`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnadapt.commands.parser import options_of
from bnadapt.data.intensity import IntensityName
from bnadapt.data.lengths import same_size
from bnadapt.errors import InputError
from bnadapt.exchange.importing import ImportedNetwork, write_checkpoint
from bnadapt.exchange.packages import is_package, read_package
from bnadapt.exchange.state_dicts import read_weights
from bnadapt.files import check_outputs
from bnadapt.networks.registry import is_import_path
from bnadapt.reports.terminal import Console
from bnadapt.text import shell_line


def main(arguments: Sequence[str]) -> None:
    """Run `bnadapt import`, see `import_network`."""
    imported, path = import_network(**options_of(import_network, "import", arguments, as_positional=True))
    console = Console()
    console.print(f"Imported {imported.network}, trained on images scaled by {imported.intensity}: {path}")
    network = ["--model.network", imported.network] if is_import_path(imported.network) else []
    images = ["--data.target", "Folder", "--data.target.images", "IMAGES"]
    console.print(f"Next: {shell_line(['bnadapt', 'adapt', '--ckpt_path', str(path), *network, *images])}")


def import_network(
    weights: str,
    network: str | None = None,
    network_args: dict[str, Any] | None = None,
    in_channels: int = 1,
    num_classes: int = 2,
    intensity: IntensityName | None = None,
    pixel_size_nm: float | None = None,
    output: str = "imported.ckpt",
    overwrite: bool = False,
) -> tuple[ImportedNetwork, Path]:
    """Convert a network trained elsewhere into a checkpoint of bnadapt.

    Args:
        weights: a file of weights, as torch or safetensors saves them, or a package of bioimage.io.
        network: `unet`, `smp/ARCHITECTURE`, or the import path of a class; of a package only if it names code.
        network_args: further arguments of the network; a package states them.
        in_channels: channels of images; a package states them.
        num_classes: background included; a network of one logit has two. A package states them.
        intensity: how its training images were scaled; `zscore` by default, or what a package states.
        pixel_size_nm: pixel size of these images, if known; a package may state it.
        output: the checkpoint.
        overwrite: whether to replace an existing checkpoint.

    Raises:
        InputError: it cannot be imported.
    """
    source, path = Path(weights), Path(output)
    check_outputs([path], overwrite, [source])
    if is_package(source):
        if network_args or (in_channels, num_classes) != (1, 2):
            raise InputError(
                f"import: {source} states arguments, channels and classes of its network; leave out --network_args,"
                " --in_channels and --num_classes."
            )
        imported = read_package(source, network, intensity)
        stated = imported.pixel_size_nm
        if stated and pixel_size_nm and not same_size(stated, pixel_size_nm):
            raise InputError(f"import: {source} states {stated:g} nm; leave out --pixel_size_nm {pixel_size_nm:g}.")
        imported = replace(imported, pixel_size_nm=stated or pixel_size_nm)
    elif network is None:
        raise InputError(f"import: {source} holds weights alone; name their network by --network.")
    else:
        imported = ImportedNetwork(
            network=network,
            weights=read_weights(source),
            network_args=network_args or {},
            in_channels=in_channels,
            num_classes=num_classes,
            intensity=intensity or "zscore",
            pixel_size_nm=pixel_size_nm,
        )
    write_checkpoint(imported, path)
    return imported, path
