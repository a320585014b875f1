"""Shapes of the built clusters: sizes, rates, delays, hosts."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from topology_accelerators import mi300x, nvl72, tpu_v5e, tpu_v5p

from planner.errors import InstanceError
from planner.topology.builders import from_accelerator, full_mesh, islands_on_fat_tree, nvlink_racks, torus
from planner.topology.topology import HopClass

RATES = {"scale_up_bytes_per_s": 900e9, "scale_out_bytes_per_s": 50e9}


def test_two_racks_of_72() -> None:
    """144 GPUs in two domains on 36 hosts; 900 GB/s inside, 50 GB/s between, delays as asked for."""
    racks = nvlink_racks(2, **RATES, scale_up_latency_s=1e-6, scale_out_latency_s=6e-6)
    assert len(racks.gpus) == 144
    assert racks.domain_sizes.tolist() == [72, 72]
    assert len(set(racks.hosts)) == 36
    width, delay = racks.pair_bandwidth_bytes_per_s(), racks.pair_latency_s()
    assert (width[0, 71], width[0, 72]) == (900e9, 50e9)
    assert (delay[0, 71], delay[0, 72]) == pytest.approx((1e-6, 6e-6))
    assert racks.crossing_share == 0.5


def test_one_rack_needs_no_scale_out() -> None:
    """A single rack is GPUs and a switch."""
    assert set(nx.get_node_attributes(nvlink_racks(1, **RATES).graph, "kind").values()) == {"gpu", "switch"}


def test_oversubscription_sets_the_link_to_the_spine() -> None:
    """Eight NICs of 50 GB/s at 2:1 share 200 GB/s; islands on one leaf do not need the spine."""
    tree = islands_on_fat_tree(4, 4, **RATES, oversubscription=2.0, islands_per_leaf=2)
    assert tree.graph.edges["leaf0", "spine0"]["bandwidth_bytes_per_s"] == 200e9
    hops = tree.hop_class()
    assert (hops[0, 3], hops[0, 4], hops[0, 8]) == (HopClass.SCALE_UP, HopClass.SCALE_OUT, HopClass.SPINE)


@pytest.mark.parametrize("shape", [(4, 4, 4), (3, 5), (2, 3, 4), (1, 4), (7,)])
def test_torus_is_a_product_of_rings(shape: tuple[int, ...]) -> None:
    """Isomorphic to NetworkX's periodic grid graph of the same sizes, with every link at the given rate."""
    grid = torus(shape, 90e9)
    ring = nx.grid_graph(dim=[size for size in shape if size > 1], periodic=True)
    assert nx.faster_could_be_isomorphic(grid.graph, ring)
    if len(grid.gpus) < 30:
        assert nx.is_isomorphic(grid.graph, ring)
    assert {rate for *_, rate in grid.graph.edges(data="bandwidth_bytes_per_s")} == {90e9}


def test_full_mesh_has_every_pair() -> None:
    """Eight GPUs have 28 links and one domain."""
    mesh = full_mesh(8, 64e9)
    assert mesh.graph.number_of_edges() == 28
    assert len(mesh.domains) == 1


def test_from_accelerator_fills_domains_in_turn() -> None:
    """100 GPUs of an NVL72 kind are a full rack and one of 28; fewer than 72 stay in one domain."""
    assert from_accelerator(nvl72(), 100).domain_sizes.tolist() == [72, 28]
    assert from_accelerator(nvl72(), 16).domain_sizes.tolist() == [16]


def test_from_accelerator_divides_the_total_over_links() -> None:
    """448 GB/s is 64 GB/s to each of seven peers; 540 and 200 GB/s are 90 and 50 GB/s a torus link."""
    for sheet, gpus, link in ((mi300x(), 8, 64e9), (tpu_v5p(), 64, 90e9), (tpu_v5e(), 256, 50e9)):
        built = from_accelerator(sheet, gpus)
        rates = [rate for *_, rate in built.graph.edges(data="bandwidth_bytes_per_s")]
        np.testing.assert_allclose(rates, link)
    assert dict(from_accelerator(tpu_v5p(), 64).graph.degree()) == dict.fromkeys((f"gpu{i}" for i in range(64)), 6)


def test_mesh_islands_are_joined_by_nics() -> None:
    """Two islands of eight on a mesh: 64 GB/s inside, 50 GB/s between."""
    islands = from_accelerator(mi300x(), 16)
    assert islands.hop_class()[0, 8] == HopClass.SPINE
    assert islands.pair_bandwidth_bytes_per_s()[0, 8] == 50e9


def test_bad_arguments_are_reported_together() -> None:
    """A count, a rate, a delay and the oversubscription out of range make four problems."""
    with pytest.raises(InstanceError) as caught:
        nvlink_racks(
            0,
            scale_up_bytes_per_s=float("nan"),
            scale_out_bytes_per_s=1.0,
            scale_out_latency_s=-1.0,
            oversubscription=0.5,
        )
    assert [problem.key for problem in caught.value.problems] == [
        "racks",
        "scale_up_bytes_per_s",
        "scale_out_latency_s",
        "oversubscription",
    ]
