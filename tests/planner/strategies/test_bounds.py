from __future__ import annotations

import time

import numpy as np
import pytest
from enumeration import best_balance
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.strategies.bounds import balance_upper_bound, imbalance_lower_bound, largest_load_lower_bound
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
