"""A curve of one variable in a linear program: between tangent and chord of the segment in which the variable lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Curve:
    """A convex or concave function with its derivative and the points at which it is cut."""

    value: Callable[[float], float]
    slope: Callable[[float], float]
    points: tuple[float, ...]
    convex: bool


def add_curve(block: Any, x: Any, curve: Curve, extra: Sequence[float] = (), *, optional: bool = False) -> None:  # noqa: ANN401
    """Write ``block.y``, an outer approximation of the curve at ``x``.

    Sum_i at[i] = 1; x = sum_i part_i with part_i in its segment where at[i] = 1 and 0 elsewhere; y = sum_i height_i; a
    convex curve has height_i above the tangents at both ends and the middle of its segment and below its chord, a
    concave one the other way round.

    Parameters
    ----------
    block
        An empty block.
    x
        Variable within the first and the last point.
    curve, extra
        The curve, and further points at which it is cut.
    optional
        Let no segment be chosen (``block.used`` 0): x is then anything and y is 0.
    """
    points = sorted({*curve.points, *(point for point in extra if curve.points[0] < point < curve.points[-1])})
    segments = range(len(points) - 1)
    block.at = pyo.Var(segments, domain=pyo.Binary)
    block.part = pyo.Var(segments)
    block.y = pyo.Var()
    block.height = pyo.Var(segments)
    block.used = pyo.Var(domain=pyo.Binary) if optional else pyo.Param(initialize=1)
    block.one = pyo.Constraint(expr=sum(block.at.values()) == block.used)
    block.sums = pyo.Constraint(expr=block.y == sum(block.height.values()))
    where = sum(block.part.values())
    slack = _FAR * (1 - block.used) if optional else 0.0
    block.x_below = pyo.Constraint(expr=x - where <= slack)
    block.x_above = pyo.Constraint(expr=where - x <= slack)
    block.inside = pyo.ConstraintList()
    for i in segments:
        _cut(block, i, points[i], points[i + 1], curve)


_FAR = 200.0


def _cut(block: Any, segment: int, low: float, high: float, curve: Curve) -> None:  # noqa: ANN401 - a Pyomo block
    """Bound part and height of one segment; both are 0 where the segment is not chosen."""
    at, part, height = block.at[segment], block.part[segment], block.height[segment]
    block.inside.add(part >= low * at)
    block.inside.add(part <= high * at)
    chord = (curve.value(high) - curve.value(low)) / (high - low)
    line = (curve.value(low) - chord * low) * at + chord * part
    block.inside.add(height <= line if curve.convex else height >= line)
    for point in (low, (low + high) / 2, high):
        slope = curve.slope(point)
        line = (curve.value(point) - slope * point) * at + slope * part
        block.inside.add(height >= line if curve.convex else height <= line)
