"""Volumes that do not fit in memory: runs that survive being cut off."""

from bnadapt.volumes import recipe
from bnadapt.volumes.unfinished import Unfinished

__all__ = ["Unfinished", "recipe"]
