"""Annealing of a layer's placement for load and for the distinct units that tokens are sent to (`token_tables`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit
from planner.strategies.kernels.token_tables import State, Tokens, Units, Work, apply_row, new_state, put, refresh_row

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Int64

REPLICA_SHARE = 0.2
"""Share of the moves that pass a copy to another expert, where there are spare copies."""

FOLLOW_SHARE = 0.6
"""Share of the moves that bring an expert to the GPU of one it shares a token with."""


class Aim(NamedTuple):
    """What is minimised: load * largest time + hinge * excess over cap + sum of price * sends + largest port."""

    load: float
    cap: float
    hinge: float
    doublings: int
    """The largest time and port are power means of power 2^doublings; 0: the largest themselves."""


@compiled
def gpu_time(state: State, work: Work, gpu: int) -> float:
    """Time of one GPU in units of the energy."""
    if work.pace[gpu] <= 0.0:
        return 0.0
    arithmetic = work.per_token * (state.tokens[gpu] + work.half * state.touched[gpu])
    return float(max(arithmetic, work.per_touched * state.touched[gpu]) / work.pace[gpu])


@compiled
def raised(value: float, doublings: int) -> float:
    """value^(2^doublings)."""
    for _ in range(doublings):
        value *= value
    return value


@compiled
def power_mean(total: float, number: int, doublings: int) -> float:
    """(total / number)^(2^-doublings)."""
    value = total / number
    for _ in range(doublings):
        value = np.sqrt(value)
    return value


@compiled
def largest_time(state: State, units: Units, work: Work, aim: Aim) -> tuple[float, float]:
    """Largest GPU time (or power mean), and the sum of what GPUs have above the cap."""
    largest, total, used, excess = 0.0, 0.0, 0, 0.0
    for gpu in range(len(units.slots)):
        if units.slots[gpu] == 0:
            continue
        time = gpu_time(state, work, gpu)
        used += 1
        largest = max(largest, time)
        excess += max(time - aim.cap, 0.0)
        total += raised(time, aim.doublings)
    if aim.doublings > 0 and aim.load > 0.0:
        largest = power_mean(total, used, aim.doublings)
    return largest, excess


@compiled
def send_cost(state: State, units: Units, aim: Aim) -> float:
    """Cost of all sends and of the fullest port (or the power mean of the ports)."""
    sent, port, total, ports = 0.0, 0.0, 0.0, 0
    for unit in range(len(units.price)):
        sent += units.price[unit] * state.sends[unit]
        if units.port[unit] > 0.0:
            cost = units.port[unit] * state.sends[unit]
            port = max(port, cost)
            total += raised(cost, aim.doublings)
            ports += 1
    if aim.doublings > 0 and ports > 0:
        port = power_mean(total, ports, aim.doublings)
    return sent + port


@compiled
def energy_of(state: State, units: Units, work: Work, aim: Aim) -> float:
    """Return what `Aim` minimises."""
    largest, excess = largest_time(state, units, work, aim)
    return aim.load * largest + aim.hinge * excess + send_cost(state, units, aim)


@compiled
def change_two(
    state: State, units: Units, work: Work, tokens: Tokens, spots: Int64, first: int, second: int, swapped: bool
) -> None:
    """Swap two slots, or put ``second`` in the first slot, and refresh both experts."""
    put(state, units, spots[0], spots[1], second)
    if swapped:
        put(state, units, spots[2], spots[3], first)
    refresh_row(state, units, first)
    apply_row(state, units, work, tokens, first)
    refresh_row(state, units, second)
    apply_row(state, units, work, tokens, second)


@compiled
def draw_move(state: State, units: Units, tokens: Tokens, spots: Int64, spare: bool, random: RandomState) -> int:
    """Draw spots = (gpu, slot, other gpu, other slot); 0: no move, 1: swap, 2: the other's expert into the first."""
    gpus = len(units.slots)
    gpu, other = random_below(random, gpus), random_below(random, gpus)
    if units.slots[gpu] == 0:
        return 0
    slot = random_below(random, units.slots[gpu])
    expert = state.assign[gpu, slot]
    known = tokens.start[expert + 1] - tokens.start[expert]
    if known > 0 and random_unit(random) < FOLLOW_SHARE:
        token = tokens.of_expert[tokens.start[expert] + random_below(random, known)]
        friend = tokens.experts[token, random_below(random, tokens.experts.shape[1])]
        other = random_below(random, gpus)
        for step in range(gpus):
            candidate = (other + step) % gpus
            if state.held[friend, candidate] > 0:
                other = candidate
                break
    if units.slots[other] == 0 or other == gpu:
        return 0
    other_slot = random_below(random, units.slots[other])
    partner = state.assign[other, other_slot]
    if partner == expert or state.held[expert, other] > 0:
        return 0
    spots[0], spots[1], spots[2], spots[3] = gpu, slot, other, other_slot
    if spare and random_unit(random) < REPLICA_SHARE:
        # The first expert gains a copy on the other GPU in place of a spare one there.
        spots[0], spots[1], spots[2], spots[3] = other, other_slot, gpu, slot
        return 2 if state.owned[partner] > 1 else 0
    return 0 if state.held[partner, gpu] > 0 else 1


