"""Two slots a GPU: search the copy counts only, because the best packing of given copies is known.

The largest copy goes with the smallest, the second largest with the second smallest, and so on: exchanging partners of
any other pairing never raises the larger sum. What is left to choose is how many copies each expert gets.
"""

from __future__ import annotations

import numpy as np

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit
from planner.strategies.kernels.packing import IMPROVEMENT, Float, Int64

CANDIDATE_DRAWS = 4
"""Draws of an expert that can give up a copy before the move is abandoned."""


@compiled
def sorted_copies(weight: Float, count: Int64, size: Float, owner: Int64) -> None:
    """Fill ``size`` and ``owner``, both [copy], with the copies, largest first."""
    position = 0
    share = weight / count
    for expert in np.argsort(-share, kind="mergesort"):
        for _ in range(count[expert]):
            size[position] = share[expert]
            owner[position] = expert
            position += 1


@compiled
def merged(
    size: Float, owner: Int64, weight: Float, count: Int64, giver: int, gainer: int, new_size: Float, new_owner: Int64
) -> None:
    """Fill ``new_size`` and ``new_owner`` with the sorted copies after one copy passes from ``giver`` to ``gainer``."""
    total = len(size)
    large, small = giver, gainer
    if weight[giver] / (count[giver] - 1) < weight[gainer] / (count[gainer] + 1):
        large, small = gainer, giver
    left = np.zeros(2, dtype=np.int64)
    value = np.zeros(2)
    for index, expert in enumerate((large, small)):
        left[index] = count[expert] + (1 if expert == gainer else -1)
        value[index] = weight[expert] / left[index]
    read, turn = 0, 0
    for write in range(total):
        while read < total and (owner[read] == giver or owner[read] == gainer):
            read += 1
        while turn < 2 and left[turn] == 0:
            turn += 1
        if turn < 2 and (read == total or value[turn] >= size[read]):
            new_size[write] = value[turn]
            new_owner[write] = large if turn == 0 else small
            left[turn] -= 1
        else:
            new_size[write] = size[read]
            new_owner[write] = owner[read]
            read += 1


@compiled
def pair_energy(size: Float, mean: float, limit: float, doublings: int) -> float:
    """Sum over the pairs of (sum / mean)^(2^doublings), or infinity once it passes ``limit``: a smooth largest."""
    total = 0.0
    last = len(size) - 1
    for position in range(len(size) // 2):
        ratio = (size[position] + size[last - position]) / mean
        for _ in range(doublings):
            ratio *= ratio
        total += ratio
        if total > limit:
            return np.inf
    return total


@compiled
def largest_pair(size: Float) -> int:
    """Position of the larger partner of the pair with the largest sum."""
    best, best_sum = 0, -1.0
    last = len(size) - 1
    for position in range(len(size) // 2):
        if size[position] + size[last - position] > best_sum:
            best, best_sum = position, size[position] + size[last - position]
    return best


@compiled
def search_counts(
    weight: Float, count: Int64, gpus: int, target: float, moves: int, heat: float, doublings: int, state: RandomState
) -> float:
    """Improve ``count`` in place for two slots on each of ``gpus`` GPUs; return the largest pair sum reached.

    A move passes a copy from a random expert that can spare one to an expert of the fullest pair (half the time) or to
    a random expert; it is kept if the energy rises by at most ``heat`` times its excess times an exponential variate,
    where the heat falls to zero linearly.
    """
    mean = np.sum(weight) / gpus
    size, new_size = np.zeros(2 * gpus), np.zeros(2 * gpus)
    owner, new_owner = np.zeros(2 * gpus, dtype=np.int64), np.zeros(2 * gpus, dtype=np.int64)
    sorted_copies(weight, count, size, owner)
    energy = pair_energy(size, mean, np.inf, doublings)
    full = largest_pair(size)
    best, best_count = size[full] + size[-1 - full], count.copy()
    for move in range(moves):
        if best <= target:
            break
        gainer = owner[full] if random_unit(state) < 0.5 else owner[-1 - full]
        if random_unit(state) < 0.5:
            gainer = random_below(state, len(weight))
        giver = -1
        for _ in range(CANDIDATE_DRAWS):
            giver = owner[random_below(state, len(owner))]
            if count[giver] > 1:
                break
        if giver == gainer or count[giver] < 2 or count[gainer] >= gpus:
            continue
        merged(size, owner, weight, count, giver, gainer, new_size, new_owner)
        allowed = energy - heat * (1.0 - move / moves) * (energy - gpus) * np.log(1.0 - random_unit(state))
        new_energy = pair_energy(new_size, mean, allowed, doublings)
        if new_energy > allowed:
            continue
        energy = new_energy
        size, new_size = new_size, size
        owner, new_owner = new_owner, owner
        count[giver] -= 1
        count[gainer] += 1
        full = largest_pair(size)
        if size[full] + size[-1 - full] < best * (1.0 - IMPROVEMENT):
            best = size[full] + size[-1 - full]
            best_count[:] = count
    count[:] = best_count
    return float(best)


@compiled
def pack_pairs(weight: Float, count: Int64, gpus: int) -> Int64:
    """Pair the i-th largest copy with the i-th smallest, shape [gpu, 2]."""
    size, owner = np.zeros(2 * gpus), np.zeros(2 * gpus, dtype=np.int64)
    sorted_copies(weight, count, size, owner)
    assign = np.empty((gpus, 2), dtype=np.int64)
    for gpu in range(gpus):
        assign[gpu, 0] = owner[gpu]
        assign[gpu, 1] = owner[-1 - gpu]
    return assign
