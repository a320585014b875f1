"""Bounds on unequal GPUs, under time limits and from programs, against every filling of tiny layers."""

from __future__ import annotations

import contextlib
import itertools
import time

import numpy as np
import pytest

from planner.errors import NoPlanFound
from planner.strategies.api import run
from planner.strategies.bounds import largest_load_lower_bound
from planner.strategies.layer_proof import LayerProof
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort


def least_largest(load: np.ndarray, slots: list[int], speed: np.ndarray) -> float:
    """Least largest load / speed over every filling of every slot, even split, doubled copies included."""
    experts = range(len(load))
    contents = [list(itertools.combinations_with_replacement(experts, number)) for number in slots]
    best = np.inf
    for filling in itertools.product(*contents):
        count = np.bincount(np.concatenate(filling).astype(int), minlength=len(load))
        if (count > 0).all():
            share = load / count
            best = min(best, max(share[list(held)].sum() / s for held, s in zip(filling, speed, strict=True)))
    return best


SHAPES = [(3, [2, 2]), (3, [1, 1, 2]), (4, [2, 1, 2]), (3, [1, 1, 1, 1]), (2, [1, 2, 1]), (4, [2, 2, 1])]
"""Experts and slots of each GPU."""


@pytest.mark.parametrize(("experts", "slots"), SHAPES)
@pytest.mark.parametrize("seed", range(8))
def test_no_filling_of_unequal_gpus_beats_the_bound(experts: int, slots: list[int], seed: int) -> None:
    """Random loads on speeds 0.5 to 4 and unequal slots: the bound is never above the enumerated optimum."""
    draw = np.random.default_rng(seed)
    load = draw.lognormal(0.0, 1.0, experts) if seed % 2 else draw.integers(1, 9, experts).astype(float)
    speed = draw.choice([0.5, 1.0, 2.0, 4.0], len(slots))
    optimum = least_largest(load, slots, speed)
    for quality in ("fast", "tight"):
        bound = largest_load_lower_bound(load, len(slots), np.array(slots), speed, quality)[0]
        assert load.sum() / speed.sum() * (1 - 1e-9) <= bound <= optimum * (1 + 1e-9)


def test_a_hot_expert_cannot_have_every_copy_on_the_fast_gpu() -> None:
    """Load 8 with one spare slot on speeds 4, 1, 1, 1: two GPUs carry at most 5 T, so T >= 1.6; the mean is 1.17."""
    load = np.array([[8.0, 0.1, 0.1]])
    bound = largest_load_lower_bound(load, 4, 1, np.array([1.0, 4.0, 1.0, 1.0]))
    assert bound[0] == pytest.approx(1.6)
    assert least_largest(load[0], [1, 1, 1, 1], np.array([1.0, 4.0, 1.0, 1.0])) == pytest.approx(2.0)


def test_the_pairing_program_is_exact_but_for_doubled_copies() -> None:
    """Two slots, 30 layers enumerated: the integer program disproves just below the optimum and meets the optimum."""
    disproved = 0
    for seed in range(30):
        draw = np.random.default_rng(seed)
        experts, gpus = ((4, 3), (5, 3), (3, 2), (4, 4))[seed % 4]
        load = draw.lognormal(0.0, 1.0, experts)
        optimum = least_largest(load, [2] * gpus, np.ones(gpus))
        proof = LayerProof(load, gpus, 2)
        assert proof.try_limit(optimum * (1 + 1e-9), 10.0, 0)[0] is False
        disproved += proof.try_limit(optimum * (1 - 1e-4), 10.0, 0)[0]
    assert disproved == 30


LOAD = np.random.default_rng(11).lognormal(0.0, 1.0, (1, 6, 4))
OPTIMUM = [least_largest(row, [2, 2, 2], np.ones(3)) for row in LOAD[0]]


@pytest.mark.parametrize("seconds", [0.0, 1e-3, 0.02, 0.2])
def test_a_proof_cut_short_reports_a_bound_that_holds(seconds: float) -> None:
    """Whatever the deadline, balance <= optimum <= bound on six layers enumerated, and more time never loosens it."""
    request = PlacementRequest(LOAD, 3, 2, time_limit_s=seconds)
    plain = run(PlacementRequest(LOAD, 3, 2), "eplb")
    result = run(request, "eplb", Effort(0.0, time.perf_counter() + seconds, integer=True))
    best = LOAD[0].sum(axis=1) / 3 / OPTIMUM
    assert (result.balance <= best * (1 + 1e-9)).all()
    assert (best <= result.bound * (1 + 1e-9)).all()
    assert (result.bound <= plain.bound * (1 + 1e-12)).all()


@pytest.mark.parametrize("strategy", ["exact", "domain", "matheuristic", "local_search"])
def test_a_search_cut_short_has_a_bound_or_says_there_is_no_plan(strategy: str) -> None:
    """A millisecond for six layers: a valid bound beside a valid map, or the reason why there is none."""
    request = PlacementRequest(LOAD, 3, 2, time_limit_s=1e-3, gpus_per_node=1)
    result = None
    with contextlib.suppress(NoPlanFound):  # what it says is asserted where it is raised
        result = run(request, strategy)
    if result is None:
        return
    best = LOAD[0].sum(axis=1) / 3 / OPTIMUM
    assert (result.balance <= best * (1 + 1e-9)).all()
    assert (best <= result.bound * (1 + 1e-6)).all()
