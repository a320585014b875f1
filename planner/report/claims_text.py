"""Values of claims in words: what the terminal and the page write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping


def shown(value: object) -> str:
    """Write a value of a claim: four digits, B and T for large counts, yes or no."""
    if value is None:
        return words.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if value != 0 and abs(value) < 1e-3:
        return f"{value:.3g}"
    return _short(words.magnitude(value, 4)) if 1e6 <= abs(value) < 1e16 else words.number(value)


def _short(text: str) -> str:
    """Drop zeros behind the point: ``1.300 B`` is ``1.3 B``."""
    number, _, letter = text.partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {letter}".rstrip()


def shown_flip(flip: Mapping[str, Any] | None) -> str:
    """Say what the least change of one input is that turns the verdict."""
    if flip is None:
        return "no change of one input up to a factor of 100 turns the verdict"
    return f"to {flip['verdict']} at {flip['input']} = {shown(flip['value'])} ({flip['factor']:.3g} x)"
