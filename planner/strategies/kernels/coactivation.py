"""Annealing of a layer's placement for load and for the distinct units (GPU, node, rack) that tokens are sent to.

A unit u is a GPU, node or rack; all levels stand in one axis. A source class r is a node where tokens start (one class
under even dispatch). p[r, e, u] is the chance that a token of r finds expert e in u; it is sent to u unless it misses
with every expert: 1 - product over its experts of (1 - p). The tables per (class, token, unit) hold the number of
experts that are surely there (p = 1) and the product over the others, so that a move costs only the tokens of the two
experts that it changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float, Int64

REPLICA_SHARE = 0.2
"""Share of the moves that pass a copy to another expert, where there are spare copies."""

FOLLOW_SHARE = 0.6
"""Share of the moves that bring an expert to the GPU of one it shares a token with."""


class Units(NamedTuple):
    """Where GPUs are, where tokens start and what a send costs."""

    slots: Int64
    """Shape [gpu]."""
    unit_of_gpu: Int64
    """Unit of a GPU at each level, shape [level, gpu]; level 0 is the GPU itself."""
    node: Int64
    """Shape [gpu]."""
    rack: Int64
    """Shape [node]."""
    source: Float
    """Share of the tokens that start in each class, shape [class]; one class under even dispatch."""
    remote: Float
    """Share of a class that starts outside a unit, shape [class, unit]."""
    price: Float
    """Cost of one send a token into a unit, shape [unit], in units of the energy."""
    port: Float
    """Cost of one send a token into a unit on the unit's own port, of which the largest counts, shape [unit]."""


class Tokens(NamedTuple):
    """Recorded tokens."""

    experts: Int64
    """Shape [token, top_k]."""
    weight: Float
    """Share of each token, shape [token], sums to 1."""
    start: Int64
    """Tokens of expert e are ``of_expert[start[e]:start[e + 1]]``, shape [expert + 1]."""
    of_expert: Int64
    """Shape [token * top_k]."""


class Work(NamedTuple):
    """Time of a GPU: max(per_token * (tokens + half * touched), per_touched * touched) / pace."""

    chance: Float
    """Chance that a token chooses an expert, shape [expert]; sums to top_k."""
    pace: Float
    """Shape [gpu]."""
    batch: float
    """Tokens of a step over all GPUs."""
    per_token: float
    """Cost of one assignment a token (load over all tokens)."""
    half: float
    """Assignments a token whose arithmetic one touched slot costs on top."""
    per_touched: float
    """Cost of a touched slot."""


class Aim(NamedTuple):
    """What is minimised: load * largest time + hinge * excess over cap + sum of price * sends + largest port."""

    load: float
    cap: float
    hinge: float
    doublings: int
    """The largest time and port are power means of power 2^doublings; 0: the largest themselves."""


class State(NamedTuple):
    """What a move changes in place."""

    assign: Int64
    """Expert of each slot, shape [gpu, slot]."""
    owned: Int64
    """Copies, shape [expert]."""
    held: Int64
    """Copies of an expert in a unit, shape [expert, unit]."""
    chance: Float
    """p, shape [expert, class, unit]."""
    sure: npt.NDArray[np.int16]
    """Shape [class, unit, token]."""
    miss: Float
    """Shape [class, unit, token]."""
    sends: Float
    """Remote sends a token into each unit, shape [unit]."""
    tokens: Float
    """Assignments a token on each GPU, shape [gpu]."""
    touched: Float
    """Expected touched slots, shape [gpu]."""
    row: Float
    """Scratch, shape [class, unit]."""


@compiled
def refresh_row(state: State, units: Units, expert: int) -> None:
    """Write p of one expert into ``row``: its copies in the own node, else in the own rack, else all."""
    classes, levels, gpus = len(units.source), units.unit_of_gpu.shape[0], len(units.slots)
    state.row[:] = 0.0
    for source in range(classes):
        scope, number = 0, state.owned[expert]
        if classes > 1:
            in_node, in_rack = 0, 0
            for gpu in range(gpus):
                if units.node[gpu] == source:
                    in_node += state.held[expert, gpu]
                if units.rack[units.node[gpu]] == units.rack[source]:
                    in_rack += state.held[expert, gpu]
            if in_node > 0:
                scope, number = 2, in_node
            elif in_rack > 0:
                scope, number = 1, in_rack
        for gpu in range(gpus):
            copies = state.held[expert, gpu]
            if copies == 0 or (scope == 2 and units.node[gpu] != source):
                continue
            if scope == 1 and units.rack[units.node[gpu]] != units.rack[source]:
                continue
            for level in range(levels):
                state.row[source, units.unit_of_gpu[level, gpu]] += copies
        for unit in range(state.row.shape[1]):
            state.row[source, unit] /= number


