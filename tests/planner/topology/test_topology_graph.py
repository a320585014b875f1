"""Reading a user's graph: what is refused, and the matrices of one that is accepted."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

from planner.errors import InstanceError
from planner.topology.topology import HopClass, Topology


def pair_of_gpus(**edge: Any) -> nx.Graph:  # noqa: ANN401 - deliberately wrong types too
    """Two GPUs and one link, some of its attributes overridden."""
    graph = nx.Graph()
    graph.add_node("a", kind="gpu", domain=0)
    graph.add_node("b", kind="gpu", domain=0)
    graph.add_edge("a", "b", **({"bandwidth_bytes_per_s": 1.0, "latency_s": 0.0} | edge))
    return graph


def messages(graph: nx.Graph) -> list[str]:
    """Return the problems that a refused graph is reported with."""
    with pytest.raises(InstanceError) as caught:
        Topology.from_networkx(graph, "cluster.graphml")
    assert all(problem.file == "cluster.graphml" for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]


def test_every_problem_is_reported_at_once() -> None:
    """Five faults in one graph make five problems, each naming its node or edge and attribute."""
    graph = pair_of_gpus(bandwidth_bytes_per_s=-1.0, latency_s=float("nan"))
    graph.add_node("c", kind="router")
    graph.add_node("d")
    graph.add_node("e", kind="gpu")
    found = "\n".join(messages(graph))
    assert found.count("\n") == 4
    for part in (
        "edge 'a' -> 'b' bandwidth_bytes_per_s: -1 is negative",
        "edge 'a' -> 'b' latency_s: is NaN",
        "node 'c' kind: 'router' is unknown",
        "node 'd' kind: is missing",
        "node 'e' domain: is missing",
    ):
        assert part in found


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"bandwidth_bytes_per_s": float("nan")}, "is NaN"),
        ({"bandwidth_bytes_per_s": 0.0}, "is zero"),
        ({"bandwidth_bytes_per_s": float("inf")}, "not a finite number"),
        ({"bandwidth_bytes_per_s": None}, "is missing"),
        ({"bandwidth_bytes_per_s": "50 GB"}, "is not a quantity in byte/second"),
        ({"bandwidth_bytes_per_s": True}, "expected a number"),
        ({"latency_s": -1e-6}, "is negative"),
        ({"latency_s": None}, "is missing"),
    ],
)
def test_bad_edge_attributes(edge: dict[str, Any], message: str) -> None:
    """Each kind of bad rate or delay is one problem with a remedy."""
    (only,) = messages(pair_of_gpus(**edge))
    assert message in only
    assert only.endswith(")")


def test_a_cluster_has_gpus_that_reach_each_other() -> None:
    """No GPU at all, or a GPU out of reach of the others in either direction, is refused."""
    assert "has no GPU" in messages(nx.Graph())[0]
    apart = pair_of_gpus()
    apart.add_node("c", kind="gpu", domain=1)
    assert "node 'c': is not connected with GPU 'a'" in messages(apart)[0]
    one_way = nx.DiGraph(pair_of_gpus())
    one_way.remove_edge("b", "a")
    assert "node 'b': is not connected with GPU 'a'" in messages(one_way)[0]


def test_self_loops_and_parallel_edges_are_refused() -> None:
    """Neither has a meaning here: the remedy says what to do instead."""
    loop = pair_of_gpus()
    loop.add_edge("a", "a", bandwidth_bytes_per_s=1.0, latency_s=0.0)
    assert "joins a node to itself" in messages(loop)[0]
    assert "sum of their bandwidths" in messages(nx.MultiGraph(pair_of_gpus()))[0]


def two_islands() -> nx.Graph:
    """Two islands of two GPUs under two leaves, a third island on the first leaf; one slow NIC."""
    graph = nx.Graph()
    graph.add_nodes_from(["leaf0", "leaf1"], kind="leaf")
    graph.add_node("spine", kind="spine")
    for island, leaf in ((0, "leaf0"), (1, "leaf1"), (2, "leaf0")):
        graph.add_node(f"switch{island}", kind="switch")
        for gpu in (f"{island}.0", f"{island}.1"):
            graph.add_node(gpu, kind="gpu", domain=f"island{island}", host=island)
            graph.add_edge(gpu, f"switch{island}", bandwidth_bytes_per_s="450 GB/s", latency_s="1 us")
            graph.add_node(f"nic{gpu}", kind="nic")
            slow = "25 GB/s" if gpu == "0.1" else np.float64(50e9)
            graph.add_edge(gpu, f"nic{gpu}", bandwidth_bytes_per_s=50e9, latency_s=0)
            graph.add_edge(f"nic{gpu}", leaf, bandwidth_bytes_per_s=slow, latency_s=2e-6)
    graph.add_edge("leaf0", "spine", bandwidth_bytes_per_s=40e9, latency_s=3e-6)
    graph.add_edge("leaf1", "spine", bandwidth_bytes_per_s=100e9, latency_s=3e-6)
    return graph


def test_gpus_domains_and_hosts_follow_the_graph_order() -> None:
    """GPUs keep the order of the graph's nodes, domains that of first appearance."""
    topology = Topology.from_networkx(two_islands())
    assert topology.gpus == ("0.0", "0.1", "1.0", "1.1", "2.0", "2.1")
    assert topology.domains == ("island0", "island1", "island2")
    assert topology.domain_of.tolist() == [0, 0, 1, 1, 2, 2]
    assert topology.hosts == (0, 0, 1, 1, 2, 2)
    assert topology.domain_sizes.tolist() == [2, 2, 2]
    assert topology.crossing_share == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph])
