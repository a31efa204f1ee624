"""What is known about a network and an image before anything runs, and where they do not fit."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnadapt.actions.self_train import SELF_TRAINING_OPTIONS
from bnadapt.data import DomainPair
from bnadapt.data.formats import format_of, stem_of
from bnadapt.data.readers import open_stack
from bnadapt.gain import PREVIEWED
from bnadapt.gain.candidates import NONE
from bnadapt.napari.inputs import AS_IT_IS, RECOMMENDED, SELF_TRAINED, TILE, Facts, Inputs, Treatment
from bnadapt.napari.loading import target_of, task_class
from bnadapt.networks.stored import load_tensors
from bnadapt.tasks.checkpoints import StoredTask, read_checkpoint
from bnadapt.text import counted

LEARNT = Treatment(SELF_TRAINED, "adapt all layers, then self-train", SELF_TRAINING_OPTIONS)
MOST_RESAMPLED = 1.5  # factor above which one of the two pixel sizes is likely wrong


def checked(inputs: Inputs) -> Facts:
    """Examine a checkpoint and an image, without running anything."""
    path = Path(inputs.image)
    inputs = replace(inputs, is_folder=path.is_dir() and format_of(path) is None)
    stored = read_checkpoint(Path(inputs.checkpoint))
    task_class(stored)
    checkpoint = load_tensors(Path(inputs.checkpoint))
    scaling = checkpoint.get(DomainPair.__qualname__) or {}
    target = target_of(inputs)
    sections = target.all_sections()
    image = sections[0].read_image()
    size, image_nm, network_nm = image.shape[:2], sections[0].pixel_size_nm, scaling.get("pixel_size_nm")
    factor = image_nm / network_nm if image_nm and network_nm else 1
    side = int(min(size) * factor)
    inputs = replace(inputs, tile_size=min(TILE, side // 16 * 16 or side))
    channels = 1 if image.ndim == 2 else image.shape[2]
    return Facts(
        inputs,
        list(_network_lines(stored, checkpoint, scaling)),
        list(_image_lines(inputs, len(sections), image, image_nm)),
        list(_warnings(stored.parameters["in_channels"], channels, network_nm, image_nm)),
        image_nm,
        len(sections),
        _treatments(stored, checkpoint),
        str(path.absolute().parent / f"{stem_of(path)}-bnadapt"),
    )


def _network_lines(stored: StoredTask, checkpoint: Mapping[str, Any], scaling: Mapping[str, Any]) -> Iterator[str]:
    asked = stored.parameters
    about = ", ".join(f"{name} {value}" for name, value in (asked["network_args"] or {}).items())
    yield f"{asked['network']}{f' ({about})' if about else ''}, {counted(asked['num_classes'], 'class', 'classes')}"
    size = f"pixels of {scaling['pixel_size_nm']:g} nm" if scaling.get("pixel_size_nm") else "unknown pixel size"
    yield f"trained on images scaled by {scaling.get('intensity', 'unknown numbers')}, {size}"
    if "adaptation" in checkpoint:
        yield f"adapted to {checkpoint['adaptation'].get('target', 'a target')}"
    if "source_summary" not in checkpoint:
        yield "knows nothing of its source, so that nothing is recommended (bnadapt source_summary adds it)"


def _image_lines(inputs: Inputs, sections: int, image: Any, image_nm: float | None) -> Iterator[str]:
    size = f"{image.shape[0]} x {image.shape[1]} pixels, {image.dtype}"
    yield f"{counted(sections, 'image' if inputs.is_folder else 'section')} of {size}"
    if not inputs.is_folder:
        opened = open_stack(inputs.image, inputs.key, index=dict(inputs.index), plane=inputs.plane)
        spacing = f", sections {opened.spacing_nm:g} nm apart" if opened.spacing_nm else ""
        yield f"axes {' '.join(opened.letters)}{spacing}"
    said = "as given" if inputs.pixel_size_nm else "as its file says"
    yield f"pixels of {image_nm:g} nm, {said}" if image_nm else "pixel size unknown"


def _warnings(takes: int, has: int, network_nm: float | None, image_nm: float | None) -> Iterator[str]:
    if takes != has:
        yield f"The image has {counted(has, 'channel')}, the network takes {takes}: it cannot be segmented as it is."
    if network_nm and not image_nm:
        yield (
            f"The network was trained on pixels of {network_nm:g} nm, and the image's pixel size is unknown: give it,"
            " or structures may have another size than the network expects."
        )
    if network_nm and image_nm and not 1 / 1.01 < image_nm / network_nm < 1.01:
        factor = image_nm / network_nm
        what = f"enlarged {factor:.2g} times" if factor > 1 else f"shrunk to {factor:.0%}"
        far = not 1 / MOST_RESAMPLED < factor < MOST_RESAMPLED
        check = " That is far: check that both pixel sizes are right." if far else ""
        yield (
            f"The network was trained on pixels of {network_nm:g} nm, the image has {image_nm:g} nm: for the network"
            f" the image is {what}.{check}"
        )
    if image_nm and not network_nm:
        yield "The network does not know its pixel size, so the image is segmented as it is."


def _treatments(stored: StoredTask, checkpoint: Mapping[str, Any]) -> list[Treatment]:
    """Possible treatments; a recommendation, and changes of the images, need a known source."""
    is_known = stored.parameters["num_classes"] == 2 and "source_summary" in checkpoint
    candidates = [
        Treatment(name, each.title, each.policy_options if each.keeps_images else ("--choose", name))
        for name, each in PREVIEWED.items()
        if name != NONE and (is_known or each.keeps_images)
    ]
    return [*([RECOMMENDED] if is_known else []), *candidates, LEARNT, AS_IT_IS]
