from __future__ import annotations

import json

import numpy as np
import pytest
from shared_loads import DATA, DENSE_LAYERS, deepseek_load, needs_shared_data

from planner.strategies.contiguous import Contiguous
from planner.strategies.eplb import Eplb
from planner.strategies.problem import PlacementRequest
from planner.strategies.result import gpu_load
from planner.strategies.round_robin import RoundRobin
from planner.strategies.zigzag import Zigzag

README = np.array(
    [
        [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
        [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
    ],
    dtype=float,
)
"""Loads of the example in the EPLB README (deepseek-ai/EPLB, 2025-03-24)."""

README_MAP = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]


def test_eplb_gives_the_published_example() -> None:
    """4 groups, 2 nodes, 8 GPUs, 16 slots: every slot as printed in the README."""
    result = Eplb().place(PlacementRequest(README[None], 8, 2, gpus_per_node=4, router_groups=4))
    assert result.physical_to_logical_map.tolist() == README_MAP
    assert result.balance.tolist() == pytest.approx([129.125 / 156.0, 144.5 / 179.5])


def test_eplb_falls_back_to_the_global_policy() -> None:
    """3 nodes do not divide 4 groups: the result is that of one node."""
    twelve = PlacementRequest(README[None], 12, 2, gpus_per_node=4, router_groups=4)
    flat = PlacementRequest(README[None], 12, 2, router_groups=1)
    assert np.array_equal(Eplb().place(twelve).physical_to_logical_map, Eplb().place(flat).physical_to_logical_map)


def test_eplb_names_what_it_cannot_serve() -> None:
    """Unequal slots, nodes of unequal size and groups of unequal size are refused with the reason."""
    assert "same number of slots" in str(Eplb().supports(PlacementRequest(README[None], 2, np.array([6, 7]))))
    assert "full nodes" in str(Eplb().supports(PlacementRequest(README[None], 6, 2, gpus_per_node=4)))
    assert "router groups" in str(Eplb().supports(PlacementRequest(README[None], 6, 2, router_groups=5)))


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data folder")
@pytest.mark.parametrize("path", sorted((DATA / "eplb_reference").glob("*.json")), ids=lambda path: path.stem)
def test_eplb_agrees_with_the_reference_maps(path: object) -> None:
    """Ten stated inputs run through the published code: same largest loads; same slots where no counts tie."""
    reference = json.loads(path.read_text())  # type: ignore[attr-defined]
    loads = {
        "readme": lambda: README,
        "prefill_in4096": lambda: deepseek_load("prefill_in4096")[DENSE_LAYERS:],
        "lognormal_seed7_4x64": lambda: np.load(DATA / "eplb_reference" / "lognormal_seed7_4x64.npy"),
    }
    load, gpus = loads[reference["loads"]](), reference["num_gpus"]
    request = PlacementRequest(
        load[None],
        gpus,
        reference["num_replicas"] // gpus,
        gpus_per_node=gpus // reference["num_nodes"],
        router_groups=reference["num_groups"],
    )
    result = Eplb().place(request)
    largest = gpu_load(result.physical_to_logical_map, load, gpus).max(axis=2)[0]
    assert largest.tolist() == pytest.approx(reference["max_gpu_load"], rel=1e-9)
    if reference["loads"] != "prefill_in4096":
        assert result.physical_to_logical_map.tolist() == reference["physical_to_logical_map"]


class TestMeasured:
    pytestmark = needs_shared_data

    @pytest.mark.parametrize(
        ("name", "gpus", "slots", "nodes", "balance"),
        [
            ("prefill_in4096", 32, 9, 1, 0.9939),
            ("prefill_in4096", 64, 5, 1, 0.9845),
            ("prefill_in4096", 144, 2, 1, 0.8035),
            ("prefill_in4096", 32, 9, 2, 0.9490),
            ("prefill_in4096", 64, 5, 8, 0.5292),
            ("decode_in2000out100", 72, 4, 1, 0.9749),
        ],
    )
    def test_eplb_balances_are_the_published_ones(
        self, name: str, gpus: int, slots: int, nodes: int, balance: float
    ) -> None:
        """Balances of the published code on recorded DeepSeek-V3 loads (dossier, section 1.4), to the printed digit."""
        request = PlacementRequest(deepseek_load(name)[None], gpus, slots, gpus_per_node=gpus // nodes, router_groups=8)
        assert np.nanmean(Eplb().place(request).balance) == pytest.approx(balance, abs=6e-5)

    def test_contiguous_placement_is_as_bad_as_recorded(self) -> None:
        """32 GPUs, no redundancy: 0.384 on prefill_in4096 (dossier, section 1.4)."""
        result = Contiguous().place(PlacementRequest(deepseek_load("prefill_in4096")[None], 32, 8))
        assert np.nanmean(result.balance) == pytest.approx(0.384, abs=5e-4)


def test_contiguous_repeats_the_first_experts() -> None:
    """4 experts on 3 GPUs x 2 slots: numbered through, then from 0 again."""
    result = Contiguous().place(PlacementRequest(np.ones((1, 1, 4)), 3, 2))
    assert result.physical_to_logical_map.tolist() == [[0, 1, 2, 3, 0, 1]]


def test_round_robin_deals_in_turn_without_doubling() -> None:
    """Expert e on GPU e mod G; a second pass starts one later, so that 4 experts on 4 GPUs x 2 never double."""
    result = RoundRobin().place(PlacementRequest(np.ones((1, 1, 6)), 3, 2))
    assert result.physical_to_logical_map.tolist() == [[0, 3, 1, 4, 2, 5]]
    row = RoundRobin().place(PlacementRequest(np.ones((1, 1, 4)), 4, 2)).physical_to_logical_map[0].reshape(4, 2)
    assert (row[:, 0] != row[:, 1]).all()
    assert np.bincount(row.ravel()).tolist() == [2, 2, 2, 2]


def test_zigzag_deals_sorted_copies_there_and_back() -> None:
    """Loads 8 to 1 on 4 GPUs x 2 pair up to 9 each; copies of one expert keep apart; a GPU out of service gets none."""
    result = Zigzag().place(PlacementRequest(np.arange(8.0, 0.0, -1.0)[None, None], 4, 2))
    assert result.physical_to_logical_map.tolist() == [[0, 7, 1, 6, 2, 5, 3, 4]]
    assert result.balance[0] == pytest.approx(1.0)
    copied = Zigzag().place(PlacementRequest(np.array([[[4.0, 1.0, 1.0]]]), 2, 2))
    assert copied.physical_to_logical_map.tolist() == [[0, 2, 0, 1]]
    dead = Zigzag().place(PlacementRequest(np.array([[[4.0, 3.0, 2.0, 1.0]]]), 3, np.array([2, 0, 2])))
    assert dead.physical_to_logical_map.tolist() == [[0, 3, -1, -1, 1, 2]]


@pytest.mark.parametrize("strategy", [Contiguous(), RoundRobin(), Zigzag(), Eplb()], ids=lambda strategy: strategy.name)
def test_dense_layers_are_numbered_through(strategy: Contiguous) -> None:
    """An all-zero layer gets 0, 1, 2, ... modulo the experts and no balance."""
    load = np.stack([np.zeros(4), np.array([5.0, 1.0, 1.0, 1.0])])[None]
    result = strategy.place(PlacementRequest(load, 2, 3))
    assert result.physical_to_logical_map[0].tolist() == [0, 1, 2, 3, 0, 1]
    assert np.isnan(result.balance[0])
    assert np.isfinite(result.balance[1])
