"""Units at the border: text such as "80 GB" or "2 s" becomes a float in SI units, and back for people.

Inside the planner every quantity is a plain float in seconds, bytes, tokens, FLOP or US dollars. A bare number in a
file is taken to be in the base unit already.
"""

from __future__ import annotations

import functools
import math
from typing import Any

BASE_UNITS: dict[str, str] = {
    "bytes": "byte",
    "bytes_per_s": "byte/second",
    "flop_per_s": "flop/second",
    "s": "second",
    "per_s": "1/second",
    "usd": "usd",
    "usd_per_gpu_hour": "usd/hour",
    "tokens": "token",
    "tokens_per_s": "token/second",
    "watt": "watt",
    "count": "dimensionless",
}


@functools.cache
def _registry() -> Any:  # noqa: ANN401 - pint ships no usable types
    import pint

    registry = pint.UnitRegistry(autoconvert_offset_to_baseunit=False, cache_folder=None)
    for definition in ("flop = [computation] = FLOP", "usd = [money] = USD = dollar", "token = [token_count] = tok",
                       "request = [] = req", "gpu = [] = GPU"):
        registry.define(definition)
    return registry


def parse(value: float | str, base: str) -> float:
    """Convert a number, or text with a unit, to the base unit named by ``base``.

    Parameters
    ----------
    value
        A number already in the base unit, or text such as ``"186 GB"``, ``"8 TB/s"``, ``"50 ms"``.
    base
        A key of ``BASE_UNITS``.

    Returns
    -------
    float
        The quantity in the base unit.

    Raises
    ------
    ValueError
        If the text cannot be read, has another dimension, or is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"expected a number or text with a unit, got {type(value).__name__}")
    number = float(value) if isinstance(value, (int, float)) else _parse_text(value, base)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _parse_text(text: str, base: str) -> float:
    unit = BASE_UNITS[base]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(_registry().Quantity(text).to(unit).magnitude)
    except Exception as error:
        raise ValueError(f"{text!r} is not a quantity in {unit}") from error


_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def with_prefix(value: float, unit: str, digits: int = 3) -> str:
    """Format a number for people with a decimal prefix: ``with_prefix(1.86e11, "B")`` is ``"186 GB"``."""
    if not math.isfinite(value):
        return f"{value} {unit}"
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale:
            return f"{value / scale:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def seconds(value: float, digits: int = 3) -> str:
    """Format a duration for people: ``seconds(0.0123)`` is ``"12.3 ms"``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(value) >= scale:
            return f"{value / scale:.{digits}g} {unit}"
    return f"{value:.{digits}g} s"
