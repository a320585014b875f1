"""A running map taken over to the GPUs and slots there are now: what was lost returns, with as few copies as can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray


def carry_over(running: IntArray, slots: IntArray, weight: FloatArray) -> IntArray:
    """Keep what is there, put back experts without a copy, fill the slots left over; shape [gpu, most slots].

    Every expert that lost its last copy needs one copied in, and one is enough: while slots >= experts there is a free
    slot or a spare copy (an expert with two) to give way, and a lost expert is on no GPU yet, so any of them will do.
    So with full slots the copies made are as many as the experts lost, and no repair makes fewer. Which copy gives way
    is chosen for the least load; the search may trade it for another.

    Parameters
    ----------
    running
        Experts, shape [gpu, slot before], -1 for empty.
    slots
        Slots now, shape [gpu]; 0 for a GPU out of service.
    weight
        Load, shape [expert].
    """
    assign = np.full((len(slots), int(slots.max())), -1, dtype=np.int64)
    count = _counts(running[slots > 0], len(weight))
    for gpu in np.flatnonzero(slots).tolist():
        kept = _kept(running[gpu], int(slots[gpu]), count, weight)
        assign[gpu, : len(kept)] = kept
    lost = np.flatnonzero(count == 0)
    for expert in lost[np.argsort(-weight[lost], kind="stable")].tolist():
        gpu, slot = _place_for(assign, slots, count, weight, expert)
        if assign[gpu, slot] >= 0:
            count[assign[gpu, slot]] -= 1
        assign[gpu, slot] = expert
        count[expert] = 1
    _fill(assign, slots, count, weight)
    return assign


def _counts(blocks: IntArray, experts: int) -> IntArray:
    return np.bincount(blocks[blocks >= 0], minlength=experts)


def _kept(block: IntArray, slots: int, count: IntArray, weight: FloatArray) -> list[int]:
    """Experts a GPU keeps, in their order; where it has too few slots the most copied and lightest go first."""
    kept = [int(expert) for expert in block if expert >= 0]
    while len(kept) > slots:
        going = max(range(len(kept)), key=lambda index: (count[kept[index]], -weight[kept[index]]))
        count[kept.pop(going)] -= 1
    return kept


def _loads(assign: IntArray, count: IntArray, weight: FloatArray) -> FloatArray:
    share = weight / np.maximum(count, 1)
    return np.asarray(np.where(assign >= 0, share[np.maximum(assign, 0)], 0.0).sum(axis=1))


def _place_for(assign: IntArray, slots: IntArray, count: IntArray, weight: FloatArray, expert: int) -> tuple[int, int]:
    """Free slot, else the spare copy, whose GPU carries least once ``expert`` is in."""
    load = _loads(assign, count, weight)
    inside = np.arange(assign.shape[1]) < slots[:, None]
    free = inside & (assign < 0)
    spare = inside & (assign >= 0) & (count[np.maximum(assign, 0)] > 1)
    leaving = np.where(spare, (weight / np.maximum(count, 1))[np.maximum(assign, 0)], 0.0)
    after = load[:, None] + weight[expert] - leaving
    allowed = free if free.any() else spare
    gpu, slot = np.unravel_index(np.argmin(np.where(allowed, after, np.inf)), assign.shape)
    return int(gpu), int(slot)


def _fill(assign: IntArray, slots: IntArray, count: IntArray, weight: FloatArray) -> None:
    """Fill free slots, the least loaded GPU first, with the hottest expert per copy that it lacks."""
    inside = np.arange(assign.shape[1]) < slots[:, None]
    while (free := inside & (assign < 0)).any():
        load = np.where(free.any(axis=1), _loads(assign, count, weight), np.inf)
        gpu = int(np.argmin(load))
        lacking = np.setdiff1d(np.arange(len(weight)), assign[gpu])
        expert = int(lacking[np.argmax(weight[lacking] / count[lacking])])
        assign[gpu, int(np.argmax(free[gpu]))] = expert
        count[expert] += 1
