"""Copies on nodes, every router group on few of them: a partition first, HiGHS inside its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.kernels import packing

if TYPE_CHECKING:
    from planner.strategies.locality import Locality, Nodes, Part
    from planner.strategies.problem import FloatArray, IntArray

SPARE_SLOTS_USED = (0.5, 0.25, 0.0)
"""Shares of the spare slots handed out before copies are put on nodes, tried in turn; the rest is filled afterwards.

Full nodes leave the program no room: with all spare slots handed out it needed a pair more in every second layer of
DeepSeek-V3 on 4 nodes, with half of them in none of 29 parts of two nodes and in 2 of 7 of three."""

ROOM = 1.003
"""Load a node may have over the largest mean of a part, so that whole copies fit."""

NODES_OF_TREE = 300
"""Most branch-and-bound nodes of one program, not seconds, so that a run repeats itself."""


def copies_on_nodes(
    weight: FloatArray, groups: int, locality: Locality, nodes: Nodes, seed: int, time_limit_s: float | None
) -> IntArray | None:
    """Place the copies of a layer.

    Parameters
    ----------
    weight
        Tokens, shape [expert], group by group.
    groups
        Router groups.
    locality
        The partition to follow (`planner.strategies.locality`).
    nodes
        The nodes.
    seed, time_limit_s
        Of each program.

    Returns
    -------
    array, shape [expert, node]
        Copies, all slots filled; ``None`` where a program finds none.
    """
    placed = np.zeros((len(weight), nodes.number), dtype=np.int64)
    first = 0
    for part in locality.parts:
        experts = _experts_of(part[0], groups, len(weight) // groups)
        group = np.unique(experts * groups // len(weight), return_inverse=True)[1]
        inside = _fill_part(weight[experts], group, part, nodes, locality.largest, seed, time_limit_s)
        if inside is None:
            return None
        placed[experts, first : first + part[1]] = inside
        first += part[1]
    return placed


def _experts_of(mask: int, groups: int, per_group: int) -> IntArray:
    members = np.flatnonzero(mask >> np.arange(groups) & 1)
    return np.asarray((members[:, None] * per_group + np.arange(per_group)).ravel())


def _fill_part(
    weight: FloatArray,
    group: IntArray,
    part: Part,
    nodes: Nodes,
    largest: float,
    seed: int,
    time_limit_s: float | None,
) -> IntArray | None:
    """Place the copies of a part on its nodes, shape [expert of the part, node of the part]."""
    slots_of_node = nodes.gpus * nodes.slots
    if part[1] == 1:
        return np.asarray(packing.greedy_counts(weight, slots_of_node, nodes.gpus)[:, None])
    spare = part[1] * slots_of_node - len(weight)
    best, best_pairs = None, np.inf
    least = int(group.max()) + part[1]
    for share in SPARE_SLOTS_USED:
        copies = packing.greedy_counts(weight, len(weight) + round(share * spare), part[1] * nodes.gpus)
        if share < SPARE_SLOTS_USED[0] and (weight / copies).max() > largest:
            break
        found = _program(weight, copies, group, part[1], nodes, largest, (least, seed, time_limit_s))
        if found is not None and found[1] < best_pairs:
            best, best_pairs = found
        if best_pairs <= least:
            break
    if best is None:
        return None
    return _fill_up(best, weight, group, nodes, max(largest * nodes.gpus, weight.sum() / part[1]))


def _program(
    weight: FloatArray,
    copies: IntArray,
    group: IntArray,
    number: int,
    nodes: Nodes,
    largest: float,
    limits: tuple[int, int, float | None],
) -> tuple[IntArray, int] | None:
    from formulations.group_locality import GroupLocalityProblem, place_groups
    from planner.solver.options import SolveOptions

    least, seed, time_limit_s = limits
    load = max(largest * nodes.gpus, weight.sum() / number) * ROOM
    problem = GroupLocalityProblem(
        load=weight,
        copies=copies,
        group=group,
        slots=np.full(number, nodes.gpus * nodes.slots),
        gpus=np.full(number, nodes.gpus),
        capacity=np.full(number, load),
        least_pairs=least,
    )
    options = SolveOptions(threads=1, seed=seed, time_limit_s=time_limit_s, node_limit=NODES_OF_TREE)
    found = place_groups(problem, options)
    return None if found is None else (found.placed, found.pairs)


def _fill_up(placed: IntArray, weight: FloatArray, group: IntArray, nodes: Nodes, limit: float) -> IntArray:
    """Fill empty slots of each node with further copies of experts that may live there.

    A copy more draws load from the expert's other nodes. Of the copies that leave the largest node load over ``limit``
    least, the one of the expert with the most load a copy is taken.
    """
    placed = placed.copy()
    members = np.arange(int(group.max()) + 1)[:, None] == group
    allowed = ((members @ placed) > 0)[group]
    left = nodes.gpus * nodes.slots - placed.sum(axis=0)
    while (left > 0).any():
        node = int(np.argmax(left))
        copies = placed.sum(axis=1)
        share = weight / copies
        load = share @ placed
        more = placed + (np.arange(placed.shape[1]) == node)
        after = load[None] - share[:, None] * placed + (weight / (copies + 1))[:, None] * more
        over = np.maximum(after.max(axis=1), limit)
        open_to = allowed[:, node] & (placed[:, node] < nodes.gpus)
        least = over <= np.where(open_to, over, np.inf).min() * (1.0 + 1e-9)
        expert = int(np.argmax(np.where(open_to & least, share, -1.0)))
        placed[expert, node] += 1
        left[node] -= 1
    return placed
