"""Packing where every expert may live on some GPUs only, such as those of the nodes its router group is tied to.

``allowed`` bool [expert, gpu] says where; the other arrays are those of `planner.strategies.kernels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit
from planner.strategies.kernels.packing import IMPROVEMENT, doubled_slot, holds, loads_of, swap, swap_keeps_distinct

if TYPE_CHECKING:
    import numpy.typing as npt

    from planner.strategies.kernels.packing import Float, Int64

    Bool = npt.NDArray[np.bool_]

ANY_GAINER = 0.2
ANOTHER_MOVE = 0.3
"""As in the search without restrictions (`planner.strategies.kernels.replicas`)."""


@compiled
def pack_on_nodes(share: Float, placed: Int64, node: Int64, slots: Int64, pace: Float) -> Int64:
    """Put ``placed`` [expert, node] copies, largest first, on the GPU of their node that stays least loaded.

    ``node`` [gpu] is the node of each GPU. Copies are kept apart where that can be helped.
    """
    gpus = len(slots)
    assign = np.full((gpus, np.max(slots)), -1, dtype=np.int64)
    filled = np.zeros(gpus, dtype=np.int64)
    load = np.zeros(gpus)
    for expert in np.argsort(-share, kind="mergesort"):
        for home in range(placed.shape[1]):
            for _ in range(placed[expert, home]):
                best, best_load, best_doubled = -1, np.inf, True
                for gpu in range(gpus):
                    if node[gpu] != home or filled[gpu] >= slots[gpu]:
                        continue
                    doubled = holds(assign, gpu, expert)
                    after = load[gpu] + share[expert] / pace[gpu]
                    if (best_doubled and not doubled) or (doubled == best_doubled and after < best_load):
                        best, best_load, best_doubled = gpu, after, doubled
                if best >= 0:
                    assign[best, filled[best]] = expert
                    filled[best] += 1
                    load[best] = best_load
    return assign


@compiled
def separate_allowed(assign: Int64, share: Float, load: Float, pace: Float, allowed: Bool) -> None:
    """Swap second copies of an expert off their GPU where allowed, each where the larger of both loads stays least."""
    gpus, width = assign.shape
    for gpu in range(gpus):
        for _ in range(width):
            slot = doubled_slot(assign, gpu)
            if slot < 0:
                break
            best_value, best_other, best_other_slot = np.inf, -1, -1
            for other in range(gpus):
                for other_slot in range(width):
                    partner = assign[other, other_slot]
                    if other == gpu or partner < 0:
                        continue
                    if not allowed[assign[gpu, slot], other] or not allowed[partner, gpu]:
                        continue
                    if not swap_keeps_distinct(assign, gpu, slot, other, other_slot):
                        continue
                    moved = share[assign[gpu, slot]] - share[partner]
                    value = max(load[gpu] - moved / pace[gpu], load[other] + moved / pace[other])
                    if value < best_value:
                        best_value, best_other, best_other_slot = value, other, other_slot
            if best_other < 0:
                break
            swap(assign, share, load, pace, gpu, slot, best_other, best_other_slot)


@compiled
def descend_allowed(assign: Int64, share: Float, load: Float, pace: Float, allowed: Bool, target: float) -> None:
    """Swap a slot of the fullest GPU with the allowed slot that lowers the larger of both loads most, until none does.

    Changes ``assign`` and ``load`` in place; stops at ``target``.
    """
    gpus, width = assign.shape
    for _ in range(8 * gpus * width):
        full = int(np.argmax(load))
        if load[full] <= target:
            return
        best_value, best_slot, best_other, best_other_slot = load[full] * (1.0 - IMPROVEMENT), -1, -1, -1
        for slot in range(width):
            expert = assign[full, slot]
            if expert < 0:
                continue
            for other in range(gpus):
                if other == full or load[other] >= best_value or not allowed[expert, other]:
                    continue
                for other_slot in range(width):
                    partner = assign[other, other_slot]
                    if partner < 0 or not allowed[partner, full]:
                        continue
                    moved = share[expert] - share[partner]
                    value = max(load[full] - moved / pace[full], load[other] + moved / pace[other])
                    if value < best_value and swap_keeps_distinct(assign, full, slot, other, other_slot):
                        best_value, best_slot, best_other, best_other_slot = value, slot, other, other_slot
        if best_slot < 0:
            return
        swap(assign, share, load, pace, full, best_slot, best_other, best_other_slot)


@compiled
def move_copy_allowed(
    assign: Int64, count: Int64, weight: Float, pace: Float, allowed: Bool, limit: float, state: RandomState
) -> bool:
    """Turn a random spare copy into one of an expert on the fullest GPU (or any expert, less often), where allowed.

    A copy is spare if the remaining copies of its expert stay below ``limit``, the largest load to beat.
    """
    full = int(np.argmax(loads_of(assign, weight / count, pace)))
    gainer = assign[full, random_below(state, assign.shape[1])]
    if random_unit(state) < ANY_GAINER:
        gainer = random_below(state, len(weight))
    gpu = random_below(state, len(assign))
    slot = random_below(state, assign.shape[1])
    loser = assign[gpu, slot]
    if gainer < 0 or loser < 0 or loser == gainer or count[loser] < 2:
        return False
    if not allowed[gainer, gpu] or holds(assign, gpu, gainer):
        return False
    if weight[loser] / (count[loser] - 1) > limit * np.max(pace):
        return False
    assign[gpu, slot] = gainer
    count[gainer] += 1
    count[loser] -= 1
    return True


@compiled
def improve_allowed(
    weight: Float,
    assign: Int64,
    count: Int64,
    pace: Float,
    allowed: Bool,
    target: float,
    tries: int,
    state: RandomState,
) -> float:
    """Search from a packing; change ``assign`` and ``count`` to the best found and return its largest load.

    ``tries`` copies are moved, each followed by a full descent and undone unless the largest load does not rise.
    """
    load = loads_of(assign, weight / count, pace)
    descend_allowed(assign, weight / count, load, pace, allowed, target)
    best = np.max(load)
    best_assign, best_count = assign.copy(), count.copy()
    for _ in range(tries):
        if best <= target:
            break
        moved = move_copy_allowed(assign, count, weight, pace, allowed, best, state)
        while random_unit(state) < ANOTHER_MOVE:
            moved |= move_copy_allowed(assign, count, weight, pace, allowed, best, state)
        if not moved:
            continue
        share = weight / count
        load = loads_of(assign, share, pace)
        descend_allowed(assign, share, load, pace, allowed, target)
        if np.max(load) <= best:
            best = np.max(load)
            best_assign[:], best_count[:] = assign, count
        else:
            assign[:], count[:] = best_assign, best_count
    assign[:], count[:] = best_assign, best_count
    return best
