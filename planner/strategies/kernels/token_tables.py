"""Tables of a layer: its loads, and the distinct units (GPU, node, rack) that recorded tokens are sent to.

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

from planner.strategies.kernels.compiled import compiled

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float, Int64


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
