"""Exchange whole GPUs between nodes, and whole nodes between racks: what swaps of single experts cannot reach.

Experts that settled on a GPU together do not leave their node one by one. So the contents of a GPU are taken as one
expert and the nodes as GPUs, and the same search runs one level up; then the nodes as experts and the racks as GPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.routing import unit_table

if TYPE_CHECKING:
    from planner.strategies.kernels.compiled import RandomState
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.kernels.token_tables import Tokens, Units
    from planner.strategies.problem import IntArray, PlacementRequest

MOVES_PER_PART = 2_000
HEAT = 0.01
"""Starting temperature over the energy of the start: with less, three blocks that share three nodes stay so."""


def regroup(request: PlacementRequest, assign: Int64, units: Units, tokens: Tokens, random: RandomState) -> bool:
    """Exchange GPUs and nodes of ``assign`` [gpu, slot] in place; tell whether anything moved.

    GPUs must be alike, and fill their nodes and racks: else nothing moves. With copies a token is taken to use the
    first one, which makes this a proposal; the caller judges what comes of it.
    """
    table = unit_table(request)
    if len(table.levels) < 2 or not request.equal_speed or request.equal_slots is None:
        return False
    moved = False
    inner = np.arange(request.gpus)
    for level in range(1, len(table.levels)):
        outer = table.unit_of_gpu[level] - table.unit_of_gpu[level].min()
        sizes = np.bincount(outer)
        if np.ptp(np.bincount(inner)) or np.ptp(sizes) or len(sizes) < 2:
            return moved
        order = _exchange(assign, inner, outer, level, table.level_of_unit, units, tokens, random)
        place = np.argsort(order, kind="stable")
        gpus = np.concatenate([np.flatnonzero(inner == part) for part in place])
        moved |= bool((gpus != np.arange(request.gpus)).any())
        assign[:] = assign[gpus]
        inner = outer
    return moved


def _exchange(
    assign: Int64,
    inner: IntArray,
    outer: IntArray,
    level: int,
    level_of_unit: IntArray,
    units: Units,
    tokens: Tokens,
    random: RandomState,
) -> IntArray:
    """Position of each inner part after a search over the outer ones, shape [part]."""
    from planner.strategies.kernels import coactivation as kernel
    from planner.strategies.kernels import token_tables

    parts, groups = int(inner.max()) + 1, int(outer.max()) + 1
    width = parts // groups
    kept = level_of_unit >= level
    price, port = units.price[kept], units.port[kept]
    first = np.array([np.flatnonzero(outer == group)[0] for group in range(groups)])
    unit_of_group = units.unit_of_gpu[level:, first] - int((~kept).sum())
    seen = _parts_of_tokens(assign, inner, tokens)
    coarse = token_tables.Units(
        np.full(groups, width),
        np.ascontiguousarray(unit_of_group),
        np.zeros(groups, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.ones(1),
        np.ones((1, len(price))),
        price,
        port,
    )
    work = token_tables.Work(np.zeros(parts), np.ones(groups), 1.0, 0.0, 0.0, 0.0)
    placed = np.arange(parts).reshape(groups, width)
    aim = kernel.Aim(0.0, np.inf, 0.0, 4)
    start = kernel.energy_of(token_tables.new_state(placed.copy(), coarse, work, seen), coarse, work, aim)
    kernel.anneal(placed, coarse, work, seen, aim, MOVES_PER_PART * parts, HEAT * start, random)
    position = np.empty(parts, dtype=np.int64)
    position[placed.ravel()] = np.arange(parts)
    return position


def _parts_of_tokens(assign: Int64, inner: IntArray, tokens: Tokens) -> Tokens:
    """Tokens with the inner parts they use instead of experts; a part used twice stands once in the lists."""
    from planner.strategies.kernels.token_tables import Tokens

    part_of_expert = np.full(int(assign.max()) + 1, -1, dtype=np.int64)
    for gpu in range(len(assign) - 1, -1, -1):
        held = assign[gpu][assign[gpu] >= 0]
        part_of_expert[held] = inner[gpu]
    rows = np.sort(part_of_expert[tokens.experts], axis=1)
    once = np.ones(rows.shape, dtype=bool)
    once[:, 1:] = rows[:, 1:] != rows[:, :-1]
    token, column = np.nonzero(once)
    part = rows[token, column]
    order = np.argsort(part, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(part, minlength=int(inner.max()) + 1))])
    return Tokens(rows, tokens.weight, start.astype(np.int64), token[order].astype(np.int64))
