from __future__ import annotations

import itertools

import numpy as np
import pytest

from planner.errors import FormulationError, InstanceError
from planner.strategies import STRATEGIES
from planner.strategies.api import place, run
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort
from planner.strategies.risk import cvar, expected

EVEN = np.full(4, 0.25)
LADDER = np.array([3.0, 1.0, 4.0, 2.0])


@pytest.mark.parametrize(
    ("share", "value"), [(0.25, 4.0), (0.5, 3.5), (0.375, (0.25 * 4 + 0.125 * 3) / 0.375), (0.1, 4.0), (1.0, 2.5)]
)
def test_cvar_of_a_ladder(share: float, value: float) -> None:
    """1, 2, 3, 4 with a quarter of the probability each: the mean of the upper end, cut scenarios in part."""
    assert cvar(LADDER, EVEN, share) == pytest.approx(value)


def test_scenarios_without_load_are_left_out() -> None:
    """The probabilities of the others are scaled up: 1 and 3 at odds of 1 to 3 have the mean 2.5 and the worst 3."""
    values = np.array([1.0, np.nan, 3.0])
    probability = np.array([0.2, 0.2, 0.6])
    assert expected(values, probability) == pytest.approx(2.5)
    assert cvar(values, probability, 0.5) == pytest.approx(3.0)
    assert np.isnan(expected(np.array([np.nan]), np.ones(1)))
    assert np.isnan(cvar(np.array([np.nan]), np.ones(1), 0.5))


def least_risk(load: np.ndarray, gpus: int, slots: int, weights: list[float], share: float, tail: float) -> float:
    """Least risk of all fillings without an expert twice on a GPU."""
    probability = np.array(weights) / sum(weights)
    contents = list(itertools.combinations(range(load.shape[1]), slots))
    best = np.inf
    for filling in itertools.combinations_with_replacement(contents, gpus):
        count = np.bincount(np.concatenate(filling), minlength=load.shape[1])
        if (count == 0).any():
            continue
        copy = load / count
        largest = np.max([copy[:, list(held)].sum(axis=1) for held in filling], axis=0)
        ratio = largest / (load.sum(axis=1) / gpus)
        # CVaR is the least of t + E max(T - t, 0) / share over t, reached at one of the values
        worst = min(t + probability @ np.maximum(ratio - t, 0.0) / share for t in ratio)
        best = min(best, (1 - tail) * float(probability @ ratio) + tail * float(worst))
    return best


