"""A proven lower bound on the distinct GPUs a token is sent to.

Count the pairs of a token's experts that sit on one GPU. k experts on d GPUs make at least the pairs of an even spread,
so few destinations need many pairs; and the slots of a GPU, and the load it may have, limit the pairs that any
placement brings together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.routing import TokenRouting

ROUNDING = 1e-9


def destinations_lower_bound(
    request: PlacementRequest, routing: TokenRouting, balance_floor: float | None = None
) -> FloatArray:
    """Bound the mean distinct GPUs a token is sent to (its own among them), shape [layer]; NaN for dense layers.

    Let A[e, f] be the share of tokens that choose both e and f. An expert shares its GPU with at most S - 1 others, so
    the pairs a token has on common GPUs are in the mean at most half of sum_e (S - 1 largest A[e, f]); copies do not
    change this, because whichever copy serves e has S - 1 neighbours. The least destinations for so many pairs are a
    convex function of them, so the bound holds for the mean (Jensen).

    Parameters
    ----------
    request
        Slots and GPUs.
    routing
        Recorded tokens; the bound is exact for them, not for other tokens.
    balance_floor
        Where given, and each expert has one copy on equal GPUs, only placements with this balance count: the
        neighbours of e also fit into what a GPU may carry beside e, a fractional knapsack.
    """
    bound = np.full(request.layers, np.nan)
    single = int(request.slots.sum()) == request.experts and request.equal_speed
    for layer, tokens in enumerate(routing.layers):
        if tokens is None:
            continue
        together = coactivation(tokens, request.experts)
        best = _largest_sums(together, request.slot_width - 1)
        if single and balance_floor is not None:
            load = request.load[0, layer]
            cap = load.sum() / int((request.slots > 0).sum()) / balance_floor * (1.0 + ROUNDING)
            best = np.minimum(best, _knapsacks(together, load, cap))
        pairs = 0.5 * float(best.sum())
        bound[layer] = _fewest_destinations(pairs, tokens.shape[1], request.slot_width, request.gpus)
    return bound


def coactivation(tokens: IntArray, experts: int) -> FloatArray:
    """Share of the tokens [token, top_k] that choose both of two experts, shape [expert, expert]; diagonal zero."""
    together = np.zeros((experts, experts))
    for first in range(tokens.shape[1]):
        for second in range(tokens.shape[1]):
            if first != second:
                np.add.at(together, (tokens[:, first], tokens[:, second]), 1.0)
    return together / len(tokens)


def _largest_sums(together: FloatArray, number: int) -> FloatArray:
    """Sum of the ``number`` largest entries of each row, shape [expert]."""
    number = min(number, together.shape[1])
    return np.asarray(-np.sort(-together, axis=1)[:, :number].sum(axis=1))


def _knapsacks(together: FloatArray, load: FloatArray, cap: float) -> FloatArray:
    """Most co-activation of each expert's neighbours whose load fits beside it under ``cap``, shape [expert]."""
    result = np.empty(len(load))
    for expert, row in enumerate(together):
        free = load <= 0
        order = np.argsort(-row / np.where(free, 1.0, load), kind="stable")
        order = order[(row[order] > 0) & ~free[order]]
        room = max(cap - load[expert], 0.0)
        filled = np.cumsum(load[order])
        taken = np.clip((room - (filled - load[order])) / load[order], 0.0, 1.0)
        result[expert] = float((row[order] * taken).sum() + row[free].sum())
    return result


def _fewest_destinations(pairs: float, top_k: int, width: int, gpus: int) -> float:
    """Least mean destinations of tokens with ``pairs`` pairs on common GPUs: the lower hull of (fewest pairs, GPUs)."""
    hull: list[tuple[float, float]] = []
    for destinations in range(min(top_k, gpus), -(-top_k // width) - 1, -1):
        size, larger = divmod(top_k, destinations)
        fewest = larger * (size + 1) * size // 2 + (destinations - larger) * size * (size - 1) // 2
        point = (float(fewest), float(destinations))
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return float(np.interp(pairs, [p for p, _ in hull], [d for _, d in hull])) - ROUNDING


def _above(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle point lies on or above the line through the others."""
    return (middle[1] - first[1]) * (last[0] - first[0]) >= (last[1] - first[1]) * (middle[0] - first[0])
