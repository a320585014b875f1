from __future__ import annotations

import itertools

import numpy as np
import pytest
from shared_loads import DENSE_LAYERS, deepseek_load, needs_shared_data

from planner.errors import NoPlanFound
from planner.exchange.maps import duplicates, map_problems
from planner.strategies.api import place
from planner.strategies.coverage import coverage, covered_start, least_slots, lost_experts, useful_slots
from planner.strategies.problem import PlacementRequest
from planner.strategies.survival import surviving
from planner.strategies.target_balance import reach_balance


def test_lost_experts_of_a_small_map() -> None:
    """Experts 0 and 3 have one copy, 1 and 2 have two; nodes of two GPUs: expert 1 lies in node 0 only."""
    rows = np.array([[0, 1, 1, 2, 2, 3]])
    assert lost_experts(rows, np.array([0, 1, 2])).tolist() == [[1, 0, 1]]
    assert lost_experts(rows, np.array([0, 0, 1])).tolist() == [[2, 1]]


def can_cover(slots: list[int], experts: int) -> bool:
    """Whether every expert can have two domains, by trying all pairs of domains for each expert."""
    pairs = list(itertools.combinations(range(len(slots)), 2))
    for choice in itertools.combinations_with_replacement(pairs, experts):
        used = np.bincount(np.array(choice).ravel(), minlength=len(slots))
        if (used <= slots).all():
            return True
    return False


@pytest.mark.parametrize("slots", list(itertools.combinations_with_replacement(range(1, 6), 3)))
@pytest.mark.parametrize("experts", [2, 3, 4])
def test_the_slot_count_decides_whether_two_domains_can_be_had(slots: tuple[int, ...], experts: int) -> None:
    """Enough exactly where sum of min(slots, experts) >= twice the experts, and then the start has them."""
    counts = np.array(slots)
    enough = useful_slots(counts, np.arange(3), experts) >= 2 * experts
    assert enough == can_cover(list(slots), experts)
    if enough and (counts <= experts).all():
        rows = covered_start(np.arange(1.0, experts + 1), counts, np.arange(3)).reshape(1, -1)
        assert lost_experts(rows, np.arange(3)).sum() == 0


@pytest.mark.parametrize(("survive", "nodes"), [("gpu", None), ("node", 2), ("node", 3)])
def test_any_one_gpu_or_node_may_be_lost(survive: str, nodes: int | None) -> None:
    """20 experts on 6 GPUs x 7: nothing is lost with any GPU (node), no GPU holds a copy twice, the balance is high."""
    load = np.random.default_rng(0).lognormal(0.0, 0.6, (1, 3, 20))
    request = PlacementRequest(load, 6, 7, gpus_per_node=None if nodes is None else 6 // nodes)
    result = surviving(request, survive)  # type: ignore[arg-type]
    rows = result.physical_to_logical_map
    assert coverage(request, rows)[f"{survive}_worst"] == 0
    assert duplicates(rows, 6) == []
    assert map_problems(rows, 20, 6) == []
    assert result.balance.min() > 0.97


def test_the_least_redundancy_for_survival() -> None:
    """256 experts on 32 GPUs: 16 slots (R = 256) for GPUs and for four nodes; with one slot fewer refused by number."""
    alive = np.ones(32, dtype=np.int64)
    assert least_slots(256, 32, alive, np.arange(32)) == 16
    assert least_slots(256, 32, alive, np.arange(32) // 8) == 16
    assert least_slots(256, 32, alive, np.zeros(32, dtype=np.int64)) is None
    request = PlacementRequest(np.ones((1, 1, 256)), 32, 15, gpus_per_node=8)
    with pytest.raises(NoPlanFound, match=r"512 slots, 480 can count.*at least 16 slots a GPU"):
        surviving(request, "node")
    with pytest.raises(NoPlanFound, match="two nodes in use"):
        surviving(PlacementRequest(np.ones((1, 1, 4)), 4, 2), "node")


def test_the_fewest_redundant_experts_for_a_balance() -> None:
    """One expert has half of all tokens: on 4 GPUs it needs two copies; 8 experts need 2 slots, one more is proven."""
    load = np.array([[[7.0, 1, 1, 1, 1, 1, 1, 1]]])
    request = PlacementRequest(load, 4, 2)
    chosen, result, steps = reach_balance(request, 0.95, lambda asked: place(load, 4, asked.slots))
    assert int(chosen.slots.max()) == 3
    assert result.balance[0] >= 0.95
    assert [(step.slots_per_gpu, step.redundant) for step in steps] == [(2, 0)]
    assert steps[0].proven_short(0.95)
    assert steps[0].bound_mean == pytest.approx(14 / 4 / 7)


def test_a_balance_out_of_reach_is_refused() -> None:
    """Speeds 1 and 9 with both experts on both GPUs at even split: 5 against 10 tokens, never balanced."""
    load = np.ones((1, 1, 2))
    request = PlacementRequest(load, 2, 1, speed=np.array([1.0, 9.0]))
    with pytest.raises(NoPlanFound, match="no redundancy reaches"):
        reach_balance(request, 0.99, lambda asked: place(load, 2, asked.slots, speed=asked.speed))


class TestMeasured:
    pytestmark = needs_shared_data

    def test_one_dead_gpu_loses_seven_experts_a_layer(self) -> None:
        """R = 32 at 32 GPUs: 7.2 experts a layer on average (dossier, 6.6)."""
        load = deepseek_load("prefill_in4096")[None, DENSE_LAYERS:]
        request = PlacementRequest(load, 32, 9)
        lost = coverage(request, place(load, 32, 9).physical_to_logical_map)
        assert lost["gpu_mean"] == pytest.approx(7.2, abs=0.05)

    def test_survival_costs_no_balance(self) -> None:
        """Sixteen slots, any one of four nodes may go: balance above 0.999 on every twelfth layer."""
        load = deepseek_load("prefill_in4096")[None, DENSE_LAYERS::12]
        request = PlacementRequest(load, 32, 16, gpus_per_node=8)
        result = surviving(request, "node")
        assert coverage(request, result.physical_to_logical_map)["node_worst"] == 0
        assert result.balance.min() > 0.999
