"""How a run ends, and what is held then."""

from __future__ import annotations

import math
from dataclasses import replace

import highspy
import numpy as np
import pytest
from solve_programs import knapsack, linear, market_split

from planner.errors import InstanceError, SolverError
from planner.solver.highs import solve_lp_relaxation, solve_matrix
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus, StopReason, relative_gap
from planner.solver.run import STOP_REASONS

KNAPSACK = knapsack([10, 13, 7, 8], [3, 4, 2, 3], 7)  # best: 13 + 10 = 23 at weight 7 (16 subsets by hand)


def test_optimum_of_a_small_program() -> None:
    """A knapsack of four items has value 23; status, bound and sizes are all recorded."""
    result = solve_matrix(KNAPSACK, SolveOptions(gap=0))
    assert (result.status, result.stop_reason) == (PlanStatus.optimal, StopReason.optimal_within_gap)
    assert result.objective == pytest.approx(-23, abs=1e-9)
    assert result.bound == pytest.approx(-23, abs=1e-9)
    assert result.gap == pytest.approx(0, abs=1e-9)
    assert result.values is not None
    assert result.values.round().tolist() == [1, 1, 0, 0]
    assert (result.rows, result.columns, result.nonzeros, result.integer_columns) == (1, 4, 4, 4)
    assert result.start_accepted is None
    assert {"highspy", "pyomo"} <= result.versions.keys()


def test_every_highs_status_is_translated() -> None:
    """HiGHS has no status that the table does not know, so no run can end in a KeyError."""
    assert set(STOP_REASONS) == set(highspy.HighsModelStatus.__members__.values())


def test_time_limit_with_incumbent_is_a_result() -> None:
    """Out of time with a point in hand: feasible, the point and a bound below it (the market split bound is 0)."""
    result = solve_matrix(market_split(), SolveOptions(time_limit_s=0.7))
    assert (result.status, result.stop_reason) == (PlanStatus.feasible, StopReason.time_limit)
    assert result.values is not None
    assert result.objective == pytest.approx(market_split().cost @ result.values)
    assert 0 <= result.bound <= result.objective
    assert result.gap == pytest.approx((result.objective - result.bound) / result.objective)
    assert [point.seconds for point in result.history] == sorted(point.seconds for point in result.history)


def test_time_limit_without_incumbent_holds_nothing() -> None:
    """No time at all: nothing is held, the gap is infinite, and no error is raised (pitfall 10)."""
    result = solve_matrix(market_split(), SolveOptions(time_limit_s=0.0))
    assert (result.status, result.stop_reason) == (PlanStatus.none, StopReason.time_limit)
    assert result.objective is None
    assert result.values is None
    assert result.gap == math.inf


def test_node_limit() -> None:
    """One node is not enough for the market split; the point found before it is kept."""
    result = solve_matrix(market_split(), SolveOptions(node_limit=1, time_limit_s=20))
    assert (result.status, result.stop_reason) == (PlanStatus.feasible, StopReason.node_limit)


def test_run_time_is_our_own() -> None:
    """Pitfall 7: HiGHS' clock adds up over runs; ours counts one run, near the time limit given."""
    for _ in range(2):
        result = solve_matrix(market_split(), SolveOptions(time_limit_s=0.4))
        assert 0.35 < result.solve_s < 2.0


def test_gap_asked_is_gap_kept() -> None:
    """Optimal means within the gap asked: with 50 % the run may stop early, and says which gap is left."""
    weights = list(range(11, 41))
    program = knapsack([w * 1.37 % 17 + w for w in weights], weights, 200)
    loose = solve_matrix(program, SolveOptions(gap=0.5))
    exact = solve_matrix(program, SolveOptions(gap=0))
    assert loose.status is exact.status is PlanStatus.optimal
    assert loose.gap <= 0.5
    assert exact.gap <= 1e-9
    assert loose.bound <= exact.objective <= loose.objective


def test_no_hidden_absolute_gap() -> None:
    """HiGHS' default absolute gap of 1e-6 would call any answer below it optimal; ours is 0 unless asked for."""
    assert SolveOptions().as_highs()["mip_abs_gap"] == 0.0
    assert SolveOptions(mip_abs_gap=0.5).as_highs()["mip_abs_gap"] == 0.5
    split = market_split(30, 3, seed=1)
    stopped = solve_matrix(split, SolveOptions(gap=0, mip_abs_gap=1e3))
    assert stopped.objective > solve_matrix(split, SolveOptions(gap=0, time_limit_s=5)).objective


@pytest.mark.parametrize("integer", [0, 1])
def test_infeasible(integer: int) -> None:
    """X + y >= 5 with x, y <= 2: infeasible, as LP and as integer program; the bound is infinite."""
    program = linear([1, 1], [[1, 1]], [5], [np.inf], upper=2)
    result = solve_matrix(replace(program, integrality=np.full(2, integer, dtype=np.int32)))
    assert (result.status, result.stop_reason) == (PlanStatus.none, StopReason.infeasible)
    assert result.bound == math.inf


