"""Read images, masks and stacks from files as a viewer shows them; unusable files raise `InputError`."""

from bnadapt.data.readers.images import read_image, read_mask_values
from bnadapt.data.readers.sections import Sections
from bnadapt.data.readers.stacks import open_masks, open_stack

__all__ = ["Sections", "open_masks", "open_stack", "read_image", "read_mask_values"]
