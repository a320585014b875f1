"""All-to-all rates against closed forms, and the reduced program against the full one."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InstanceError
from planner.topology.builders import full_mesh, islands_on_fat_tree, nvlink_racks, torus
from planner.topology.domain_rate import torus_all_to_all_bytes_per_s, two_level_slowdown
from planner.topology.flow import all_to_all_rate_bytes_per_s
from planner.topology.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable


def racks(number: int, ratio: float) -> Topology:
    """Racks of 72 with NICs of unit rate."""
    return nvlink_racks(number, scale_up_bytes_per_s=ratio, scale_out_bytes_per_s=1.0)


def of_gpus(graph: nx.Graph, rate: Callable[[], float] = lambda: 1.0) -> Topology:
    """Every node a GPU of one domain."""
    nx.set_node_attributes(graph, "gpu", "kind")
    nx.set_node_attributes(graph, 0, "domain")
    for *_, data in graph.edges(data=True):
        data.update(bandwidth_bytes_per_s=rate(), latency_s=0.0)
    return Topology.from_networkx(graph)


def shuffled(topology: Topology, seed: int = 0) -> Topology:
    """Return the same cluster with nodes and edges in random order."""
    nodes, edges = list(topology.graph.nodes(data=True)), list(topology.graph.edges(data=True))
    random.Random(seed).shuffle(nodes)
    random.Random(seed).shuffle(edges)
    graph = nx.Graph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return Topology.from_networkx(graph)


def test_torus_of_64_with_unit_links() -> None:
    """4 x 4 x 4: 2.000 per chip with the own chunk, 1.969 without; the full program agrees (dossier, C16)."""
    cube = torus((4, 4, 4), 1.0)
    assert all_to_all_rate_bytes_per_s(cube) == pytest.approx(2.0, rel=1e-9)
    assert all_to_all_rate_bytes_per_s(cube, count_own_chunk=False) == pytest.approx(63 / 32, rel=1e-9)
    assert all_to_all_rate_bytes_per_s(cube, method="full") == pytest.approx(2.0, rel=1e-6)


def test_torus_of_216_with_unit_links() -> None:
    """6 x 6 x 6: 1.333 per chip (dossier, C16)."""
    assert all_to_all_rate_bytes_per_s(torus((6, 6, 6), 1.0)) == pytest.approx(4 / 3, rel=1e-9)


@pytest.mark.parametrize("shape", [(8, 8), (3, 5), (2, 4, 4), (5, 5, 5), (2, 2), (16,), (4, 4, 8), (12, 12, 12)])
def test_torus_closed_form(shape: tuple[int, ...]) -> None:
    """Mean ring distance over the links of the worst dimension is what the program finds, even or odd."""
    assert all_to_all_rate_bytes_per_s(torus(shape, 3.0)) == pytest.approx(
        torus_all_to_all_bytes_per_s(shape, 3.0), rel=1e-9
    )


@pytest.mark.parametrize(("ratio", "closed", "program"), [(8, 4.0, 4.056), (9, 4.5, 4.563), (18, 9.0, 9.127)])
def test_two_racks_of_72_against_one(ratio: float, closed: float, program: float) -> None:
    """Slowdown max(1 - f, h f) at f = 1/2, and 72/71 times it where a GPU's own chunk is counted but uses no link.

    At most 5 s for 144 GPUs (dossier, C12; issue 2).
    """
    assert two_level_slowdown(racks(2, ratio).crossing_share, ratio) == closed
    started = time.perf_counter()
    slowdown = all_to_all_rate_bytes_per_s(racks(1, ratio)) / all_to_all_rate_bytes_per_s(racks(2, ratio))
    assert time.perf_counter() - started < 5.0
    assert slowdown == pytest.approx(program, abs=5e-4)
    assert slowdown == pytest.approx(closed * 72 / 71, rel=1e-9)


@pytest.mark.parametrize(("number", "printed"), [(1, 900), (2, 100), (4, 67), (8, 57)])
def test_nvl72_racks_with_50_gb_nics(number: int, printed: float) -> None:
    """GB/s per GPU at 72, 144, 288 and 576 GPUs within 2 % (dossier, C16)."""
    cluster = nvlink_racks(number, scale_up_bytes_per_s=900e9, scale_out_bytes_per_s=50e9)
    assert all_to_all_rate_bytes_per_s(cluster) / 1e9 == pytest.approx(printed, rel=0.02)


@pytest.mark.parametrize(("gpus", "printed"), [(64, 57.1), (512, 50.8), (4096, 50.1)])
def test_hopper_islands(gpus: int, printed: float) -> None:
    """GB/s per GPU of islands of eight within 0.1 %, up to 4,096 GPUs by the same program (dossier, C16)."""
    cluster = islands_on_fat_tree(gpus // 8, scale_up_bytes_per_s=450e9, scale_out_bytes_per_s=50e9)
    assert all_to_all_rate_bytes_per_s(cluster) / 1e9 == pytest.approx(printed, rel=1e-3)


def test_an_oversubscribed_spine_binds() -> None:
    """At 3:1 the spine carries a third, so the rate falls by three; between islands on one leaf it does not matter."""
    fair = islands_on_fat_tree(4, 4, scale_up_bytes_per_s=9.0, scale_out_bytes_per_s=1.0)
    tight = islands_on_fat_tree(4, 4, scale_up_bytes_per_s=9.0, scale_out_bytes_per_s=1.0, oversubscription=3.0)
    shared = islands_on_fat_tree(
        4, 4, scale_up_bytes_per_s=9.0, scale_out_bytes_per_s=1.0, oversubscription=3.0, islands_per_leaf=4
    )
    fair_rate = all_to_all_rate_bytes_per_s(fair)
    assert all_to_all_rate_bytes_per_s(tight) == pytest.approx(fair_rate / 3)
    assert all_to_all_rate_bytes_per_s(shared) == pytest.approx(fair_rate)


def test_groups_use_their_own_gpus_only() -> None:
    """Four of eight on a mesh have three links each; 36 + 36 GPUs of two racks have the rate of two racks of 36."""
    assert all_to_all_rate_bytes_per_s(full_mesh(8, 2.0), [0, 2, 4, 6], count_own_chunk=False) == pytest.approx(6.0)
    half = [*range(36), *range(72, 108)]
    small = nvlink_racks(2, 36, scale_up_bytes_per_s=9.0, scale_out_bytes_per_s=1.0)
    assert all_to_all_rate_bytes_per_s(racks(2, 9), half) == pytest.approx(all_to_all_rate_bytes_per_s(small))


def test_unequal_rack_shares() -> None:
    """72 + 28 GPUs: the 28 NICs carry 28 * 72 pairs, so a pair gets 1/72 and a GPU 100/72."""
    group = [*range(72), *range(80, 108)]
    assert all_to_all_rate_bytes_per_s(racks(2, 9), group) == pytest.approx(100 / 72, rel=1e-9)


def test_rail_optimised_user_graph() -> None:
    """One leaf per local rank and no spine: relaying inside the island keeps the rate of a full fat tree."""
    graph = nx.Graph()
    for island in range(8):
        graph.add_node(f"switch{island}", kind="switch")
        for rank in range(8):
            gpu = f"gpu{island}.{rank}"
            graph.add_node(gpu, kind="gpu", domain=island)
            graph.add_node(f"leaf{rank}", kind="leaf")
            graph.add_edge(gpu, f"switch{island}", bandwidth_bytes_per_s=450e9, latency_s=0)
            graph.add_edge(gpu, f"leaf{rank}", bandwidth_bytes_per_s=50e9, latency_s=0)
    assert all_to_all_rate_bytes_per_s(Topology.from_networkx(graph)) == pytest.approx(50e9 * 64 / 56)


@pytest.mark.parametrize(
    "cluster",
    [racks(2, 9), torus((6, 6, 6), 1.0), islands_on_fat_tree(64, scale_up_bytes_per_s=9.0, scale_out_bytes_per_s=1.0)],
    ids=["racks", "torus", "islands"],
)
def test_node_order_changes_nothing(cluster: Topology) -> None:
    """A user's graph of the same cluster in random order gets the same rate."""
    assert all_to_all_rate_bytes_per_s(shuffled(cluster)) == pytest.approx(all_to_all_rate_bytes_per_s(cluster))


