"""Slots of each layer under one budget, against every choice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from formulations.replica_budget import ReplicaBudget, ReplicaBudgetProblem
from planner.errors import InstanceError, NoPlanFound
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions

EXACT = SolveOptions(gap=0, threads=1)


def table(seed: int, concave: bool) -> ReplicaBudgetProblem:
    """Four layers, slots 2 to 5, budget 12 of at most 20; gains that shrink, or that do not."""
    draw = np.random.default_rng(seed)
    gain = draw.lognormal(0.0, 1.0, (4, 3))
    gain = np.sort(gain, axis=1)[:, ::-1] if concave else gain
    largest = 20.0 - np.c_[np.zeros(4), np.cumsum(gain, axis=1)]
    return ReplicaBudgetProblem(np.maximum(largest, 0.0), np.arange(2, 6), 12, float(draw.choice([0.0, 0.7])))


def listed(case: ReplicaBudgetProblem) -> float:
    """Least cost over all choices within the budget."""
    best = np.inf
    for chosen in itertools.product(range(4), repeat=4):
        slots = case.slots[list(chosen)]
        if slots.sum() <= case.budget:
            cost = sum(case.largest[layer, option] for layer, option in enumerate(chosen))
            best = min(best, cost + case.price * slots.sum())
    return best


@pytest.mark.parametrize("concave", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_the_program_reaches_the_listed_optimum(seed: int, concave: bool) -> None:
    """Every choice tried; with shrinking gains the relaxation is short by less than the largest gain of one slot."""
    case = table(seed, concave)
    optimum = listed(case)
    built = ReplicaBudget().build(case)
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(optimum, rel=1e-6)
    slots = built.extract()
    assert slots.sum() <= case.budget
    cost = sum(case.largest[layer, number - 2] for layer, number in enumerate(slots.tolist()))
    assert cost + case.price * slots.sum() == pytest.approx(optimum, rel=1e-6)
    relaxed = solve_lp_relaxation(compile_pyomo(built.model).matrix).objective
    assert relaxed is not None
    assert relaxed <= optimum * (1 + 1e-9)
    if concave:
        assert relaxed == pytest.approx(optimum, rel=1e-6)  # steps of one slot: the budget ends on a whole slot


def test_relaxation_is_no_looser_than_recorded() -> None:
    """Layers at 8 -> 5 and 6 -> 2 for two slots each, three to spare: whole 10, by the relaxation 1.5 less."""
    case = ReplicaBudgetProblem(np.array([[8.0, 5.0], [6.0, 2.0]]), np.array([2, 4]), 7)
    relaxed = solve_lp_relaxation(compile_pyomo(ReplicaBudget().build(case).model).matrix).objective
    assert relaxed == pytest.approx(14.0 - 4.0 - 3.0 / 2)
    assert solve_pyomo(ReplicaBudget().build(case).model, EXACT).objective == pytest.approx(10.0)


def test_a_budget_too_small_says_what_is_needed() -> None:
    """Four layers of two slots at least: 7 is one short."""
    with pytest.raises(NoPlanFound, match="a budget of 8, not 7"):
        ReplicaBudgetProblem(np.ones((4, 1)), np.array([2]), 7)


def test_bad_data_is_refused_all_at_once() -> None:
    """Falling slots, a missing load and a negative price."""
    with pytest.raises(InstanceError) as caught:
        ReplicaBudgetProblem(np.array([[np.nan, 1.0]]), np.array([3, 2]), 9, price=-1.0)
    assert {entry.key for entry in caught.value.problems} == {"largest", "slots", "price"}
