"""Deployments cut domains: an arc-flow program, free of symmetry, with the strength of the pattern program.

A domain of D GPUs is a path from 0 to D; an arc (v, v + s) places a fragment of s GPUs, an arc (v, D) leaves the rest
idle. Equal domains are one flow, so their permutations are one solution. The linear relaxation equals that of the
program with one variable per maximal pattern (Valerio de Carvalho 1999), and no list of sizes is too long.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Arc = tuple[int, int]
Patterns = Counter[tuple[int, ...]]
"""Fragment sizes [GPUs] that a domain holds, largest first -> number of such domains."""


@dataclass(frozen=True)
class PackingGraph:
    """Arcs of one domain. ``item_arcs`` place a fragment of ``head - tail`` GPUs, ``idle_arcs`` end at the capacity."""

    capacity: int
    item_arcs: tuple[Arc, ...]
    idle_arcs: tuple[Arc, ...]

    @property
    def inner_nodes(self) -> tuple[int, ...]:
        """Nodes at which flow is conserved."""
        nodes = {node for arc in (*self.item_arcs, *self.idle_arcs) for node in arc}
        return tuple(sorted(nodes - {0, self.capacity}))


def packing_graph(capacity: int, sizes: Iterable[int]) -> PackingGraph:
    """Arcs that place fragments in order of falling size: every multiset that fits is a path, few orders are.

    Parameters
    ----------
    capacity
        GPUs of a domain.
    sizes
        Fragment sizes [GPUs], each below the capacity.
    """
    reachable, arcs = {0}, set()
    for size in sorted(set(sizes), reverse=True):
        for start in sorted(reachable):
            tail = start
            while tail + size <= capacity and (tail, tail + size) not in arcs:  # else walked on from there before
                arcs.add((tail, tail + size))
                tail += size
                reachable.add(tail)
    idle = {(node, capacity) for node in reachable if 0 < node < capacity}
    return PackingGraph(capacity, tuple(sorted(arcs)), tuple(sorted(idle)))


def add_packing(block: Any, graph: PackingGraph) -> None:  # noqa: ANN401 - a Pyomo block
    """Declare the flow: ``block.item[arc]`` and ``block.idle[arc]`` integer, conserved at inner nodes.

    ``block.domains_cut`` = flow out of node 0 = domains that hold fragments.
    """
    # Two arcs may share their ends (an item that exactly fills, and idle GPUs), hence two variables.
    block.item = pyo.Var(graph.item_arcs, domain=pyo.NonNegativeIntegers)
    block.idle = pyo.Var(graph.idle_arcs, domain=pyo.NonNegativeIntegers)

    # Arcs are looked up by node: a pod of 9,216 GPUs has too many to go through for each row.
    into, out, idle = _by(graph.item_arcs, 1), _by(graph.item_arcs, 0), _by(graph.idle_arcs, 0)

    def conserve(_: Any, node: int) -> Any:  # noqa: ANN401
        arriving = sum(block.item[arc] for arc in into.get(node, ()))
        leaving = sum(block.item[arc] for arc in out.get(node, ()))
        return arriving == leaving + sum(block.idle[arc] for arc in idle.get(node, ()))

    block.conserve = pyo.Constraint(graph.inner_nodes, rule=conserve)
    block.domains_cut = pyo.Expression(expr=sum(block.item[arc] for arc in out.get(0, ())))


def _by(arcs: Iterable[Arc], end: int) -> dict[int, list[Arc]]:
    found: dict[int, list[Arc]] = {}
    for arc in arcs:
        found.setdefault(arc[end], []).append(arc)
    return found


def add_fragments_covered(block: Any, graph: PackingGraph, fragments: Mapping[int, Any]) -> None:  # noqa: ANN401
    """Paths hold at least the fragments in use: sum of arcs of size s >= replicas with a fragment of s GPUs."""

    def cover(_: Any, size: int) -> Any:  # noqa: ANN401
        return sum(block.item[arc] for arc in graph.item_arcs if arc[1] - arc[0] == size) >= fragments[size]

    block.cover = pyo.Constraint(sorted(fragments), rule=cover)


def add_domains_used(
    block: Any,  # noqa: ANN401 - a Pyomo block
    *,
    whole: Any,  # noqa: ANN401 - a Pyomo expression
    gpus: Any,  # noqa: ANN401 - a Pyomo expression
    gpus_per_domain: int,
    domains: int | None,
) -> None:
    """``domains_used`` integer = domains cut + domains taken whole, at most those there are; D * used >= GPUs in use.

    The variable and the last row add nothing to the relaxation: they let the solver branch on the number of domains and
    round it up, which closes small fleets that are rented by the domain.
    """
    block.domains_used = pyo.Var(domain=pyo.NonNegativeIntegers, bounds=(0, domains))
    block.count_domains = pyo.Constraint(expr=block.domains_used == block.domains_cut + whole)
    block.hold_gpus = pyo.Constraint(expr=gpus_per_domain * block.domains_used >= gpus)


def patterns_of(graph: PackingGraph, item_flow: Mapping[Arc, int], idle_flow: Mapping[Arc, int]) -> Patterns:
    """Split an integer flow into domains: the fragment sizes of each, largest first, and how many are alike.

    Path by path, each as often as its narrowest arc allows: a flow of a million domains has as few paths as arcs.
    """
    left = {("item", arc): count for arc, count in item_flow.items() if count}
    left |= {("idle", arc): count for arc, count in idle_flow.items() if count}
    outgoing: dict[int, list[tuple[str, Arc]]] = {}
    for key in left:
        outgoing.setdefault(key[1][0], []).append(key)
    domains: Patterns = Counter()
    while any(left[key] for key in outgoing.get(0, ())):
        node, path = 0, []
        while node != graph.capacity:
            path.append(next(key for key in outgoing.get(node, ()) if left[key]))
            node = path[-1][1][1]
        alike = min(left[key] for key in path)
        for key in path:
            left[key] -= alike
        sizes = (head - tail for kind, (tail, head) in path if kind == "item")
        domains[tuple(sorted(sizes, reverse=True))] += alike
    return domains


def without_surplus(patterns: Mapping[tuple[int, ...], int], needed: Mapping[int, int]) -> Patterns:
    """Drop fragments beyond ``needed`` (size -> number), and the domains that are then empty."""
    left = Counter(needed)
    kept: Patterns = Counter()
    for pattern, domains in patterns.items():
        while domains:
            held = Counter(pattern) & left
            if not held:
                break
            alike = min(domains, *(left[size] // count for size, count in held.items()))
            kept[tuple(sorted(held.elements(), reverse=True))] += alike
            left.subtract({size: alike * count for size, count in held.items()})
            domains -= alike
    return kept


def flow_of(graph: PackingGraph, patterns: Mapping[tuple[int, ...], int]) -> tuple[dict[Arc, int], dict[Arc, int]]:
    """Flow [arc] of items and of idle GPUs that patterns make, the reverse of ``patterns_of``."""
    items, idle = dict.fromkeys(graph.item_arcs, 0), dict.fromkeys(graph.idle_arcs, 0)
    for pattern, domains in patterns.items():
        node = 0
        for size in sorted(pattern, reverse=True):
            items[node, node + size] += domains
            node += size
        if node < graph.capacity:
            idle[node, graph.capacity] += domains
    return items, idle
