"""What users of the engines asked for (placement dossier, section 4): each wish is a test here or elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from planner.errors import NoPlanFound
from planner.exchange.placement_folder import FACTS_NAME, write_placement
from planner.strategies.api import place
from planner.strategies.moves import moved_slots
from planner.strategies.problem import PlacementRequest
from planner.strategies.replan import budgeted
from planner.strategies.result import gpu_load, imbalance

TESTS = Path(__file__).resolve().parents[2]

# Rows 7-10, 28 and 30 are import and export, 11, 23, 24 and 27 traffic: other files hold those tests.
WISHES: dict[int, tuple[str, ...]] = {
    1: ("planner/strategies/test_local_search.py::test_no_expert_is_doubled_on_a_gpu",),
    2: ("planner/strategies/test_user_wishes.py::test_each_phase_has_its_own_plan",),
    3: (
        "planner/strategies/test_moves.py::test_relabelling_is_the_best_of_all_permutations",
        "planner/strategies/test_replan.py::test_the_longer_the_plan_runs_the_more_moves_pay",
    ),
    4: (
        "planner/strategies/test_local_search.py::test_the_same_seed_gives_the_same_map",
        "planner/strategies/test_user_wishes.py::test_the_seed_stands_beside_the_map",
    ),
    5: (
        "planner/strategies/test_user_wishes.py::test_sizes_that_do_not_divide",
        "planner/strategies/test_redundancy.py::test_a_count_that_does_not_fit_names_its_neighbours",
    ),
    6: (
        "planner/strategies/test_redundancy.py::test_the_lowest_valid_count",
        "planner/strategies/test_coverage.py::test_the_fewest_redundant_experts_for_a_balance",
    ),
    7: ("planner/exchange/test_exports.py::test_ranks_of_experts_hold_no_copies_and_no_layers",),
    8: ("planner/exchange/test_exports.py::test_vllm_has_moe_layers_alone",),
    9: ("planner/strategies/test_user_wishes.py::test_no_redundancy_gives_a_permutation",),
    10: (
        "planner/exchange/test_engine_loads.py::test_sglang_stat_dump",
        "planner/strategies/test_local_search.py::test_one_plan_for_six_workloads",
    ),
    11: (
        "planner/strategies/test_objective.py::test_nodes_are_priced_by_the_scale_out_links",
        "planner/strategies/test_moves.py::test_the_rounds_turn_the_old_map_into_the_new",
    ),
    12: ("planner/strategies/test_replan.py::test_budgets_are_kept_and_more_never_hurts",),
    13: ("planner/strategies/test_moves.py::test_break_even_of_the_published_slowdown",),
    14: ("planner/cli/test_place_replan.py::test_a_plan_that_does_not_pay_is_not_taken",),
    15: ("planner/strategies/test_moves.py::test_rounds_are_as_many_as_the_largest_degree",),
    16: (
        "planner/strategies/test_baselines.py::test_eplb_falls_back_to_the_global_policy",
        "planner/strategies/test_drop_in.py::test_groups_stay_on_their_nodes",
    ),
    17: ("planner/strategies/test_user_wishes.py::test_balance_is_taken_layer_by_layer",),
    18: (
        "planner/strategies/test_replan.py::test_the_smallest_repair_copies_each_lost_expert_once",
        "planner/strategies/test_coverage.py::test_any_one_gpu_or_node_may_be_lost",
    ),
    19: ("planner/cli/test_place.py::test_dead_gpus_get_nothing",),
    20: ("planner/strategies/test_user_wishes.py::test_round_robin_is_a_start_without_loads",),
    21: ("planner/strategies/test_user_wishes.py::test_a_shared_expert_is_one_more_load",),
    22: ("planner/strategies/test_user_wishes.py::test_sizes_that_do_not_divide",),
    23: ("planner/strategies/test_local_search.py::test_nearest_dispatch_is_searched_under_its_own_rule",),
    24: ("planner/strategies/test_coactivation.py::test_fewer_destinations_on_unseen_tokens",),
    25: ("planner/strategies/test_user_wishes.py::test_a_balanced_map_is_left_alone",),
    26: ("planner/strategies/test_user_wishes.py::test_the_ceiling_stands_beside_the_plan",),
    27: ("planner/strategies/test_routed_traffic.py::test_links_sum_to_their_level",),
    28: (
        "planner/exchange/test_loads.py::test_a_dump_of_one_rank_is_refused",
        "planner/exchange/test_load_warnings.py::test_columns_of_zero_are_named",
    ),
    29: ("planner/strategies/test_user_wishes.py::test_experts_that_no_rank_count_divides",),
    30: ("planner/exchange/test_exports.py::test_only_valid_maps_leave",),
    31: (
        "planner/strategies/test_local_search.py::test_no_expert_is_doubled_on_a_gpu",
        "planner/strategies/test_replan.py::test_only_the_layers_that_gain_most_change",
        "planner/cli/test_place_replan.py::test_a_budget_of_moves",
    ),
    32: (
        "planner/strategies/test_user_wishes.py::test_a_large_and_a_small_gpu",
        "planner/cli/test_place_replan.py::test_slots_may_differ_from_gpu_to_gpu",
    ),
}


def lognormal(seed: int, *shape: int, spread: float = 0.7) -> np.ndarray:
    """Draw loads of a kind that DeepSeek-V3 layers have."""
    return np.random.default_rng(seed).lognormal(0.0, spread, shape)


def test_every_wish_has_a_test() -> None:
    """Rows 1 to 32 of the dossier, none left out."""
    assert sorted(WISHES) == list(range(1, 33))


@pytest.mark.parametrize("name", sorted({name for names in WISHES.values() for name in names}))
def test_the_named_test_exists(name: str) -> None:
    """File and function are there."""
    file, function = name.split("::")
    assert re.search(rf"^ *def {function}\(", (TESTS / file).read_text(), re.MULTILINE)


def test_each_phase_has_its_own_plan() -> None:
    """Wish 2: a plan for decode serves decode better than the plan for prefill does, and the other way round."""
    loads = [lognormal(seed, 2, 40) for seed in (0, 1)]
    plans = [place(load, 8, 6).physical_to_logical_map for load in loads]
    for own, load in enumerate(loads):
        worst = [imbalance(gpu_load(rows, load, 8)).max() for rows in plans]
        assert worst[own] < worst[1 - own]


def test_the_seed_stands_beside_the_map(tmp_path: Path) -> None:
    """Wish 4: the folder of a map says the seed that gives it again."""
    request = PlacementRequest(lognormal(2, 1, 1, 8), 2, 5, seed=7)
    write_placement(tmp_path, request, budgeted(request, np.arange(10)[None] % 8, 1.0))
    assert json.loads((tmp_path / FACTS_NAME).read_text())["seed"] == 7


@pytest.mark.parametrize(
    ("experts", "gpus", "redundant", "gpus_per_node"),
    [(256, 3, 2, None), (256, 72, 32, 8), (256, 72, 32, 4), (64, 20, 16, 8)],
)
def test_sizes_that_do_not_divide(experts: int, gpus: int, redundant: int, gpus_per_node: int | None) -> None:
    """Wishes 5 and 22: 3 ranks, 9 and 18 nodes, a last node half full; every expert placed, the balance as usual."""
    load = lognormal(3, 1, experts, spread=0.5)
    result = place(load, gpus, redundant=redundant, gpus_per_node=gpus_per_node)
    assert set(result.physical_to_logical_map[0]) == set(range(experts))
    assert result.balance[0] > 0.98 * result.bound[0]


def test_no_redundancy_gives_a_permutation() -> None:
    """Wish 9: with R = 0 every expert stands in one slot."""
    rows = place(lognormal(4, 2, 64), 8, redundant=0).physical_to_logical_map
    assert (np.sort(rows, axis=1) == np.arange(64)).all()


def test_balance_is_taken_layer_by_layer() -> None:
    """Wish 17: two layers whose loads cancel out in the sum are balanced 3/4 each, not 1."""
    load = np.array([[3.0, 1, 1, 1], [1.0, 1, 1, 3]])
    rows = np.array([[0, 1, 2, 3], [0, 1, 2, 3]])
    balance = 1.0 / imbalance(gpu_load(rows, load, 2))[0]
    assert balance.tolist() == pytest.approx([0.75, 0.75])
    assert gpu_load(rows, load, 2).sum(axis=1)[0].tolist() == [6, 6]


def test_round_robin_is_a_start_without_loads() -> None:
    """Wish 20: hot neighbours, as routers make them, spread over the GPUs: better than contiguous before any count."""
    load = np.repeat([9.0, 3.0, 1.0, 1.0], 4)[None]
    balance = [place(load, 4, strategy=name).balance[0] for name in ("round_robin", "contiguous")]
    assert balance[0] == pytest.approx(1.0)
    assert balance[1] == pytest.approx(3.5 / 9)


def test_a_shared_expert_is_one_more_load() -> None:
    """Wish 21: a shared expert enters as a column of its own, sees every token, and is copied where there is room."""
    routed = lognormal(5, 1, 32)
    load = np.concatenate([routed, routed.sum(axis=1, keepdims=True) / 4], axis=1)
    result = place(load, 8, 6)
    shared = (result.physical_to_logical_map[0].reshape(8, 6) == 32).any(axis=1)
    assert shared.sum() >= 2
    assert result.balance[0] > 0.98


def test_a_balanced_map_is_left_alone() -> None:
    """Wish 25: nothing moves, whatever the budget, where the running map is within the gap of its bound."""
    load = lognormal(6, 1, 3, 64, spread=0.5)
    running = place(load, 8, 10).physical_to_logical_map
    result = budgeted(PlacementRequest(load, 8, 10, gap=0.01), running, 1.0)
    assert moved_slots(running, result.physical_to_logical_map, 8).sum() == 0


def test_the_ceiling_stands_beside_the_plan() -> None:
    """Wish 26: one expert with half the load on 4 GPUs without copies: no plan passes balance 1/2, and it is said."""
    result = place(np.array([[7.0, 1, 1, 1, 1, 1, 1, 1]]), 4, 2)
    assert result.bound[0] == pytest.approx(0.5)
    assert result.balance[0] <= result.bound[0]


def test_experts_that_no_rank_count_divides() -> None:
    """Wish 29: 160 experts on DP 6 x TP 4 = 24 ranks: 16 with 7 slots, 8 with 6, padded with -1, none copied."""
    slots = np.repeat([7, 6], [16, 8])
    result = place(lognormal(7, 1, 160), 24, slots)
    rows = result.physical_to_logical_map.reshape(24, 7)
    assert ((rows >= 0).sum(axis=1) == slots).all()
    assert sorted(rows[rows >= 0].tolist()) == list(range(160))
    with pytest.raises(NoPlanFound, match="159 expert slots"):
        place(lognormal(7, 1, 160), 24, slots - np.eye(24, dtype=np.int64)[0])


def test_a_large_and_a_small_gpu() -> None:
    """Wish 32: 12 GB and 16 GB: 3 and 4 slots at speeds 3 and 4 balance seven equal experts exactly."""
    result = place(np.ones((1, 7)), 2, np.array([3, 4]), speed=np.array([3.0, 4.0]))
    assert result.balance[0] == pytest.approx(1.0)
