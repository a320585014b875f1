"""The attributes that a cluster graph must carry, and the check that reports everything wrong with one."""

from __future__ import annotations

import math
import numbers
from typing import TYPE_CHECKING, Any

import networkx as nx

from planner import units
from planner.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

NODE_KINDS = ("gpu", "switch", "nic", "leaf", "spine")
"""GPU; scale-up switch; network card; leaf and spine switch of the scale-out network."""

BANDWIDTH = "bandwidth_bytes_per_s"
LATENCY = "latency_s"


def quantity(value: object, base: str) -> float:
    """Read an attribute that is a number, a NumPy scalar or text with a unit, in the SI unit ``base``.

    Raises
    ------
    ValueError
        If it is none of these or not finite.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = float(value)
    return units.parse(value, base)  # type: ignore[arg-type]  # parse refuses other types itself


def graph_problems(graph: nx.Graph[Any], source: str) -> list[Problem]:
    """List everything wrong with a cluster graph, in the order kind of graph, nodes, edges, reachability."""
    if graph.is_multigraph():
        remedy = "merge parallel links into one edge with the sum of their bandwidths"
        return [Problem(source, "", "parallel edges are not supported", remedy)]
    problems = [*_node_problems(graph, source), *_edge_problems(graph, source)]
    return problems or list(_reachability_problems(graph, source))


def gpu_names(graph: nx.Graph[Any]) -> list[Hashable]:
    """GPUs in the graph's own node order."""
    return [node for node, data in graph.nodes(data=True) if data.get("kind") == "gpu"]


def _node_problems(graph: nx.Graph[Any], source: str) -> Iterator[Problem]:
    for node, data in graph.nodes(data=True):
        kind = data.get("kind")
        if kind is None:
            yield Problem(source, f"node {node!r} kind", "is missing", f"one of {', '.join(NODE_KINDS)}")
        elif kind not in NODE_KINDS:
            yield Problem(source, f"node {node!r} kind", f"{kind!r} is unknown", f"one of {', '.join(NODE_KINDS)}")
        elif kind == "gpu" and data.get("domain") is None:
            yield Problem(source, f"node {node!r} domain", "is missing", "give every GPU its scale-up domain")
    if not gpu_names(graph):
        yield Problem(source, "", "has no GPU", "mark at least one node kind='gpu'")


def _edge_problems(graph: nx.Graph[Any], source: str) -> Iterator[Problem]:
    for tail, head, data in graph.edges(data=True):
        where = f"edge {tail!r} -> {head!r}"
        if tail == head:
            yield Problem(source, where, "joins a node to itself", "remove it")
        for key, base in ((BANDWIDTH, "bytes_per_s"), (LATENCY, "s")):
            message = _quantity_problem(data.get(key), base)
            if message:
                yield Problem(source, f"{where} {key}", message, _REMEDY[key])


_REMEDY = {BANDWIDTH: "one-way rate above zero, such as 50e9 or '50 GB/s'", LATENCY: "seconds, zero or more"}


def _quantity_problem(value: object, base: str) -> str:
    if value is None:
        return "is missing"
    if isinstance(value, float) and math.isnan(value):
        return "is NaN"
    try:
        number = quantity(value, base)
    except ValueError as error:
        return str(error)
    if number < 0:
        return f"{number:g} is negative"
    return "is zero" if base == "bytes_per_s" and number == 0 else ""


def _reachability_problems(graph: nx.Graph[Any], source: str) -> Iterator[Problem]:
    first, *others = gpu_names(graph)
    reached = {first} | set(nx.descendants(graph, first))
    reaching = {first} | set(nx.ancestors(graph, first)) if graph.is_directed() else reached
    for gpu in others:
        if gpu not in reached or gpu not in reaching:
            yield Problem(source, f"node {gpu!r}", f"is not connected with GPU {first!r}", "add the missing links")