@pytest.mark.parametrize(
    ("weights", "share", "tail"),
    [
        ([1, 1, 1], 0.25, 0.0),
        ([6, 1, 1], 0.25, 0.0),
        ([1, 1, 1], 0.2, 1.0),
        ([3, 2, 1], 0.5, 0.5),
        ([1, 9, 1], 0.3, 0.7),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_tiny_layers_reach_the_least_risk(weights: list[float], share: float, tail: float, seed: int) -> None:
    """Five experts on 3 GPUs x 2, three scenarios: the enumerated optimum of mean and tail, and a bound below it."""
    load = np.random.default_rng(seed).lognormal(0.0, 0.9, (3, 5))
    options = {"scenario_weights": np.array(weights), "cvar_share": share, "cvar_weight": tail}
    result = place(load[:, None], 3, 2, **options)
    least = least_risk(load, 3, 2, weights, share, tail)
    assert result.risk[0] == pytest.approx(least)
    assert result.risk_bound[0] <= least * (1 + 1e-9)


def test_a_sure_scenario_decides_alone() -> None:
    """At odds of a million to one the plan is as good for the likely load as one made for it alone."""
    load = np.random.default_rng(7).lognormal(0.0, 0.9, (2, 1, 8))
    result = place(load, 4, 3, scenario_weights=np.array([1e6, 1.0]))
    assert 1 / result.imbalance[0, 0] == pytest.approx(place(load[0], 4, 3).balance[0], abs=2e-3)


def test_weight_on_the_tail_helps_the_worst_scenario() -> None:
    """Twenty layers: all weight on the worst of four scenarios makes that one no worse than a percent of noise."""
    load = np.random.default_rng(3).lognormal(0.0, 0.8, (4, 20, 16))
    mean, tail = (place(load, 8, 3, cvar_weight=weight, cvar_share=0.25) for weight in (0.0, 1.0))
    assert cvar(tail.imbalance, EVEN, 0.25).mean() <= cvar(mean.imbalance, EVEN, 0.25).mean() * 1.01
    assert tail.risk.tolist() == pytest.approx(cvar(tail.imbalance, EVEN, 0.25).tolist())


def test_the_bound_on_risk_holds_for_every_strategy_and_rises_by_proof() -> None:
    """Mean and tail of the proven loads of each scenario lie below those of any map."""
    load = np.random.default_rng(5).lognormal(0.0, 1.2, (2, 2, 20))
    request = PlacementRequest(load, 12, 2, cvar_weight=0.5, scenario_weights=np.array([1.0, 3.0]))
    plain = run(request, "contiguous")
    proven = run(request, "contiguous", Effort(0.0))
    assert proven.risk_bound.sum() > plain.risk_bound.sum()
    for name in ("eplb", "multi_scenario_greedy", "local_search"):
        assert (run(request, name).risk >= proven.risk_bound * (1 - 1e-9)).all()


def test_with_one_scenario_risk_is_imbalance() -> None:
    """Nothing to weigh: largest over mean load, whatever the tail weight."""
    load = np.random.default_rng(5).lognormal(0.0, 1.0, (1, 3, 12))
    result = place(load, 6, 3, cvar_weight=0.3)
    assert result.risk.tolist() == pytest.approx((1.0 / result.balance).tolist())
    assert result.risk_bound.tolist() == pytest.approx((1.0 / result.bound).tolist())


def test_the_exact_program_weighs_scenarios_and_refuses_tails() -> None:
    """Odds of 6 to 1 to 1: the program's optimum is the enumerated one; a tail is not in its objective."""
    load = np.random.default_rng(0).lognormal(0.0, 0.9, (3, 5))
    weights = np.array([6.0, 1.0, 1.0])
    request = PlacementRequest(load[:, None], 3, 2, scenario_weights=weights, gap=0.0)
    placed = STRATEGIES["exact"].place(request)
    assert placed.risk[0] == pytest.approx(least_risk(load, 3, 2, weights.tolist(), 1.0, 0.0))
    with pytest.raises(FormulationError, match="cvar_weight"):
        place(load[:, None], 3, 2, strategy="exact", cvar_weight=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario_weights": np.ones(2)}, "must be 3 positive numbers"),
        ({"scenario_weights": np.array([1.0, 0.0, 1.0])}, "must be 3 positive numbers"),
        ({"cvar_share": 0.0}, "above 0 and at most 1"),
        ({"cvar_weight": 1.5}, "from 0 to 1"),
        ({"workers": 0}, "at least 1"),
    ],
)
def test_bad_weights_are_refused(options: dict[str, object], message: str) -> None:
    """Each refusal names its rule."""
    with pytest.raises(InstanceError, match=message):
        place(np.ones((3, 1, 4)), 2, 3, **options)


@pytest.mark.parametrize(
    ("scenarios", "gpus", "slots", "options"),
    [
        (1, 8, 5, {}),
        (1, 8, 3, {}),
        (1, 16, 2, {}),
        (3, 8, 4, {"cvar_weight": 0.5}),
        (1, 8, 4, {"gpus_per_node": 4, "dispatch": "nearest"}),
    ],
)
def test_the_map_does_not_depend_on_the_workers(
    scenarios: int, gpus: int, slots: int, options: dict[str, object]
) -> None:
    """One, two or five layers at a time: slot for slot the same, for each kind of search."""
    load = np.random.default_rng(9).lognormal(0.0, 0.8, (scenarios, 7, 24))
    maps = [place(load, gpus, slots, workers=count, **options).physical_to_logical_map for count in (1, 2, 5)]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], maps[2])
