"""Plain words and numbers for people: what a status means, how a dollar, a share or a duration is written."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from planner import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NONE = "-"
"""Stands where there is no value."""

ROUND_OFF = 1e-9
"""Fractions up to here are what additions of floating-point numbers leave; solvers' tolerances are larger."""

STOPPED = {
    "optimal_within_gap": "the gap asked for was reached",
    "time_limit": "the time limit ran out",
    "node_limit": "the node limit was reached",
    "interrupted": "it was interrupted",
    "infeasible": "no plan meets the limits",
    "unbounded": "the program is unbounded",
    "solver_error": "the solver failed",
}

PHASES = {
    "pretraining": "pre-training",
    "rl_training": "training on RL tokens",
    "rl_generation": "rollouts of RL",
    "prefill": "prefill",
    "decode": "decode",
    "both": "prefill and decode",
    "idle": "idle GPUs",
    "cache": "memory for prefixes",
}
"""Parts of the cost in the order of a life."""

_SIZES = ((1e12, "T"), (1e9, "B"), (1e6, "M"))

TERMS = {
    "attention": "attention",
    "dense": "dense layers and head",
    "experts": "experts",
    "all_reduce": "all-reduce",
    "all_to_all": "dispatch and combine",
    "overhead": "fixed overhead",
}

OVERLAPS = {"none": "nothing is hidden", "two_batch": "two micro-batches interleave"}


def number(value: float | None, digits: int = 4) -> str:
    """Write a number with ``digits`` significant digits and a separator at thousands."""
    if value is None:
        return NONE
    text = significant(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def significant(value: float | None, digits: int) -> str:
    """Write a number with ``digits`` significant digits, zeros behind the point included; 0 is ``"0"``."""
    if value is None:
        return NONE
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def usd(value: float | None) -> str:
    """Write dollars: cents from 1 $ on, no cents from 10,000 $ on, three significant digits below 1 $."""
    if value is None:
        return NONE
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size >= 10_000:
        return f"{sign}${size:,.0f}"
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    return f"{sign}${number(size, 3)}"


def usd_rounded(value: float | None) -> str:
    """Write dollars with four significant digits and M or B for millions or billions, for tables of large sums."""
    if value is None:
        return NONE
    if abs(value) < 1e6:
        return usd(value)
    scale, letter = (1e9, "B") if abs(value) >= 1e9 else (1e6, "M")
    return f"{'-' if value < 0 else ''}${significant(abs(value) / scale, 4)} {letter}"


def magnitude(value: float | None, digits: int = 3) -> str:
    """Write a count of parameters or tokens: ``magnitude(36.6e9)`` is ``"36.6 B"``."""
    if value is None:
        return NONE
    for size, letter in _SIZES:
        if abs(value) >= size:
            return f"{significant(value / size, digits)} {letter}"
    return number(value, digits)


def plain_powers(text: str) -> str:
    """Rewrite the powers of ten in a sentence: ``5.14e+10`` is ``51.4 B``, ``9.43e+24`` stays one without a sign."""
    return re.sub(r"\d[\d.]*e\+\d+", lambda found: _plain_power(found.group()), text)


def _plain_power(power: str) -> str:
    value = float(power)
    return magnitude(value) if value < 1e16 else power.replace("e+", "e")


def usd_column(values: Iterable[float | None]) -> list[str]:
    """Write dollars with one number of decimals for all, so that a column lines up; tenths of a cent below 10 $."""
    entries = list(values)
    largest = max((abs(entry) for entry in entries if entry is not None), default=0.0)
    decimals = 0 if largest >= 10_000 else 2 if largest >= 10 or largest == 0 else 3 if largest >= 0.1 else 5
    return [NONE if entry is None else _signed(entry, decimals) for entry in entries]


def _signed(value: float, decimals: int) -> str:
    rounded = round(value, decimals) + 0.0  # adding zero turns -0.0 into 0.0
    return f"{'-' if rounded < 0 else ''}${abs(rounded):,.{decimals}f}"


def share(value: float | None, digits: int = 3) -> str:
    """Write a fraction in per cent: ``share(0.0123)`` is ``"1.23 %"``; what is left of rounding is ``"0 %"``."""
    if value is None:
        return NONE
    return f"{number(0.0 if abs(value) <= ROUND_OFF else 100 * value, digits)} %"


def percent(value: float | None) -> str:
    """Write a fraction in per cent with one decimal, for columns of shares."""
    return NONE if value is None else f"{100 * value:.1f} %"


def fixed(value: float | None, decimals: int) -> str:
    """Write a number with a given number of decimals."""
    return NONE if value is None else f"{value:,.{decimals}f}"


def tiny(value: float | None) -> str:
    """Write a relative difference: ``"0"`` or one digit and a power of ten."""
    if value is None:
        return NONE
    return "0" if value == 0 else f"{value:.0e}"


def duration(value: float | None, digits: int = 3) -> str:
    """Write a time [s] for people; whole seconds from 1,000 s on."""
    if value is None:
        return NONE
    return f"{value:,.0f} s" if abs(value) >= 1000 else units.seconds(value, digits)


def size(value: float | None) -> str:
    """Write a number of bytes for people."""
    return NONE if value is None else units.with_prefix(value, "B")


def counted(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun: ``counted(2, "rack")`` is ``"2 racks"``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def against(value: float | None, limit: float | None) -> str:
    """Write a time [s] reached beside its limit [s]."""
    if value is None:
        return NONE
    return duration(value) if limit is None else f"{duration(value)} of {duration(limit)}"


def layout(deployment: Mapping[str, Any]) -> str:
    """Write the four degrees of parallelism of a deployment."""
    degrees = ("tensor_parallel", "data_parallel", "expert_parallel", "pipeline_parallel")
    return " / ".join(str(deployment[key]) for key in degrees)


def batch(deployment: Mapping[str, Any]) -> str:
    """Write what an attention rank works on at once: sequences in decode, prompts in prefill."""
    parts = []
    if deployment["decode_batch"]:
        parts.append(counted(deployment["decode_batch"], "sequence"))
    if deployment["prefill_requests"]:
        parts.append(counted(deployment["prefill_requests"], "prompt"))
    return ", ".join(parts) or NONE


def clean(text: object) -> str:
    """Replace control characters, so that a name cannot steer a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in str(text)
    )


def certainty(payload: Mapping[str, Any]) -> str:
    """Say in a sentence what is proven about the plan."""
    if payload["gap"] is None:
        return "No bound was proven: a better plan may exist."
    if payload["gap"] <= ROUND_OFF:
        return "Proven: no plan made of the choices offered costs less."
    return f"Proven: no plan made of the choices offered costs more than {share(payload['gap'])} less."
