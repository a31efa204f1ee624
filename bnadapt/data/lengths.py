"""Lengths, in the units that files name."""

import math
import re
import unicodedata
from typing import Any

PREFIXES = {
    **{"yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2},
    **{"deca": 1, "": 0, "deci": -1, "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15},
    **{"atto": -18, "zepto": -21, "yocto": -24},
}
NANOMETRES = {
    **{f"{prefix}{word}": 10.0 ** (power + 9) for prefix, power in PREFIXES.items() for word in ("meter", "metre")},
    **{"micron": 1e3, "angstrom": 0.1, "ångstrom": 0.1, "ångström": 0.1, "inch": 2.54e7},
}
SYMBOLS = {
    **{"m": 1e9, "dm": 1e8, "cm": 1e7, "mm": 1e6, "nm": 1.0, "pm": 1e-3, "fm": 1e-6, "in": 2.54e7, "km": 1e12},
    **dict.fromkeys(("um", "\u03bcm"), 1e3),
    **dict.fromkeys(("\u00c5", "A"), 0.1),
}
ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")  # as ImageJ writes the signs of micro and of angstrom
PIXELS = {"pixel", "pixels", "px", ""}
SIZES = 1e-6, 1e12  # nm; lengths outside are mistakes
ROUNDED = 0.02  # relative difference of a size and a rounded one


def nanometres_in(unit: str | None) -> float | None:
    """Nanometres per unit of length, by its symbol or its name in English; None if unknown."""
    unit = ESCAPED.sub(lambda match: chr(int(match[1], 16)), unit or "")
    unit = unicodedata.normalize("NFKC", unit).strip()
    symbol = unit.lower() if unit.isupper() and unit not in SYMBOLS else unit
    if symbol in SYMBOLS:
        return SYMBOLS[symbol]
    word = unit.lower()
    return next((NANOMETRES[each] for each in (word, *map(word.removesuffix, ("s", "es"))) if each in NANOMETRES), None)


def same_size(first: float, second: float) -> bool:
    """Whether two lengths are equal up to rounding."""
    return abs(first - second) <= ROUNDED * max(first, second)


def is_size(nm: float) -> bool:
    """Whether a length in nanometres is one that a pixel can have."""
    least, most = SIZES
    return least <= nm <= most


def length(value: Any) -> float | None:
    """A stated length as a float; None if it is not a positive finite number."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < math.inf else None
