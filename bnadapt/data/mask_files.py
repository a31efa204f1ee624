"""Which mask of a folder belongs to which image."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

from bnadapt.data.image_files import composed, image_files
from bnadapt.errors import InputError

log = logging.getLogger(__name__)

BY_NAME, BY_ORDER = "name", "order"
SHOWN_PAIRS = 3
MASK_WORDS = {
    "mask", "masks", "label", "labels", "seg", "segmentation", "gt", "groundtruth", "annotation", "probability"
}  # fmt: skip


def check_pair(pair: str, images: str) -> None:
    """Refuse a `pair` that is neither `name`, `order` nor a pattern; `images` is the folder, for the message."""
    if pair not in (BY_NAME, BY_ORDER) and [part.count("*") for part in pair.split(":")] not in ([1], [1, 1]):
        raise InputError(
            f"{images}: pair is {pair!r}; give {BY_NAME}, {BY_ORDER}, or a pattern with one * for the image's name,"
            " such as *_mask."
        )


def mask_files(folder: Path, images: Mapping[str, Path], pair: str, context: str) -> dict[str, Path]:
    """The masks in a folder by the name of their image without extension.

    Args:
        folder: folder of the masks.
        images: images by name without extension, possibly with the masks among them.
        pair: see `Folder`.
        context: name of the domain, for messages.

    Raises:
        InputError: masks are missing, or cannot be distinguished from images.
    """
    image_folder = next(iter(images.values())).parent
    if folder.resolve() == image_folder.resolve() and pair in (BY_NAME, BY_ORDER):
        raise InputError(
            f"{folder}: holds both images and masks, so set pair to the names of masks, such as *_mask or mask_*."
        )
    files = image_files(folder)
    if pair == BY_ORDER:
        return _in_order(folder, images, files, context)
    of_image, of_mask = _patterns(pair)
    middle = {match[1]: path for stem, path in files.items() if (match := of_mask.fullmatch(stem))}
    if not middle:
        raise InputError(f"{folder}: holds no masks with names (without their endings) like {pair!r}; check pair.")
    stems = {match[1]: stem for stem in images if (match := of_image.fullmatch(stem))}
    return {stems.get(name, name): path for name, path in middle.items()}


def check_no_masks(folder: Path, images: Mapping[str, Path]) -> None:
    """Refuse folders in which some, but not all, images are named like masks."""
    mask_like = [path.name for stem, path in images.items() if MASK_WORDS & set(re.split(r"[^a-z]+", stem.lower()))]
    if mask_like and len(mask_like) < len(images):
        raise InputError(
            f"{folder}: {len(mask_like)} of {len(images)} images are named like masks, such as {mask_like[0]}; move"
            " them to a separate folder, or give masks: the same folder, and pair: a pattern of their names, such"
            " as *_mask."
        )


def _in_order(folder: Path, images: Mapping[str, Path], masks: Mapping[str, Path], context: str) -> dict[str, Path]:
    """As many masks as images, in the order of their names; logs the first pairs."""
    if len(images) != len(masks):
        raise InputError(
            f"{folder}: holds {len(masks)} masks for {len(images)} images; give as many, or pair them by name."
        )
    pairs = list(zip(images.values(), masks.values(), strict=True))
    first = ", ".join(f"{image.name} with {mask.name}" for image, mask in pairs[:SHOWN_PAIRS])
    more = " and so on" if len(pairs) > SHOWN_PAIRS else ""
    log.warning("%s: %d images and masks are paired by order: %s%s.", context, len(pairs), first, more)
    return dict(zip(images, masks.values(), strict=True))


def _patterns(pair: str) -> tuple[re.Pattern, re.Pattern]:
    """Patterns of the names of images and masks; their group is the shared part."""
    of_image, _, of_mask = ("" if pair == BY_NAME else composed(pair)).rpartition(":")
    return tuple(
        re.compile(re.escape(each or "*").replace(re.escape("*"), "(.+)"), re.DOTALL) for each in (of_image, of_mask)
    )
