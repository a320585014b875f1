"""What the rows of a sweep answer: which key swings the cost most, and where a choice flips."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.instance.sweep import BreakEven, SweepSpec

    Solve = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]


def answer_questions(spec: SweepSpec, rows: Sequence[dict[str, Any]], solve: Solve) -> dict[str, Any]:
    """Answer the tornado and break-even questions of a sweep."""
    return {
        "tornado": tornado(spec, rows) if spec.tornado else [],
        "break_even": [break_even(spec, question, solve) for question in spec.break_even],
    }


def tornado(spec: SweepSpec, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cost at the low and the high end of each key beside the base, the widest swing first."""
    cost = {repr(sorted(row["point"].items())): row["cost_usd"] for row in rows}

    def at(point: dict[str, Any]) -> float | None:
        return cost.get(repr(sorted(point.items())))

    base = at({})
    swings = [
        {
            "key": key,
            "low": swing.low,
            "high": swing.high,
            "base_usd": base,
            "low_usd": at({key: swing.low}),
            "high_usd": at({key: swing.high}),
        }
        for key, swing in spec.tornado.items()
    ]
    return sorted(swings, key=lambda entry: -_swing(entry))


def _swing(entry: dict[str, Any]) -> float:
    values = [entry[name] for name in ("low_usd", "high_usd", "base_usd")]
    known = [value for value in values if value is not None]
    return math.inf if len(known) < len(values) else max(known) - min(known)


def break_even(spec: SweepSpec, question: BreakEven, solve: Solve) -> dict[str, Any]:
    """Bisect a key until the bracket in which the watched column changes is narrow.

    The answer is a bracket with a certified plan at each end: between them the choice changes (if it changes more than
    once, at least one change lies inside). ``flips`` is False where both ends of the range choose the same.
    """
    ends = [question.start, question.stop]
    rows = [_solved(spec, question, value, solve) for value in ends]
    solves = 2
    if _watched(rows[0], question) != _watched(rows[1], question):
        while _width(ends, question) > question.tolerance:
            middle = _middle(ends, question)
            row = _solved(spec, question, middle, solve)
            solves += 1
            side = 0 if _watched(row, question) == _watched(rows[0], question) else 1
            ends[side], rows[side] = middle, row
    return {
        "key": question.key,
        "watch": question.watch,
        "flips": _watched(rows[0], question) != _watched(rows[1], question),
        "below": ends[0],
        "above": ends[1],
        "below_choice": _watched(rows[0], question),
        "above_choice": _watched(rows[1], question),
        "below_usd": rows[0]["cost_usd"],
        "above_usd": rows[1]["cost_usd"],
        "solves": solves,
    }


def _solved(spec: SweepSpec, question: BreakEven, value: float, solve: Solve) -> dict[str, Any]:
    point = {question.key: value}
    return solve(spec.changes(point), point)


def _watched(row: dict[str, Any], question: BreakEven) -> Any:  # noqa: ANN401 - any column
    return row["status"] if row["cost_usd"] is None else row.get(question.watch)


def _middle(ends: list[float], question: BreakEven) -> float:
    if question.scale == "log":
        return math.sqrt(ends[0] * ends[1])
    return (ends[0] + ends[1]) / 2


def _width(ends: list[float], question: BreakEven) -> float:
    if question.scale == "log":
        return math.log(ends[1] / ends[0]) / math.log(question.stop / question.start)
    return (ends[1] - ends[0]) / (question.stop - question.start)
