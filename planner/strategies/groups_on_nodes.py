"""Placement that keeps every router group on one node, an equal number on each: EPLB's hierarchical rule, searched.

All ways to share the groups out are listed, in the order of the largest node load, which bounds what any of them can
reach; each node is then an instance of its own. Where there are too many ways, only EPLB's greedy one is tried.
"""

from __future__ import annotations

from itertools import combinations
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem
from planner.strategies.eplb import pack_equally
from planner.strategies.local_search import LocalSearch
from planner.strategies.problem import PlacementRequest
from planner.strategies.result import gpu_load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.strategies.problem import FloatArray, IntArray

MOST_WAYS = 20_000
"""Ways to share groups out that are listed; 8 groups on 4 nodes have 105, 16 on 2 have 6,435."""

MOST_TRIED = 12
"""Ways that are searched in a layer; the order of the bound makes later ones seldom better."""


def place_groups_on_nodes(load: FloatArray, slots_per_gpu: int, groups: int, nodes: int, gpus: int) -> IntArray:
    """Place experts with every router group on one node.

    Parameters
    ----------
    load
        Tokens, shape [layer, expert], the experts group by group.
    slots_per_gpu
        Slots of every GPU.
    groups, nodes, gpus
        Numbers of each; groups and GPUs are multiples of nodes, experts of groups.

    Returns
    -------
    array, shape [layer, slot]
        Expert of each slot, rank-major.

    Raises
    ------
    InstanceError
        If the numbers do not divide, or a node has fewer slots than experts.
    """
    experts = load.shape[1]
    _check(experts, slots_per_gpu, groups, nodes, gpus)
    members = np.arange(experts).reshape(groups, -1)
    ways = _ways(load, groups, nodes)
    group_load = load.reshape(len(load), groups, -1).sum(axis=2)
    bound = group_load[:, ways].sum(axis=3).max(axis=2) / (gpus // nodes)  # [layer, way]
    order = np.argsort(bound, axis=1, kind="stable")
    best = np.full(len(load), np.inf)
    placed = np.zeros((len(load), gpus * slots_per_gpu), dtype=np.int64)
    for turn in range(min(MOST_TRIED, len(ways))):
        way = order[:, turn]
        open_layers = np.flatnonzero(bound[np.arange(len(load)), way] < best * (1 - 1e-12))
        if len(open_layers) == 0:
            break
        held = members[ways[way[open_layers]]].reshape(len(open_layers), nodes, -1)  # experts of each node
        rows = _place_nodes(load[open_layers], held, slots_per_gpu, gpus // nodes)
        largest = gpu_load(rows, load[open_layers], gpus)[0].max(axis=1)
        better = largest < best[open_layers]
        best[open_layers[better]] = largest[better]
        placed[open_layers[better]] = rows[better]
    return placed


def _check(experts: int, slots_per_gpu: int, groups: int, nodes: int, gpus: int) -> None:
    divisions = (
        ("num_groups", experts, groups, f"{experts} experts do not divide into {groups} groups"),
        ("num_nodes", groups, nodes, f"{groups} groups do not spread evenly over {nodes} nodes"),
        ("num_gpus", gpus, nodes, f"{gpus} GPUs do not spread evenly over {nodes} nodes"),
    )
    problems = [
        Problem("groups on nodes", key, text, "leave groups free")
        for key, whole, part, text in divisions
        if whole % part
    ]
    if not problems and gpus // nodes * slots_per_gpu < experts // nodes:
        problems.append(Problem("groups on nodes", "num_replicas", "a node has fewer slots than experts"))
    if problems:
        raise InstanceError(problems)


def _ways(load: FloatArray, groups: int, nodes: int) -> IntArray:
    """Ways to share groups out over like nodes, shape [way, node, groups of the node]."""
    each = groups // nodes
    number = prod(comb(groups - each * node, each) for node in range(nodes))
    for node in range(1, nodes + 1):
        number //= node
    if number <= MOST_WAYS:
        return np.array(list(_partitions(tuple(range(groups)), each)))
    sums = load.reshape(len(load), groups, -1).sum(axis=2)
    return np.array([pack_equally(row.astype(np.float32), nodes) for row in sums])


def _partitions(items: tuple[int, ...], each: int) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Partitions into sets of ``each``; the first set has the first item, so that each partition comes once."""
    if not items:
        yield ()
        return
    for others in combinations(items[1:], each - 1):
        chosen = (items[0], *others)
        rest = tuple(item for item in items if item not in chosen)
        for following in _partitions(rest, each):
            yield (chosen, *following)


def _place_nodes(load: FloatArray, held: IntArray, slots_per_gpu: int, gpus: int) -> IntArray:
    """Place each node's experts on its own GPUs; ``held`` has shape [layer, node, expert of the node]."""
    rows = []
    for node in range(held.shape[1]):
        mine = held[:, node]
        inside = PlacementRequest(np.take_along_axis(load, mine, axis=1)[None], gpus, slots_per_gpu)
        local = LocalSearch().place(inside).physical_to_logical_map
        rows.append(np.take_along_axis(mine, local, axis=1))
    return np.concatenate(rows, axis=1)