REGULAR_BUT_UNEVEN = [nx.frucht_graph(), nx.tutte_graph(), *(nx.random_regular_graph(3, 14, seed=s) for s in (0, 1, 2))]


@pytest.mark.parametrize("graph", REGULAR_BUT_UNEVEN)
def test_equal_degrees_are_not_taken_for_symmetry(graph: nx.Graph) -> None:
    """Cubic graphs whose nodes look alike to colour refinement but are not: reduced and full program agree."""
    cluster = of_gpus(graph)
    assert all_to_all_rate_bytes_per_s(cluster) == pytest.approx(all_to_all_rate_bytes_per_s(cluster, method="full"))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), directed=st.booleans())
def test_reduced_program_equals_the_full_one(seed: int, directed: bool) -> None:
    """Random graphs with random rates and random groups, directed or not."""
    draw = random.Random(seed)
    graph = nx.gnp_random_graph(9, 0.5, seed=seed, directed=directed)
    ring = nx.cycle_graph(9, create_using=nx.DiGraph if directed else nx.Graph)
    cluster = of_gpus(nx.compose(graph, ring), lambda: draw.choice([1.0, 2.0, 7.5]))
    group = None if draw.random() < 0.5 or directed else list(range(draw.randint(2, 9)))
    reduced = all_to_all_rate_bytes_per_s(cluster, group)
    assert reduced == pytest.approx(all_to_all_rate_bytes_per_s(cluster, group, method="full"), rel=1e-7)


def test_rate_scales_with_the_links() -> None:
    """Links 1e11 times as fast give a rate 1e11 times as high: no tolerance depends on the unit."""
    slow, fast = (islands_on_fat_tree(3, 4, scale_up_bytes_per_s=9 * u, scale_out_bytes_per_s=u) for u in (1.0, 1e11))
    assert all_to_all_rate_bytes_per_s(fast) == pytest.approx(1e11 * all_to_all_rate_bytes_per_s(slow), rel=1e-12)


@pytest.mark.parametrize("group", [[0], [0, 0], [0, 4], [-1, 0], [0, 2]])
def test_bad_groups_are_refused(group: list[int]) -> None:
    """One GPU, a repeat, numbers out of range, and GPUs that only others connect."""
    with pytest.raises(InstanceError):
        all_to_all_rate_bytes_per_s(torus((4,), 1.0), group)


def test_large_irregular_networks_are_refused_with_a_reason() -> None:
    """The full program beyond 64 nodes, and 144 GPUs with no two alike, are bad input rather than an endless run."""
    with pytest.raises(InstanceError, match="up to 64 nodes"):
        all_to_all_rate_bytes_per_s(racks(2, 9), method="full")
    graph = nx.Graph(racks(2, 9).graph)
    rng = np.random.default_rng(0)
    for *_, data in graph.edges(data=True):
        data["bandwidth_bytes_per_s"] = float(rng.uniform(1, 2))
    with pytest.raises(InstanceError, match="too little symmetry"):
        all_to_all_rate_bytes_per_s(Topology.from_networkx(graph))
