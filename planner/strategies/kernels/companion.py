"""The companion bound: a GPU with a large copy needs small copies beside it, and both cost slots.

Suppose no GPU carries more than T. A GPU with a copy above t >= T/2 has S - 1 other slots, and for every j = 1 .. S - 1
at least S - j of them hold at most (T - t) / j, because j larger ones would not fit. No two copies above T/2 share a
GPU, so the copies of at most (T - t) / j, empty slots included, number at least S - j times the copies above t. With
n_e copies of expert e that reads

    sum_e n_e (1 + (S - j) [w_e / n_e > t] - [w_e / n_e <= (T - t) / j]) <= P,

beside sum_e n_e <= P and n_e >= w_e / T. Any mix of the two, 1 - m of the plain and m of the companion inequality, must
hold as well, and its left side splits by expert: if the sum over experts of the least cost passes P, no placement
reaches T. Valid for the even split on equal GPUs with equal slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.kernels.compiled import compiled

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float

BISECTIONS = 14
THRESHOLDS = 48
MIXES = 12


@compiled
def least_cost(weight: Float, limit: float, threshold: float, small: float, large_cost: float, mix: float) -> float:
    """Sum over experts of the cheapest number of copies.

    A copy above ``threshold`` costs 1 + mix * large_cost, one of at most ``small`` costs 1 - mix, any other 1; within
    each class the fewest copies are the cheapest.
    """
    total = 0.0
    for load in weight:
        fewest = max(1.0, np.ceil(load / limit))
        medium = max(1.0, np.ceil(load / threshold))
        best = medium if load / medium > small else medium * (1.0 - mix)
        if load / fewest > threshold:
            best = min(best, fewest * (1.0 + mix * large_cost))
        if small > 0.0:
            best = min(best, max(1.0, np.ceil(load / small)) * (1.0 - mix))
        total += best
    return total


@compiled
def unreachable(weight: Float, limit: float, gpus: int, slots: int) -> bool:
    """Whether some companion inequality proves that the largest load must exceed ``limit``."""
    total = gpus * slots * (1.0 + 1e-9)
    for step in range(THRESHOLDS):
        threshold = limit * (0.5 + 0.5 * step / THRESHOLDS)
        for larger in range(1, slots):
            small = (limit - threshold) / larger
            for mix in range(1, MIXES + 1):
                if least_cost(weight, limit, threshold, small, float(slots - larger), mix / MIXES) > total:
                    return True
    return False


@compiled
def companion_bound(tokens: Float, gpus: int, slots: int, start: Float) -> Float:
    """Raise the bound ``start`` [layer] on the largest GPU load as far as the companion inequalities prove; [layer]."""
    bound = start.copy()
    for layer in range(len(tokens)):
        if start[layer] <= 0.0 or not unreachable(tokens[layer], start[layer], gpus, slots):
            continue
        low, high = start[layer], max(2.0 * start[layer], np.max(tokens[layer]))
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            if unreachable(tokens[layer], middle, gpus, slots):
                low = middle
            else:
                high = middle
        bound[layer] = low
    return bound
