"""Orbits that the search finds, and the exact reduction of a linear program."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.sparse import csr_array

from planner.topology.linear_program import LinearProgram, quotient, solve
from planner.topology.refinement import refine
from planner.topology.symmetry import Network, find_orbits


def network(graph: nx.Graph) -> Network:
    """Every node a member, every link alike."""
    arcs = np.array(nx.to_directed(nx.convert_node_labels_to_integers(graph)).edges, dtype=np.int64)
    count = graph.number_of_nodes()
    return Network(arcs[:, 0], arcs[:, 1], np.ones(len(arcs)), np.ones(count, bool), np.zeros(count, np.int64))


@pytest.mark.parametrize(
    ("graph", "orbits"),
    [
        (nx.petersen_graph(), 1),
        (nx.dodecahedral_graph(), 1),
        (nx.cycle_graph(17), 1),
        (nx.complete_graph(12), 1),
        (nx.path_graph(9), 5),
        (nx.star_graph(6), 2),
        (nx.complete_bipartite_graph(3, 5), 2),
        (nx.frucht_graph(), 12),
    ],
    ids=str,
)
def test_node_orbits_of_known_graphs(graph: nx.Graph, orbits: int) -> None:
    """Vertex-transitive graphs have one orbit, a path pairs its ends, Frucht's cubic graph has no symmetry at all."""
    assert np.unique(find_orbits(network(graph)).node).size == orbits


def test_members_are_told_from_others() -> None:
    """A ring of six with two opposite members has two orbits of nodes that matter and never mixes them."""
    ring = network(nx.cycle_graph(6))
    member = np.array([True, False, False, True, False, False])
    found = find_orbits(Network(ring.tail, ring.head, ring.capacity, member, ring.domain))
    assert found.node[0] == found.node[3]
    assert found.node[0] not in found.node[[1, 2, 4, 5]]


def test_refinement_is_the_coarsest_equitable_partition() -> None:
    """A path of five splits into ends, their neighbours and the middle; a ring does not split."""
    path = network(nx.path_graph(5))
    colour = refine(np.zeros(5, np.int64), path.tail, path.head, path.label)
    assert colour[0] == colour[4] != colour[1]
    assert colour[1] == colour[3] != colour[2]
    ring = network(nx.cycle_graph(8))
    assert np.unique(refine(np.zeros(8, np.int64), ring.tail, ring.head, ring.label)).size == 1


def test_quotient_keeps_the_optimum() -> None:
    """Assigning 6 equal jobs to 3 equal machines: one column and two rows are left, the cost stays 6."""
    jobs, machines = 6, 3
    pair = np.arange(jobs * machines)
    one = np.ones(pair.size)
    program = LinearProgram(
        objective=one,
        equal=csr_array((one, (pair // machines, pair)), shape=(jobs, pair.size)),
        equal_rhs=np.ones(jobs),
        upper=csr_array((one, (pair % machines, pair)), shape=(machines, pair.size)),
        upper_rhs=np.full(machines, 2.0),
    )
    small = quotient(program)
    assert (small.objective.size, small.equal.shape, small.upper.shape) == (1, (1, 1), (1, 1))
    assert solve(program) == pytest.approx(6.0)
    assert solve(small) == pytest.approx(6.0)