@pytest.mark.parametrize("integer", [0, 1])
def test_unbounded(integer: int) -> None:
    """Minimise -x - y with only x - y <= 1: unbounded, told apart from infeasible, LP and integer program."""
    program = linear([-1, -1], [[1, -1]], [-np.inf], [1])
    result = solve_matrix(replace(program, integrality=np.full(2, integer, dtype=np.int32)))
    assert result.stop_reason is StopReason.unbounded
    assert result.bound == -math.inf


def test_duals_of_a_linear_program() -> None:
    """Maximise 3x + 5y, x <= 4, 2y <= 12, 3x + 2y <= 18 (Hillier and Lieberman): 36, shadow prices 0, 1.5, 1."""
    program = linear([-3, -5], [[1, 0], [0, 2], [3, 2]], [-np.inf] * 3, [4, 12, 18])
    result = solve_matrix(program)
    assert result.objective == pytest.approx(-36)
    assert result.bound == result.objective
    assert result.row_duals == pytest.approx([0, -1.5, -1])
    assert result.reduced_costs == pytest.approx([0, 0])


def test_integer_programs_have_no_duals() -> None:
    """Duals of an integer program mean nothing and are left out."""
    assert solve_matrix(KNAPSACK).row_duals is None


def test_relaxation_bounds_the_integer_program() -> None:
    """Relaxed knapsack by density: 7 + 10 + 13 * 2/4 = 23.5, above the integer 23."""
    assert solve_lp_relaxation(KNAPSACK).objective == pytest.approx(-23.5)


def test_empty_programs() -> None:
    """No columns: the constant is the optimum if 0 lies within every row, else infeasible."""
    empty = linear([], [[]], [-1], [1])
    held = solve_matrix(replace(empty, offset=4.0))
    assert (held.status, held.objective, held.gap) == (PlanStatus.optimal, 4.0, 0.0)
    assert solve_matrix(replace(empty, row_lower=np.array([1.0]))).stop_reason is StopReason.infeasible


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"threads": 0}, "threads"),
        ({"gap": -1}, "gap"),
        ({"gap": math.nan}, "gap"),
        ({"time_limit_s": -1}, "time_limit_s"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options_are_bad_input(options: dict[str, float], key: str) -> None:
    """Options no run could honour are refused by name before any run."""
    with pytest.raises(InstanceError) as caught:
        SolveOptions(**options)  # type: ignore[arg-type]
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.parametrize("highs", [{"no_such_option": 1}, {"presolve": 3.5}])
def test_option_that_highs_refuses_is_an_error(highs: dict[str, float]) -> None:
    """HiGHS only logs an unknown option or a wrong type; we raise with its name."""
    with pytest.raises(SolverError, match=next(iter(highs))):
        solve_matrix(KNAPSACK, SolveOptions(highs=highs))


def test_threads_may_change_between_runs() -> None:
    """Pitfall 1: a run with another number of threads in one process works, also after a plain HiGHS run."""
    plain = highspy.Highs()  # type: ignore[no-untyped-call]
    plain.setOptionValue("log_to_console", False)
    plain.addVar(0, 1)
    plain.run()
    for threads in (1, 2, 1, 2):
        result = solve_matrix(market_split(20, 2), SolveOptions(threads=threads))
        assert result.status is PlanStatus.optimal


def test_same_seed_same_answer() -> None:
    """Two runs with equal options end at the same point."""
    first, second = (solve_matrix(market_split(24, 3), SolveOptions(seed=5, node_limit=200)) for _ in range(2))
    assert first.objective == second.objective
    assert first.nodes == second.nodes


@pytest.mark.parametrize("broken", ["nan", "infinite", "shape"])
def test_broken_arrays_are_refused(broken: str) -> None:
    """NaN, infinite coefficients and arrays of the wrong length never reach HiGHS."""
    cost = {"nan": [math.nan] * 4, "infinite": [math.inf] * 4, "shape": [1.0] * 3}[broken]
    with pytest.raises(SolverError):
        replace(KNAPSACK, cost=np.array(cost))


@pytest.mark.parametrize(
    ("cost", "bound", "gap"),
    [(100, 99, 0.01), (-99, -100, 1 / 99), (0, 0, 0), (0, -1, math.inf), (None, 3, math.inf), (5, -math.inf, math.inf)],
)
def test_relative_gap(cost: float | None, bound: float, gap: float) -> None:
    """The gap is (cost - bound) / |cost|, 0 at 0 over 0, infinite where something is unknown."""
    assert relative_gap(cost, bound) == pytest.approx(gap)
