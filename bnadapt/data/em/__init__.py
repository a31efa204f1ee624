"""Public, labelled EM data sets, fetched from their origin on first use."""

from bnadapt.data.em.axondeepseg import AxonDeepSeg
from bnadapt.data.em.cdeep3m import CDeep3M
from bnadapt.data.em.flyem import FlyEM
from bnadapt.data.em.isbi2012 import ISBI2012
from bnadapt.data.em.lucchi import Lucchi
from bnadapt.data.em.origin import data_folder, registered
from bnadapt.data.em.vnc import VNC

__all__ = ["ISBI2012", "VNC", "AxonDeepSeg", "CDeep3M", "FlyEM", "Lucchi", "data_folder", "registered"]
