"""Annealing from a running map with at most so many moved slots.

Beside plain moves (pass a copy on, swap two slots) it trades: a moved slot goes back to what it held, and in the same
step another change takes its place. At the limit, where a plain move has no room, only trades go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.kernels.changes import Books, Ground, attempt, gpu_energy, open_books
from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Int64

TRADE_SHARE = 0.7
"""Share of the moves that trade an earlier change, once there is one."""

PASS_SHARE = 0.5
"""Share of the plain moves that pass a copy on; the rest swap two slots."""

OTHER_COPY, OTHER_GPU, OTHER_SLOT, EXCHANGE, GO_BACK = 0.15, 0.3, 0.45, 0.6, 0.7
"""Cumulative shares of the trades; what is left puts a slot back and makes a plain move."""

TAKE_BACK = 0.3
"""Share of the ways back in which the partner takes the copy over instead of going back too."""


@compiled
def draw_gpu(books: Books, ground: Ground, draws: int, random: RandomState) -> int:
    """Draw a GPU that has slots: the fullest of ``draws``."""
    best = -1
    while draws > 0:
        gpu = random_below(random, len(ground.slots))
        if ground.slots[gpu] > 0:
            draws -= 1
            if best < 0 or books.energy[gpu] > books.energy[best]:
                best = gpu
    return best


@compiled
def put(books: Books, row: int, gpu: int, slot: int, expert: int) -> None:
    """Write one change of the move."""
    books.changes[row, 0], books.changes[row, 1], books.changes[row, 2] = gpu, slot, expert


@compiled
def plain(books: Books, ground: Ground, row: int, random: RandomState) -> int:
    """Write a copy passed on, or a swap where two rows are left, from ``row`` on; return the length of the move."""
    gpu = draw_gpu(books, ground, 3 if random_unit(random) < 0.5 else 1, random)
    other = draw_gpu(books, ground, 1, random)
    if random_unit(random) < 0.5:
        gpu, other = other, gpu
    slot, other_slot = random_below(random, ground.slots[gpu]), random_below(random, ground.slots[other])
    put(books, row, gpu, slot, books.assign[other, other_slot])
    if row == 2 or random_unit(random) < PASS_SHARE:
        return row + 1
    put(books, row + 1, other, other_slot, books.assign[gpu, slot])
    return row + 2


@compiled
def missing(books: Books, ground: Ground, gpu: int, random: RandomState) -> int:
    """Return a random expert that a GPU held before and does not hold now, or -1."""
    width = ground.before.shape[1]
    start = random_below(random, width)
    for step in range(width):
        expert = ground.before[gpu, (start + step) % width]
        held = expert < 0
        for slot in range(ground.slots[gpu]):
            held = held or books.assign[gpu, slot] == expert
        if not held:
            return int(expert)
    return -1


@compiled
def trade(books: Books, ground: Ground, random: RandomState) -> int:
    """Write a move that trades a random moved slot; return its length, 0 where there is nothing to go back to."""
    index, kind = random_below(random, books.number[0]), random_unit(random)
    gpu, slot = books.moved[index, 0], books.moved[index, 1]
    expert = books.assign[gpu, slot]
    if kind < OTHER_COPY:
        other = draw_gpu(books, ground, 3 if random_unit(random) < 0.5 else 1, random)
        put(books, 0, gpu, slot, books.assign[other, random_below(random, ground.slots[other])])
        return 1
    if OTHER_SLOT <= kind < EXCHANGE:
        index = random_below(random, books.number[0])
        other, other_slot = books.moved[index, 0], books.moved[index, 1]
        put(books, 0, gpu, slot, books.assign[other, other_slot])
        put(books, 1, other, other_slot, expert)
        return 2
    back = missing(books, ground, gpu, random)
    if back < 0:
        return 0
    put(books, 0, gpu, slot, back)
    if kind < OTHER_SLOT:
        other = draw_gpu(books, ground, 1, random) if kind < OTHER_GPU else gpu
        put(books, 1, other, random_below(random, ground.slots[other]), expert)
        return 2
    return way_back(books, ground, back, expert, random) if kind < GO_BACK else plain(books, ground, 1, random)


@compiled
def way_back(books: Books, ground: Ground, back: int, expert: int, random: RandomState) -> int:
    """Free the slot that ``back`` moved to: what it held before returns there, or ``expert`` takes it over."""
    for index in range(books.owned[back]):
        gpu = books.holder[back, index]
        if ground.home[gpu, back]:
            continue
        slot = 0
        while books.assign[gpu, slot] != back:
            slot += 1
        before = missing(books, ground, gpu, random)
        put(books, 1, gpu, slot, expert if before < 0 or random_unit(random) < TAKE_BACK else before)
        return 2
    return 1


@compiled
def anneal(assign: Int64, ground: Ground, budget: int, moves: int, heat: float, random: RandomState) -> None:
    """Search from ``assign``, changed in place to the best found with at most ``budget`` moved slots.

    A move may raise the energy by ``heat`` times its excess over the perfect balance times an exponential variate; the
    heat falls to zero linearly over ``moves``. Loads are scaled to start with a largest of 1: high powers stay finite.
    """
    largest = np.max(open_books(assign, ground).load)
    scaled = Ground(
        ground.weight / largest,
        ground.tilt,
        ground.pace,
        ground.slots,
        ground.node,
        ground.rack,
        ground.source,
        ground.home,
        ground.before,
        ground.domain,
        ground.least,
        ground.doublings,
    )
    books = open_books(assign, scaled)
    mean = np.full(ground.weight.shape[0], 1.0 / largest)
    floor = np.sum(ground.slots > 0) * gpu_energy(mean, ground.tilt, ground.doublings)
    total = np.sum(books.energy)
    best, best_total = assign.copy(), total if books.number[0] <= budget else np.inf
    for move in range(moves):
        allowed = -heat * (1.0 - move / moves) * max(total - floor, 0.0) * np.log(1.0 - random_unit(random))
        if books.number[0] > 0 and random_unit(random) < TRADE_SHARE:
            length = trade(books, scaled, random)
        else:
            length = plain(books, scaled, 0, random)
        if length > 0 and attempt(books, scaled, length, budget - books.number[0], allowed):
            total = np.sum(books.energy)
            if total < best_total and books.number[0] <= budget:
                best[:], best_total = assign, total
    assign[:] = best


@compiled
def settle(assign: Int64, ground: Ground, tries: int, random: RandomState) -> None:
    """Move slots back, in place, by random trades that raise the energy in all by nothing."""
    books = open_books(assign, ground)
    limit = np.sum(books.energy)
    for _ in range(tries):
        if books.number[0] == 0:
            return
        length = trade(books, ground, random)
        if length > 0:
            attempt(books, ground, length, -1, limit - np.sum(books.energy))
