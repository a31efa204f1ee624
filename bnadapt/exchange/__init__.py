"""Export of networks to other programs, and import of networks from them."""

from bnadapt.exchange.export import FORMATS, FormatName, write_model
from bnadapt.exchange.exported import About, Export
from bnadapt.exchange.fixed_scaling import FixedScaling
from bnadapt.exchange.modules import probabilities_of

__all__ = ["FORMATS", "About", "Export", "FixedScaling", "FormatName", "probabilities_of", "write_model"]