@compiled
def touch_chance(work: Work, expert: int, fraction: float) -> float:
    """Chance that at least one token of a step is served by copies that take ``fraction`` of an expert's tokens."""
    drawn = min(work.chance[expert] * fraction, 1.0)
    return float(1.0 - (1.0 - drawn) ** work.batch)


@compiled
def move_load(state: State, units: Units, work: Work, expert: int) -> None:
    """Carry the change from ``chance`` to ``row`` into the load of the GPUs."""
    for gpu in range(len(units.slots)):
        before, after = 0.0, 0.0
        for source in range(len(units.source)):
            before += units.source[source] * state.chance[expert, source, gpu]
            after += units.source[source] * state.row[source, gpu]
        if before != after:
            state.tokens[gpu] += work.chance[expert] * (after - before)
            if work.half > 0.0 or work.per_touched > 0.0:
                state.touched[gpu] += touch_chance(work, expert, after) - touch_chance(work, expert, before)


@compiled
def apply_row(state: State, units: Units, work: Work, tokens: Tokens, expert: int) -> None:
    """Make ``row`` the chances of an expert, in every table."""
    move_load(state, units, work, expert)
    for source in range(len(units.source)):
        for unit in range(state.row.shape[1]):
            before, after = state.chance[expert, source, unit], state.row[source, unit]
            if before == after:
                continue
            state.chance[expert, source, unit] = after
            surely = (1 if after >= 1.0 else 0) - (1 if before >= 1.0 else 0)
            factor = (1.0 if after >= 1.0 else 1.0 - after) / (1.0 if before >= 1.0 else 1.0 - before)
            sure, miss = state.sure[source, unit], state.miss[source, unit]
            change = 0.0
            for index in range(tokens.start[expert], tokens.start[expert + 1]):
                token = tokens.of_expert[index]
                visited = 1.0 if sure[token] > 0 else 1.0 - miss[token]
                sure[token] += surely
                miss[token] *= factor
                change += tokens.weight[token] * ((1.0 if sure[token] > 0 else 1.0 - miss[token]) - visited)
            state.sends[unit] += units.source[source] * units.remote[source, unit] * change


@compiled
def new_state(assign: Int64, units: Units, work: Work, tokens: Tokens) -> State:
    """Build all tables of an assignment."""
    experts, classes, unit_count = len(work.chance), len(units.source), len(units.price)
    gpus, recorded = len(units.slots), len(tokens.weight)
    state = State(
        assign,
        np.zeros(experts, dtype=np.int64),
        np.zeros((experts, unit_count), dtype=np.int64),
        np.zeros((experts, classes, unit_count)),
        np.zeros((classes, unit_count, recorded), dtype=np.int16),
        np.ones((classes, unit_count, recorded)),
        np.zeros(unit_count),
        np.zeros(gpus),
        np.zeros(gpus),
        np.zeros((classes, unit_count)),
    )
    for gpu in range(gpus):
        for slot in range(assign.shape[1]):
            if assign[gpu, slot] >= 0:
                book(state, units, gpu, assign[gpu, slot], 1)
    for expert in range(experts):
        if state.owned[expert] > 0:
            refresh_row(state, units, expert)
            apply_row(state, units, work, tokens, expert)
    return state


@compiled
def book(state: State, units: Units, gpu: int, expert: int, number: int) -> None:
    """Add ``number`` copies (1 or -1) of an expert on a GPU to the books, except to ``assign``."""
    state.owned[expert] += number
    for level in range(units.unit_of_gpu.shape[0]):
        state.held[expert, units.unit_of_gpu[level, gpu]] += number


@compiled
def put(state: State, units: Units, gpu: int, slot: int, expert: int) -> None:
    """Put an expert in a slot instead of the one there, in the books."""
    book(state, units, gpu, state.assign[gpu, slot], -1)
    book(state, units, gpu, expert, 1)
    state.assign[gpu, slot] = expert


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
