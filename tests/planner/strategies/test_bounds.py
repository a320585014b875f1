from __future__ import annotations

import time

import numpy as np
import pytest
from enumeration import best_balance
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.strategies import companion
from planner.strategies.bounds import balance_upper_bound, imbalance_lower_bound, largest_load_lower_bound
from planner.strategies.kernels import companion as kernel
from planner.strategies.layer_proof import LayerProof
from planner.strategies.problem import PlacementRequest

TINY = [(4, 3, 2), (3, 2, 2), (3, 2, 3), (4, 2, 3), (5, 3, 2), (2, 3, 1)]
"""Experts, GPUs, slots a GPU."""


@pytest.mark.parametrize(("experts", "gpus", "slots"), TINY)
@pytest.mark.parametrize("seed", range(4))
def test_no_placement_beats_the_bounds(experts: int, gpus: int, slots: int, seed: int) -> None:
    """Enumeration of every filling of a tiny layer, doubled copies included, never passes the fast or tight bound."""
    load = np.random.default_rng(seed).lognormal(0.0, 1.2, experts)
    best = best_balance(load, gpus, slots)
    for quality in ("fast", "tight"):
        largest = largest_load_lower_bound(load, gpus, slots, quality=quality)[0]
        assert load.sum() / gpus / largest >= best * (1 - 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=4).filter(any))
def test_no_placement_beats_the_bounds_where_counts_tie(load: list[int]) -> None:
    """The same with small whole numbers, where copies tie and ceilings sit on their edges."""
    best = best_balance(load, 3, 2)
    tight = largest_load_lower_bound(np.array([load]), 3, 2, quality="tight")[0]
    assert sum(load) / 3 / tight >= best * (1 - 1e-9)


SHAPES = [(4, 3, 2), (5, 3, 2), (3, 2, 3), (4, 2, 3), (5, 2, 3), (4, 3, 3), (4, 2, 4), (3, 3, 2)]
"""Experts, GPUs, slots a GPU of the random layers below."""


def random_layers(number: int) -> list[tuple[np.ndarray, int, int, float]]:
    """Layers with loads that are smooth or small whole numbers, and the least largest load of all their fillings."""
    draw = np.random.default_rng(number)
    layers = []
    for index in range(number):
        experts, gpus, slots = SHAPES[index % len(SHAPES)]
        smooth = draw.lognormal(0.0, draw.choice([0.3, 0.8, 1.5]), experts)
        load = smooth if index % 2 else draw.integers(1, 13, experts).astype(float)
        layers.append((load, gpus, slots, load.sum() / gpus / best_balance(load, gpus, slots)))
    return layers


def test_the_tight_bound_lies_between_the_fast_one_and_the_optimum() -> None:
    """200 tiny layers, all fillings enumerated: valid, never weaker, and it closes two thirds of the gap left."""
    fast_gap, tight_gap = [], []
    for load, gpus, slots, optimum in random_layers(200):
        fast = largest_load_lower_bound(load, gpus, slots)[0]
        tight = largest_load_lower_bound(load, gpus, slots, quality="tight")[0]
        assert fast <= tight <= optimum * (1 + 1e-9)
        fast_gap.append(1 - fast / optimum)
        tight_gap.append(1 - tight / optimum)
    assert np.mean(tight_gap) < np.mean(fast_gap) / 3


def test_the_integer_program_never_disproves_a_placement_that_exists() -> None:
    """At the enumerated optimum and just above there are counts; what is disproved just below is below it."""
    disproved = 0
    for load, gpus, slots, optimum in random_layers(40):
        proof = LayerProof(load, gpus, slots)
        for limit in (optimum, optimum * (1 + 1e-9), optimum * 1.01):
            assert proof.try_limit(limit, seconds=10.0, seed=0)[0] is False
        disproved += proof.try_limit(optimum * 0.999, seconds=10.0, seed=0)[0]
    assert disproved > 12


