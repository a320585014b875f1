"""Proven lower bounds on the load of the fullest GPU: no placement, however found, does better.

Each bound is derived in the docstring of its function; `tests` check all of them against enumeration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.strategies import risk

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

Quality = Literal["fast", "tight"]

BISECTIONS = 48
"""Halvings of the search interval: 2^-48 of the load is far below what float64 sums resolve."""

PRECISION = 1e-4
"""Relative length to which the interval of the companion bound is narrowed."""

ROUNDING = 1e-12
"""Relative amount taken off every bound so that float rounding can never lift it above the truth."""


def largest_load_lower_bound(
    load: FloatArray,
    gpus: int,
    slots_per_gpu: int | IntArray,
    speed: FloatArray | None = None,
    quality: Quality = "fast",
) -> FloatArray:
    """Bound the largest GPU load (over its relative speed, where given) of each layer from below.

    Parameters
    ----------
    load
        Tokens, shape [layer, expert], finite and not negative.
    gpus, slots_per_gpu, speed
        As in `PlacementRequest`; GPUs without a slot are left out.
    quality
        ``fast``: the mean load and the slot count, valid for any split of tokens over copies, some milliseconds for
        58 x 256. ``tight``: the companion bound too (`planner.strategies.companion`), valid for the even split on equal
        GPUs with equal slots, to a relative 1e-4: some linear programs of 10 to 30 ms a layer.

    Returns
    -------
    array, shape [layer]
        0 for a layer without load.
    """
    tokens = np.atleast_2d(np.asarray(load, dtype=float))
    slots = np.broadcast_to(np.asarray(slots_per_gpu), (gpus,))
    pace = np.where(slots > 0, 1.0 if speed is None else np.asarray(speed, dtype=float), 0.0)
    mean = tokens.sum(axis=1) / pace.sum()
    bound = np.maximum(mean, _slot_bound(tokens, int(slots.sum()), np.sort(pace)[::-1]))
    shape = companion_shape(slots, pace)
    if quality == "tight" and shape is not None:
        fastest = pace.max()
        bound = np.array([_companion(row, *shape, low * fastest) for row, low in zip(tokens, bound, strict=True)])
        bound /= fastest
    return np.asarray(bound * (1.0 - ROUNDING))


def companion_shape(slots: IntArray, pace: FloatArray) -> tuple[int, int] | None:
    """GPUs in use and slots of each where the companion bound applies, else ``None``; ``slots`` and ``pace`` [gpu]."""
    used = slots > 0
    equal = np.ptp(slots[used]) == 0 and np.ptp(pace[used]) == 0
    return (int(used.sum()), int(slots.max())) if equal and slots.max() > 1 else None


def _companion(weight: FloatArray, gpus: int, slots: int, low: float) -> float:
    """Companion bound of one layer from the bound ``low``, below the load that plain packing reaches."""
    from planner.strategies.kernels import packing
    from planner.strategies.layer_proof import LayerProof

    if low <= 0:
        return low
    count = packing.greedy_counts(weight, gpus * slots, gpus)
    share, pace = weight / count, np.ones(gpus)
    assign = packing.pack_longest_first(share, count, np.full(gpus, slots), pace)
    reached = float(packing.loads_of(assign, share, pace).max())
    return LayerProof(weight, gpus, slots).raise_bound(low, reached, PRECISION)


def _slot_bound(tokens: FloatArray, total_slots: int, pace: FloatArray) -> FloatArray:
    """Smallest T at which the copies that experts need at least fit the slots, shape [layer]; ``pace`` falls.

    n copies lie on n GPUs at most, and those carry at most T times the sum of the n largest speeds: expert e needs the
    least n that holds w_e, max(1, ceil(w_e / (T s))) on equal GPUs, for any split of its tokens. An expert can use all
    GPUs at most, so T >= w_e / sum(s), which is below the mean and needs no term. Under bisection the lower end stays
    infeasible.
    """
    equal = pace[pace > 0][-1] == pace[0]
    fastest = float(pace[0])
    reach = np.cumsum(pace[pace > 0])
    high = tokens.max(axis=1) / fastest
    low = np.zeros(len(tokens))
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        limit = np.where(middle > 0, middle, 1.0)[:, None]
        if equal:
            copies = np.maximum(np.ceil(tokens / (limit * fastest)), 1.0).sum(axis=1)
        else:
            copies = (np.searchsorted(reach, tokens / limit * (1.0 - ROUNDING)) + 1.0).sum(axis=1)
        fits = (copies <= total_slots) | (middle <= 0)
        high = np.where(fits, middle, high)
        low = np.where(fits, low, middle)
    return low


def imbalance_lower_bound(load: FloatArray, gpus: int, slots_per_gpu: int | IntArray) -> FloatArray:
    """Bound largest GPU load / mean GPU load of each layer from below, shape [layer]; 1 for a layer without load."""
    tokens = np.atleast_2d(np.asarray(load, dtype=float))
    used = int((np.broadcast_to(np.asarray(slots_per_gpu), (gpus,)) > 0).sum())
    mean = tokens.sum(axis=1) / used
    bound = largest_load_lower_bound(tokens, gpus, slots_per_gpu)
    return np.asarray(np.maximum(np.where(mean > 0, bound / np.where(mean > 0, mean, 1.0), 1.0), 1.0))


def scenario_imbalance_bound(request: PlacementRequest, quality: Quality = "fast") -> FloatArray:
    """Bound largest / mean GPU load from below, shape [scenario, layer]; NaN where there is no load.

    The companion bound assumes the even split and is left out under other dispatch rules.
    """
    load = np.asarray(request.load, dtype=float)
    flat = load.reshape(-1, request.experts)
    allowed: Quality = quality if request.dispatch == "even" else "fast"
    largest = largest_load_lower_bound(flat, request.gpus, request.slots, request.speed, allowed)
    mean = flat.sum(axis=1) / request.relative_speed.sum()
    bound = np.where(mean > 0, np.maximum(largest / np.where(mean > 0, mean, 1.0), 1.0), np.nan)
    return np.asarray(bound.reshape(load.shape[:2]))


def balance_upper_bound(request: PlacementRequest, quality: Quality = "fast") -> FloatArray:
    """Bound the expected mean / largest GPU load over scenarios from above, shape [layer]; NaN if dense.

    No placement beats the bound of a scenario in that scenario, so none beats the mean of the bounds in the mean.
    """
    return risk.expected(1.0 / scenario_imbalance_bound(request, quality), request.scenario_probability)
