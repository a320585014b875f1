"""The companion bound in its Lagrangian form: what the copies of a layer cost in slots at given prices.

`planner.strategies.companion` derives the inequalities and finds the prices by a linear program. Priced, a copy costs
``level[i] + slope[i] * size`` slots for a size over the limit between ``position[i - 1]`` and ``position[i]``; it never
falls, but jumps. Whatever the prices, a layer whose cheapest counts cost more than the slots there are cannot keep to
the limit. So the proof rests on the sums in this file alone, not on the tolerances of a solver or the columns it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.kernels.compiled import compiled

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float, Int64

EDGE = 1e-12
"""Sizes this close to the limit count as within it, so that rounding cannot make a proof of a tie."""

BISECTIONS = 24


@compiled
def count_cost(size: float, copies: int, position: Float, level: Float, slope: Float) -> float:
    """Cost of ``copies`` copies of an expert whose whole load over the limit is ``size``."""
    step = np.searchsorted(position, size / copies)
    return float(copies * level[step] + slope[step] * size)


@compiled
def cheapest_counts(
    weight: Float, limit: float, position: Float, level: Float, slope: Float, most: int, count: Int64
) -> float:
    """Fill ``count`` [expert] with the cheapest numbers of copies no larger than ``limit``; return what they cost.

    ``most`` bounds the copies of one expert; infinity is returned where an expert needs more. Below the first step more
    copies only cost more.
    """
    total = 0.0
    for expert in range(len(weight)):
        size = weight[expert] / limit
        best = np.inf
        copies = max(1, int(np.ceil(size - EDGE)))
        while copies <= most and copies * level[0] < best:
            cost = count_cost(size, copies, position, level, slope)
            if cost < best:
                best = cost
                count[expert] = copies
            if size / copies <= position[0]:
                break
            copies += 1
        total += best
    return total


@compiled
def highest_disproved(
    weight: Float, low: float, high: float, position: Float, level: Float, slope: Float, slots: float, most: int
) -> float:
    """Raise ``low`` towards ``high`` as far as these prices prove that no placement keeps to it in ``slots`` slots.

    Returns ``low`` where the prices prove nothing.
    """
    count = np.zeros(len(weight), dtype=np.int64)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if cheapest_counts(weight, middle, position, level, slope, most, count) > slots:
            low = middle
        else:
            high = middle
    return low


@compiled
def affordable_counts(
    weight: Float, limit: float, position: Float, level: Float, slope: Float, most: int, excess: float
) -> Int64:
    """List (expert, copies) [entry, 2] of the counts that cost at most ``excess`` more than their expert's cheapest.

    With ``excess`` the slots there are less the cost of the cheapest counts, a count left out belongs to no placement
    within ``limit``: it would raise that cost above the slots.
    """
    best = np.zeros(len(weight), dtype=np.int64)
    cheapest_counts(weight, limit, position, level, slope, most, best)
    entry = np.zeros((len(weight) * most, 2), dtype=np.int64)
    entries = 0
    for expert in range(len(weight)):
        size = weight[expert] / limit
        allowed = count_cost(size, best[expert], position, level, slope) + excess
        copies = max(1, int(np.ceil(size - EDGE)))
        while copies <= most and copies * level[0] <= allowed:
            if count_cost(size, copies, position, level, slope) <= allowed:
                entry[entries, 0] = expert
                entry[entries, 1] = copies
                entries += 1
            copies += 1
    return entry[:entries].copy()
