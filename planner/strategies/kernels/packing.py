"""Greedy copy counts, longest-first packing, and descent by swaps for one load vector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.strategies.kernels.compiled import compiled

Float = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

IMPROVEMENT = 1e-12
"""Relative gain below which a move counts as no gain, so that rounding cannot make the descent cycle."""


@compiled
def greedy_counts(weight: Float, total_slots: int, gpus: int) -> Int64:
    """Count the copies, shape [expert]: each further slot to the most load per copy, at most one copy a GPU."""
    count = np.ones(len(weight), dtype=np.int64)
    for _ in range(total_slots - len(weight)):
        best, best_share, best_full = 0, -1.0, True
        for expert in range(len(weight)):
            full = count[expert] >= gpus
            share = weight[expert] / count[expert]
            if (best_full and not full) or (full == best_full and share > best_share):
                best, best_share, best_full = expert, share, full
        count[best] += 1
    return count


@compiled
def holds(assign: Int64, gpu: int, expert: int) -> bool:
    """Whether a GPU has a copy of an expert."""
    for slot in range(assign.shape[1]):  # noqa: SIM110 - numba compiles no any() over a generator
        if assign[gpu, slot] == expert:
            return True
    return False


@compiled
def loads_of(assign: Int64, share: Float, pace: Float) -> Float:
    """Load of each GPU over its speed, shape [gpu]."""
    load = np.zeros(len(assign))
    for gpu in range(len(assign)):
        total = 0.0
        for slot in range(assign.shape[1]):
            if assign[gpu, slot] >= 0:
                total += share[assign[gpu, slot]]
        load[gpu] = total / pace[gpu] if pace[gpu] > 0 else 0.0
    return load


@compiled
def pack_longest_first(share: Float, count: Int64, slots: Int64, pace: Float) -> Int64:
    """Put the copies, largest first, on the GPU that stays least loaded, without doubling where that can be helped."""
    gpus = len(slots)
    assign = np.full((gpus, np.max(slots)), -1, dtype=np.int64)
    filled = np.zeros(gpus, dtype=np.int64)
    load = np.zeros(gpus)
    for expert in np.argsort(-share, kind="mergesort"):
        for _ in range(count[expert]):
            best, best_load, best_doubled = -1, np.inf, True
            for gpu in range(gpus):
                if filled[gpu] >= slots[gpu]:
                    continue
                doubled = holds(assign, gpu, expert)
                after = load[gpu] + share[expert] / pace[gpu]
                if (best_doubled and not doubled) or (doubled == best_doubled and after < best_load):
                    best, best_load, best_doubled = gpu, after, doubled
            assign[best, filled[best]] = expert
            filled[best] += 1
            load[best] = best_load
    return assign


@compiled
def swap_keeps_distinct(assign: Int64, gpu: int, slot: int, other: int, other_slot: int) -> bool:
    """Whether swapping two slots puts no second copy of either expert on a GPU."""
    return not holds(assign, other, assign[gpu, slot]) and not holds(assign, gpu, assign[other, other_slot])


@compiled
def descend(assign: Int64, share: Float, load: Float, pace: Float, target: float) -> None:
    """Swap a slot of the fullest GPU with the slot that lowers the larger of both loads most, until none does.

    Changes ``assign`` and ``load`` in place; stops at ``target``.
    """
    gpus, width = assign.shape
    for _ in range(8 * gpus * width):
        full = int(np.argmax(load))
        if load[full] <= target:
            return
        best_value, best_slot, best_other, best_other_slot = load[full] * (1.0 - IMPROVEMENT), -1, -1, -1
        for slot in range(width):
            if assign[full, slot] < 0:
                continue
            size = share[assign[full, slot]]
            for other in range(gpus):
                if other == full or load[other] >= best_value:
                    continue
                for other_slot in range(width):
                    if assign[other, other_slot] < 0:
                        continue
                    moved = size - share[assign[other, other_slot]]
                    value = max(load[full] - moved / pace[full], load[other] + moved / pace[other])
                    if value < best_value and swap_keeps_distinct(assign, full, slot, other, other_slot):
                        best_value, best_slot, best_other, best_other_slot = value, slot, other, other_slot
        if best_slot < 0:
            return
        swap(assign, share, load, pace, full, best_slot, best_other, best_other_slot)


@compiled
def swap(
    assign: Int64, share: Float, load: Float, pace: Float, gpu: int, slot: int, other: int, other_slot: int
) -> None:
    """Exchange two slots and keep ``load`` in step."""
    moved = share[assign[gpu, slot]] - share[assign[other, other_slot]]
    load[gpu] -= moved / pace[gpu]
    load[other] += moved / pace[other]
    expert = assign[gpu, slot]
    assign[gpu, slot] = assign[other, other_slot]
    assign[other, other_slot] = expert


@compiled
def doubled_slot(assign: Int64, gpu: int) -> int:
    """Return the first slot of a GPU whose expert already sits in an earlier slot, or -1."""
    for slot in range(1, assign.shape[1]):
        for earlier in range(slot):
            if assign[gpu, slot] >= 0 and assign[gpu, slot] == assign[gpu, earlier]:
                return slot
    return -1


@compiled
def separate_copies(assign: Int64, share: Float, load: Float, pace: Float) -> int:
    """Swap second copies of an expert off their GPU, each where the larger of both loads stays least.

    Returns
    -------
    int
        Second copies that no single swap can separate.
    """
    gpus, width = assign.shape
    stuck = 0
    for gpu in range(gpus):
        for _ in range(width):
            slot = doubled_slot(assign, gpu)
            if slot < 0:
                break
            best_value, best_other, best_other_slot = np.inf, -1, -1
            for other in range(gpus):
                for other_slot in range(width):
                    if other == gpu or assign[other, other_slot] < 0:
                        continue
                    if not swap_keeps_distinct(assign, gpu, slot, other, other_slot):
                        continue
                    moved = share[assign[gpu, slot]] - share[assign[other, other_slot]]
                    value = max(load[gpu] - moved / pace[gpu], load[other] + moved / pace[other])
                    if value < best_value:
                        best_value, best_other, best_other_slot = value, other, other_slot
            if best_other < 0:
                stuck += 1
                break
            swap(assign, share, load, pace, gpu, slot, best_other, best_other_slot)
    return stuck
