"""Widest and quickest paths between GPUs, from arrays of arcs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

if TYPE_CHECKING:
    from planner.topology.topology import Arcs, FloatArray, IntArray

_SOURCES_PER_CALL = 256  # keeps the intermediate [source, node] matrix small on clusters of thousands of GPUs


def widest_paths(node_count: int, arcs: Arcs, terminals: IntArray) -> FloatArray:
    """Bottleneck bandwidth of the widest path [B/s], shape [terminal, terminal]; infinite on the diagonal."""
    if _is_symmetric(node_count, arcs):
        return _widest_by_spanning_tree(node_count, arcs, terminals)
    return _widest_by_elimination(node_count, arcs, terminals)


def _is_symmetric(node_count: int, arcs: Arcs) -> bool:
    forward = np.lexsort((arcs.head, arcs.tail))
    backward = np.lexsort((arcs.tail, arcs.head))
    keys = (arcs.tail * node_count + arcs.head)[forward], (arcs.head * node_count + arcs.tail)[backward]
    return np.array_equal(*keys) and np.array_equal(
        arcs.bandwidth_bytes_per_s[forward], arcs.bandwidth_bytes_per_s[backward]
    )


def _widest_by_spanning_tree(node_count: int, arcs: Arcs, terminals: IntArray) -> FloatArray:
    """Kruskal from the fastest link down: the link that first joins two groups is the bottleneck between them."""
    width = np.full((terminals.size, terminals.size), np.inf)
    members: list[list[int]] = [[] for _ in range(node_count)]
    for position, node in enumerate(terminals):
        members[node].append(position)
    group = list(range(node_count))

    def root(node: int) -> int:
        while group[node] != node:
            group[node] = group[group[node]]
            node = group[node]
        return node

    for arc in np.argsort(-arcs.bandwidth_bytes_per_s, kind="stable"):
        one, other = root(int(arcs.tail[arc])), root(int(arcs.head[arc]))
        if one == other:
            continue
        if len(members[one]) < len(members[other]):
            one, other = other, one
        if members[other]:
            width[np.ix_(members[one], members[other])] = arcs.bandwidth_bytes_per_s[arc]
            width[np.ix_(members[other], members[one])] = arcs.bandwidth_bytes_per_s[arc]
        members[one].extend(members[other])
        group[other] = one
    return width


def _widest_by_elimination(node_count: int, arcs: Arcs, terminals: IntArray) -> FloatArray:
    """Floyd and Warshall's recursion with (max, min): right where the two directions differ, cubic in nodes."""
    width = np.zeros((node_count, node_count))
    width[arcs.tail, arcs.head] = arcs.bandwidth_bytes_per_s
    np.fill_diagonal(width, np.inf)
    for middle in range(node_count):
        np.maximum(width, np.minimum(width[:, middle, None], width[None, middle, :]), out=width)
    return width[np.ix_(terminals, terminals)]


def quickest_paths(node_count: int, arcs: Arcs, terminals: IntArray) -> FloatArray:
    """Least latency [s], shape [terminal, terminal]; zero on the diagonal."""
    weights = coo_array((arcs.latency_s, (arcs.tail, arcs.head)), shape=(node_count, node_count)).tocsr()
    blocks = [
        dijkstra(weights, directed=True, indices=terminals[start : start + _SOURCES_PER_CALL])[:, terminals]
        for start in range(0, terminals.size, _SOURCES_PER_CALL)
    ]
    return np.vstack(blocks)
