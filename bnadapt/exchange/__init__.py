"""Networks of bnadapt for other programs, and networks of others for bnadapt."""

from bnadapt.exchange.export import FORMATS, FormatName, write_model
from bnadapt.exchange.exported import About, Export
from bnadapt.exchange.modules import probabilities_of
from bnadapt.exchange.scaling import FixedScaling

__all__ = ["FORMATS", "About", "Export", "FixedScaling", "FormatName", "probabilities_of", "write_model"]
