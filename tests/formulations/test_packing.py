"""The arc flow of domains against enumeration, and its relaxation against the program over maximal patterns."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from formulations.blocks.packing import (
    PackingGraph,
    add_fragments_covered,
    add_packing,
    flow_of,
    packing_graph,
    patterns_of,
    without_surplus,
)
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Multiset = tuple[int, ...]

domains = st.integers(2, 14).flatmap(
    lambda capacity: st.tuples(
        st.just(capacity), st.lists(st.integers(1, capacity - 1), min_size=1, max_size=4, unique=True)
    )
)


def multisets_that_fit(capacity: int, sizes: Iterable[int]) -> set[Multiset]:
    """Enumerate every non-empty multiset of sizes that fits, largest first."""
    ordered = sorted(sizes, reverse=True)
    counts = itertools.product(*(range(capacity // size + 1) for size in ordered))
    held = (tuple(itertools.chain(*([size] * n for size, n in zip(ordered, row, strict=True)))) for row in counts)
    return {multiset for multiset in held if multiset and sum(multiset) <= capacity}


def multisets_of_paths(graph: PackingGraph) -> set[Multiset]:
    """Follow every path from node 0 to the capacity."""
    found: set[Multiset] = set()
    waiting: list[tuple[int, Multiset]] = [(0, ())]
    while waiting:
        node, held = waiting.pop()
        if node == graph.capacity or (node, graph.capacity) in graph.idle_arcs:
            found.add(tuple(sorted(held, reverse=True)))
        waiting += [(head, (*held, head - tail)) for tail, head in graph.item_arcs if tail == node]
    return found - {()}


@given(domain=domains)
def test_paths_are_the_multisets_that_fit(domain: tuple[int, list[int]]) -> None:
    """Every multiset of fragments that fits a domain is a path, and every path fits."""
    assert multisets_of_paths(packing_graph(*domain)) == multisets_that_fit(*domain)


def cover_program(graph: PackingGraph, needed: Mapping[int, int]) -> pyo.ConcreteModel:
    """Write the program that cuts the fewest domains for the fragments needed."""
    model = pyo.ConcreteModel()
    add_packing(model, graph)
    add_fragments_covered(model, graph, needed)
    model.least = pyo.Objective(expr=model.domains_cut)
    return model


def pattern_relaxation(capacity: int, needed: Mapping[int, int]) -> float:
    """Solve the LP with one variable per maximal pattern."""
    sizes = sorted(needed)
    fitting = multisets_that_fit(capacity, sizes)
    maximal = [held for held in fitting if capacity - sum(held) < sizes[0]]
    rows = np.array([[held.count(size) for held in maximal] for size in sizes])
    found = linprog(np.ones(len(maximal)), A_ub=-rows, b_ub=[-needed[size] for size in sizes])
    assert found.success
    return float(found.fun)


def fewest_domains(capacity: int, needed: Mapping[int, int]) -> int:
    """Pack one domain after the other with every pattern: breadth first over what is left."""
    start = tuple(sorted(Counter(needed).elements(), reverse=True))
    patterns = [Counter(held) for held in multisets_that_fit(capacity, needed)]
    layer, count = {start}, 0
    while () not in layer:
        count += 1
        layer = {
            tuple(sorted((Counter(left) - pattern).elements(), reverse=True)) for left in layer for pattern in patterns
        }
    return count


@settings(deadline=None, max_examples=40)
@given(domain=domains, draw=st.data())
def test_relaxation_equals_that_over_maximal_patterns(domain: tuple[int, list[int]], draw: st.DataObject) -> None:
    """The arc flow has the strength of the pattern program (Valerio de Carvalho 1999)."""
    capacity, sizes = domain
    needed = {size: draw.draw(st.integers(0, 9)) for size in sizes}
    matrix = compile_pyomo(cover_program(packing_graph(capacity, sizes), needed)).matrix
    assert solve_lp_relaxation(matrix).objective == pytest.approx(pattern_relaxation(capacity, needed), abs=1e-7)


@settings(deadline=None, max_examples=25)
@given(domain=domains, draw=st.data())
def test_fewest_domains_and_what_they_hold(domain: tuple[int, list[int]], draw: st.DataObject) -> None:
    """The optimum is the enumerated one, and the domains read from the flow hold what is needed and fit."""
    capacity, sizes = domain
    needed = {size: draw.draw(st.integers(0, 2)) for size in sizes}
    graph = packing_graph(capacity, sizes)
    model = cover_program(graph, needed)
    result = solve_pyomo(model, SolveOptions(gap=0))
    assert result.objective == pytest.approx(fewest_domains(capacity, needed), abs=1e-6)
    items = {arc: round(pyo.value(var)) for arc, var in model.item.items()}
    idle = {arc: round(pyo.value(var)) for arc, var in model.idle.items()}
    patterns = patterns_of(graph, items, idle)
    held = Counter(itertools.chain(*patterns.elements()))
    assert patterns.total() == result.objective
    assert all(sum(pattern) <= capacity for pattern in patterns)
    assert all(held[size] >= count for size, count in needed.items())


@given(domain=domains, draw=st.data())
def test_flow_and_patterns_are_one(domain: tuple[int, list[int]], draw: st.DataObject) -> None:
    """A list of patterns, made a flow and read back, holds as many of each fragment in as many domains."""
    fitting = sorted(multisets_that_fit(*domain))
    patterns = Counter(draw.draw(st.lists(st.sampled_from(fitting), max_size=6)))
    graph = packing_graph(*domain)
    back = patterns_of(graph, *flow_of(graph, patterns))
    assert back.total() == patterns.total()
    assert Counter(itertools.chain(*back.elements())) == Counter(itertools.chain(*patterns.elements()))
    assert all(sum(pattern) <= domain[0] for pattern in back)


def test_surplus_is_dropped() -> None:
    """Of two domains that hold 5+3 and 5+1, one 5 and one 3 are needed: one domain stays."""
    assert without_surplus({(5, 3): 1, (5, 1): 1}, {5: 1, 3: 1}) == {(5, 3): 1}
    assert without_surplus({(5, 1): 1, (3,): 1}, {3: 1}) == {(3,): 1}
    assert without_surplus({(3, 3): 10**12}, {3: 5}) == {(3, 3): 2, (3,): 1}


def test_a_flow_of_a_billion_domains_is_read_at_once() -> None:
    """Equal domains are counted, not listed."""
    graph = packing_graph(8, [5, 3])
    patterns = Counter({(5, 3): 10**9, (3, 3): 7})
    assert patterns_of(graph, *flow_of(graph, patterns)) == patterns


def test_known_cutting() -> None:
    """Racks of 72: three of 40, three of 20 and five of 12 GPUs take three racks (40+20+12 each) and one more."""
    graph = packing_graph(72, [40, 20, 12])
    result = solve_pyomo(cover_program(graph, {40: 3, 20: 3, 12: 5}), SolveOptions(gap=0))
    assert result.objective == pytest.approx(4.0)
    assert math.ceil((3 * 40 + 3 * 20 + 5 * 12) / 72) == 4