def test_counts_of_the_two_slot_program_pair_up() -> None:
    """Two slots: the thresholds suffice, so pairing the largest copy with the smallest stays within the limit."""
    draw = np.random.default_rng(7)
    for _ in range(20):
        load = draw.lognormal(0.0, 1.0, 12)
        limit = largest_load_lower_bound(load, 8, 2, quality="tight")[0] * 1.02
        _, counts = LayerProof(load, 8, 2).try_limit(limit, seconds=10.0, seed=0)
        if counts is None:
            continue
        size = np.sort(np.r_[np.repeat(load / counts, counts), np.zeros(16 - counts.sum())])
        assert (size + size[::-1]).max() <= limit * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_no_prices_disprove_what_exists(seed: int) -> None:
    """Weak duality needs no solver: at random prices the cheapest counts of a feasible limit fit the slots."""
    draw = np.random.default_rng(seed)
    experts, gpus, slots = SHAPES[seed % len(SHAPES)]
    load = draw.lognormal(0.0, 1.0, experts)
    limit = load.sum() / gpus / best_balance(load, gpus, slots)
    size = (load[:, None] / np.arange(1, 5) / limit).ravel()
    cuts = companion.inequalities(size[size <= 1.0], slots)
    rows = sum(len(threshold) for threshold in cuts.threshold) + len(cuts.excess)
    duals = np.r_[np.zeros(experts), -draw.exponential(1.0 / (1 + rows), rows)]
    prices = companion.prices(duals, experts, cuts)
    step = prices.position, prices.level, prices.slope
    total = gpus * slots
    cost = kernel.cheapest_counts(load, limit, *step, total - experts + 1, np.zeros(experts, dtype=np.int64))
    assert cost <= total * (1 + 1e-9)


def test_the_excess_inequality_adds_companions_up() -> None:
    """Loads 20, 20, 1 to 4 and three 5s, one copy each on 3 x 3: the twos beside the 20s hold 10 in all, so 25 it is.

    The thresholds alone see that some 20 has a 4 beside it: 24.
    """
    load = np.array([[20.0, 20.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0]])
    assert best_balance(load[0, :], 3, 3, distinct=True) == pytest.approx(65 / 3 / 25)
    assert largest_load_lower_bound(load, 3, 3, quality="tight")[0] == pytest.approx(25.0, rel=2e-4)


def test_the_tight_bound_leaves_dead_gpus_out() -> None:
    """Loads 3, 3, 3, 1 on three GPUs of which one is dead: as on two, some GPU has 6."""
    load = np.array([[3.0, 3.0, 3.0, 1.0]])
    bound = largest_load_lower_bound(load, 3, np.array([2, 0, 2]), quality="tight")
    assert bound[0] == pytest.approx(6.0, rel=2e-4)


def test_the_bound_of_one_slot_per_gpu_is_the_optimum() -> None:
    """Two GPUs more than experts: loads 9, 4, 1 on five GPUs need T with ceil(9/T) + ceil(4/T) + 1 <= 5, so T = 4."""
    assert largest_load_lower_bound(np.array([[9.0, 4.0, 1.0]]), 5, 1)[0] == pytest.approx(4.0)


def test_the_companion_bound_sees_what_the_mean_does_not() -> None:
    """Three loads of 3 and one of 1 with one copy each on two GPUs of two slots: some GPU has 6, the mean is 5."""
    load = np.array([[3.0, 3.0, 3.0, 1.0]])
    assert largest_load_lower_bound(load, 2, 2)[0] == pytest.approx(5.0)
    assert largest_load_lower_bound(load, 2, 2, quality="tight")[0] == pytest.approx(6.0, rel=1e-3)


def test_faster_gpus_lower_the_bound() -> None:
    """Even loads of 12 in all on speeds 1 and 2 cannot end before 12 / 3."""
    load = np.full((1, 12), 1.0)
    assert largest_load_lower_bound(load, 2, 6, np.array([1.0, 2.0]))[0] == pytest.approx(4.0)


def test_a_dead_gpu_carries_nothing() -> None:
    """Three GPUs of which one has no slot: the mean is over two."""
    assert largest_load_lower_bound(np.ones((1, 4)), 3, np.array([2, 0, 2]))[0] == pytest.approx(2.0)


def test_dense_layers_are_neutral() -> None:
    """A layer without load has imbalance 1 in the fleet model and no balance in a placement."""
    load = np.array([[0.0, 0.0], [1.0, 3.0]])
    assert imbalance_lower_bound(load, 2, 1).tolist() == pytest.approx([1.0, 1.5])
    bound = balance_upper_bound(PlacementRequest(load[None], 2, 1))
    assert np.isnan(bound[0])
    assert bound[1] == pytest.approx(2 / 3)


def test_scenarios_bound_the_mean() -> None:
    """One slot each, loads (1, 3) and (1, 1): balances 2/3 and 1, and no placement has a mean above 5/6."""
    load = np.array([[[1.0, 3.0]], [[1.0, 1.0]]])
    assert balance_upper_bound(PlacementRequest(load, 2, 1))[0] == pytest.approx(5 / 6)


def test_the_fast_bound_is_cheap() -> None:
    """The fleet model asks for every EP and slot count: 58 x 256 within 20 ms (best of five)."""
    load = np.random.default_rng(0).lognormal(0.0, 0.7, (58, 256))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        imbalance_lower_bound(load, 144, 2)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02
