"""Work that runs in threads: checks, looks, corrections and segmentations. Imports torch, and is imported there."""

from bnadapt.napari.checking import checked
from bnadapt.napari.correcting import corrected, finetuned, measured, proposed
from bnadapt.napari.looking import Looker
from bnadapt.napari.segmenting import adapted, classes_in, objects, section, volume

__all__ = [
    "Looker",
    "adapted",
    "checked",
    "classes_in",
    "corrected",
    "finetuned",
    "measured",
    "objects",
    "proposed",
    "section",
    "volume",
]
