"""Iterated search for one load vector: move copies between experts, re-partition three GPUs, descend by swaps."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit
from planner.strategies.kernels.packing import (
    IMPROVEMENT,
    Float,
    Int64,
    descend,
    doubled_slot,
    holds,
    loads_of,
)

Int8 = npt.NDArray[np.int8]

LARGEST_PARTITIONED = 4
"""Most slots a GPU for which three GPUs are re-partitioned: 3 slots 280 ways, 4 slots 5,775 ways, 5 slots 126,126."""


ANY_GAINER = 0.2
ANOTHER_MOVE = 0.3
"""Chance of one more copy move before the descent: pairs of moves pass where single ones are stuck."""


def partition_table(slots: int) -> Int8:
    """List the ways to part 3 * slots items in three equal bins, up to order; items bin by bin, [way, 3 * slots]."""
    if not 2 <= slots <= LARGEST_PARTITIONED:
        return np.zeros((0, 3 * max(slots, 1)), dtype=np.int8)
    items = set(range(3 * slots))
    ways: list[list[int]] = []
    for first in itertools.combinations(sorted(items - {0}), slots - 1):
        left = sorted(items - {0, *first})
        ways.extend(
            [0, *first, left[0], *second, *(item for item in left[1:] if item not in second)]
            for second in itertools.combinations(left[1:], slots - 1)
        )
    return np.array(ways, dtype=np.int8)


@compiled
def repartition(
    assign: Int64, share: Float, load: Float, pace: Float, table: Int8, trio: Int64, expert: Int64, size: Float
) -> bool:
    """Share the copies of three GPUs out anew so that the largest of their loads falls; ``False`` if no way does.

    ``expert`` and ``size`` are scratch, shape [3 * slots].
    """
    width = assign.shape[1]
    for part in range(3):
        for slot in range(width):
            expert[part * width + slot] = assign[trio[part], slot]
            size[part * width + slot] = share[assign[trio[part], slot]]
    best, limit = -1, max(load[trio[0]], load[trio[1]], load[trio[2]]) * pace[trio[0]] * (1.0 - IMPROVEMENT)
    for way in range(len(table)):
        worst = 0.0
        for part in range(3):
            total = 0.0
            for slot in range(part * width, (part + 1) * width):
                total += size[table[way, slot]]
            worst = max(worst, total)
            if worst >= limit:
                break
        if worst < limit and _distinct(expert, table, way, width):
            best, limit = way, worst
    if best < 0:
        return False
    for part in range(3):
        total = 0.0
        for slot in range(width):
            item = table[best, part * width + slot]
            assign[trio[part], slot] = expert[item]
            total += size[item]
        load[trio[part]] = total / pace[trio[part]]
    return True


@compiled
def _distinct(expert: Int64, table: Int8, way: int, width: int) -> bool:
    for start in range(0, 3 * width, width):
        for slot in range(start + 1, start + width):
            for earlier in range(start, slot):
                if expert[table[way, slot]] == expert[table[way, earlier]]:
                    return False
    return True


@compiled
def repartition_fullest(
    assign: Int64, share: Float, load: Float, pace: Float, table: Int8, target: float, failures: int, state: RandomState
) -> None:
    """Re-partition the fullest GPU with two random ones until ``failures`` tries in a row bring nothing."""
    gpus, width = assign.shape
    if gpus < 3 or len(table) == 0:
        return
    trio = np.zeros(3, dtype=np.int64)
    expert = np.zeros(3 * width, dtype=np.int64)
    size = np.zeros(3 * width)
    failed = 0
    while failed < failures:
        trio[0] = np.argmax(load)
        if load[trio[0]] <= target:
            return
        trio[1] = random_below(state, gpus)
        trio[2] = random_below(state, gpus)
        if trio[0] == trio[1] or trio[0] == trio[2] or trio[1] == trio[2]:
            continue
        if repartition(assign, share, load, pace, table, trio, expert, size):
            failed = 0
        else:
            failed += 1


@compiled
def move_copy(assign: Int64, count: Int64, weight: Float, pace: Float, limit: float, state: RandomState) -> bool:
    """Turn a random spare copy into one of an expert on the fullest GPU (or any expert, less often), if that fits.

    A copy is spare if the remaining copies of its expert stay below ``limit``, the largest load to beat.
    """
    share = weight / count
    full = int(np.argmax(loads_of(assign, share, pace)))
    gainer = assign[full, random_below(state, assign.shape[1])]
    if random_unit(state) < ANY_GAINER:
        gainer = random_below(state, len(weight))
    gpu = random_below(state, len(assign))
    slot = random_below(state, assign.shape[1])
    loser = assign[gpu, slot]
    if gainer < 0 or loser < 0 or loser == gainer or count[loser] < 2 or holds(assign, gpu, gainer):
        return False
    if weight[loser] / (count[loser] - 1) > limit * np.max(pace):
        return False
    assign[gpu, slot] = gainer
    count[gainer] += 1
    count[loser] -= 1
    return True


@compiled
def improve(
    weight: Float,
    assign: Int64,
    count: Int64,
    pace: Float,
    table: Int8,
    target: float,
    tries: int,
    failures: int,
    state: RandomState,
) -> float:
    """Search from a packing; change ``assign`` and ``count`` to the best found and return its largest load.

    ``tries`` copies are moved, each followed by a full descent and undone unless the largest load does not rise.
    """
    share = weight / count
    load = loads_of(assign, share, pace)
    descend(assign, share, load, pace, target)
    repartition_fullest(assign, share, load, pace, table, target, failures, state)
    best = np.max(load)
    best_assign, best_count = assign.copy(), count.copy()
    for _ in range(tries):
        if best <= target:
            break
        moved = move_copy(assign, count, weight, pace, best, state)
        while random_unit(state) < ANOTHER_MOVE:
            moved |= move_copy(assign, count, weight, pace, best, state)
        if not moved:
            continue
        share = weight / count
        load = loads_of(assign, share, pace)
        descend(assign, share, load, pace, target)
        repartition_fullest(assign, share, load, pace, table, target, failures, state)
        if np.max(load) <= best:
            best = np.max(load)
            best_assign[:], best_count[:] = assign, count
        else:
            assign[:], count[:] = best_assign, best_count
    assign[:], count[:] = best_assign, best_count
    return best


@compiled
def doubled_copies(assign: Int64) -> int:
    """Count the GPUs that hold two copies of an expert."""
    doubled = 0
    for gpu in range(len(assign)):
        if doubled_slot(assign, gpu) >= 0:
            doubled += 1
    return doubled
