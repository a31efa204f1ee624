"""Domains, from files, public data sets or a random seed, and the data module that pairs two of them."""

from bnadapt.data.datamodule import DomainPair
from bnadapt.data.domain import Domain, Section
from bnadapt.data.em import ISBI2012, VNC, AxonDeepSeg, CDeep3M, FlyEM, Lucchi
from bnadapt.data.folder import Folder
from bnadapt.data.input_change import InputChange
from bnadapt.data.pooled import Pooled
from bnadapt.data.shifted_domain import Shifted
from bnadapt.data.stack import Stack
from bnadapt.data.synthetic import Synthetic
from bnadapt.data.tiles_by_foreground import TilesByForeground

__all__ = [
    "ISBI2012",
    "VNC",
    "AxonDeepSeg",
    "CDeep3M",
    "Domain",
    "DomainPair",
    "FlyEM",
    "Folder",
    "InputChange",
    "Lucchi",
    "Pooled",
    "Section",
    "Shifted",
    "Stack",
    "Synthetic",
    "TilesByForeground",
]