@compiled
def hopeless(state: State, units: Units, work: Work, aim: Aim, spots: Int64, allowed: float) -> bool:
    """Whether a swap adds more excess over the cap than any saving of sends can pay: told from two GPUs alone.

    Even dispatch and token loads only. Moving a copy of e saves at most chance / copies sends at each level.
    """
    if len(units.source) > 1 or aim.hinge <= 0.0 or work.per_touched > 0.0 or work.half > 0.0:
        return False
    gpu, other = spots[0], spots[2]
    first, second = state.assign[gpu, spots[1]], state.assign[other, spots[3]]
    moved, back = work.chance[first] / state.owned[first], work.chance[second] / state.owned[second]
    change = 0.0
    for place, gained in ((gpu, back - moved), (other, moved - back)):
        before = gpu_time(state, work, place)
        after = before + work.per_token * gained / work.pace[place]
        change += max(after - aim.cap, 0.0) - max(before - aim.cap, 0.0)
    saved = np.max(units.price) * units.unit_of_gpu.shape[0] * (moved + back)
    return bool(aim.hinge * change > allowed + saved)


@compiled
def anneal(
    assign: Int64,
    units: Units,
    work: Work,
    tokens: Tokens,
    aim: Aim,
    moves: int,
    heat: float,
    random: RandomState,
) -> float:
    """Search from ``assign``, changed in place; return the energy reached.

    A move may raise the energy by ``heat`` (falling to zero quadratically) times an exponential variate; the best
    assignment seen is kept.
    """
    state = new_state(assign, units, work, tokens)
    spots = np.zeros(4, dtype=np.int64)
    spare = bool(np.sum(units.slots) > len(work.chance))
    energy = energy_of(state, units, work, aim)
    best, best_assign = energy, assign.copy()
    for move in range(moves):
        kind = draw_move(state, units, tokens, spots, spare, random)
        if kind == 0:
            continue
        left = 1.0 - move / moves
        allowed = -heat * left * left * np.log(1.0 - random_unit(random))
        if kind == 1 and hopeless(state, units, work, aim, spots, allowed):
            continue
        first, second = assign[spots[0], spots[1]], assign[spots[2], spots[3]]
        change_two(state, units, work, tokens, spots, first, second, kind == 1)
        after = energy_of(state, units, work, aim)
        if after <= energy + allowed:
            energy = after
            if energy < best * (1.0 - 1e-12):
                best = energy
                best_assign[:] = assign
        else:
            change_two(state, units, work, tokens, spots, second, first, kind == 1)
    assign[:] = best_assign
    return best
