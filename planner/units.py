"""Units at the border: text such as "80 GB" or "2 s" becomes a float in SI units, and back for people.

Inside the planner every quantity is a plain float in seconds, bytes, tokens, FLOP or US dollars. A bare number in a
file is taken to be in the base unit already.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any

BASE_UNITS: dict[str, str] = {
    "bytes": "byte",
    "bytes_per_s": "byte/second",
    "flop_per_s": "flop/second",
    "s": "second",
    "per_s": "1/second",
    "usd": "usd",
    "usd_per_gpu_hour": "usd/hour",
    "usd_per_mtok": "usd/megatoken",
    "usd_per_mtok_hour": "usd/megatoken/hour",
    "tokens": "token",
    "tokens_per_s": "token/second",
    "watt": "watt",
    "count": "dimensionless",
}


# Own definitions and none of pint's: there a byte has no dimension and "b" is a barn, so "8 TB/s" would pass for a
# frequency and "400 Gb/s" for an area per second.
_DEFINITIONS = (
    *("nano- = 1e-9 = n-", "micro- = 1e-6 = u- = µ-", "milli- = 1e-3 = m-", "kilo- = 1e3 = k-", "mega- = 1e6 = M-"),
    *("giga- = 1e9 = G-", "tera- = 1e12 = T-", "peta- = 1e15 = P-", "exa- = 1e18 = E-", "zetta- = 1e21 = Z-"),
    *("kibi- = 2**10 = Ki-", "mebi- = 2**20 = Mi-", "gibi- = 2**30 = Gi-", "tebi- = 2**40 = Ti-"),
    *("second = [time] = s = sec", "minute = 60 * second = min", "hour = 3600 * second = h"),
    *("day = 86400 * second = d", "week = 7 * day", "year = 365.25 * day"),
    *("byte = [information] = B", "bit = byte / 8 = b", "bit_per_second = bit / second = bps"),
    *("flop = [computation] = FLOP", "flop_per_second = flop / second = FLOPS"),
    *("usd = [money] = USD = dollar", "token = [token_count] = tok", "watt = [power] = W"),
    *("request = [] = req", "gpu = [] = GPU", "percent = 0.01 = %"),
)
_NUMBER_THEN_UNIT = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµ%/ ].*)")


@functools.cache
def _registry() -> Any:  # noqa: ANN401 - pint ships no usable types
    import pint

    registry: Any = pint.UnitRegistry(None, cache_folder=None)
    for definition in _DEFINITIONS:
        registry.define(definition)
    return registry


def parse(value: float | str, base: str) -> float:
    """Convert a number, or text with a unit, to the base unit named by ``base``.

    Parameters
    ----------
    value
        A number already in the base unit, or text such as ``"186 GB"``, ``"8 TB/s"``, ``"400 Gb/s"``
        (gigabit), ``"5 PFLOP/s"``, ``"50 ms"``, ``"2 usd/hour"``.
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
    try:
        number = float(value) if isinstance(value, (int, float)) else _parse_text(value, base)
    except OverflowError:
        raise ValueError("the number is too large") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _parse_text(text: str, base: str) -> float:
    unit = BASE_UNITS[base]
    try:
        return float(text)
    except ValueError:
        pass
    match = _NUMBER_THEN_UNIT.fullmatch(text.replace("$", "usd"))
    if match is None:
        raise ValueError(f"{text!r} is not a number with a unit; {unit} is wanted")
    try:
        return float(_registry().Quantity(float(match[1]), match[2].strip()).to(unit).magnitude)
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