def test_pair_matrices_on_paths_known_by_hand(kind: type[nx.Graph]) -> None:
    """Bottlenecks, delays and hop classes read off the drawing, for an undirected graph and its directed twin.

    The slow NIC of 0.1 does not bind: its island's switch and the other GPU's NIC are a wider way out.
    """
    topology = Topology.from_networkx(kind(two_islands()))
    width, delay, hops = (
        topology.pair_bandwidth_bytes_per_s(),
        topology.pair_latency_s(),
        topology.hop_class(),
    )
    assert (width[0, 1], width[0, 2], width[0, 4], width[1, 4]) == (450e9, 40e9, 50e9, 50e9)
    assert np.isinf(np.diag(width)).all()
    assert [delay[0, other] for other in range(5)] == pytest.approx([0, 2e-6, 10e-6, 10e-6, 4e-6])
    assert hops[0].tolist() == [
        HopClass.SELF,
        HopClass.SCALE_UP,
        HopClass.SPINE,
        HopClass.SPINE,
        HopClass.SCALE_OUT,
        HopClass.SCALE_OUT,
    ]
    for matrix in (width, delay, hops):
        np.testing.assert_array_equal(matrix, matrix.T)


def test_directed_links_may_differ() -> None:
    """A ring with a fast and a slow direction: each pair uses the better of the two ways round."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(3), kind="gpu", domain=0)
    for node in range(3):
        graph.add_edge(node, (node + 1) % 3, bandwidth_bytes_per_s=5.0, latency_s=1.0)
        graph.add_edge((node + 1) % 3, node, bandwidth_bytes_per_s=2.0, latency_s=1.0)
    graph.add_edge(0, 2, bandwidth_bytes_per_s=7.0, latency_s=9.0)
    width = Topology.from_networkx(graph).pair_bandwidth_bytes_per_s()
    assert width[0, 1] == 5.0
    assert width[0, 2] == 7.0
    assert width[1, 0] == 5.0


def test_what_was_checked_cannot_change() -> None:
    """The stored graph is frozen, is a copy of the user's, and matrices are read-only."""
    graph = pair_of_gpus()
    topology = Topology.from_networkx(graph)
    graph.add_node("later")
    assert "later" not in topology.graph
    with pytest.raises(nx.NetworkXError):
        topology.graph.add_node("c")
    with pytest.raises(ValueError, match="read-only"):
        topology.pair_latency_s()[0, 0] = 1.0
