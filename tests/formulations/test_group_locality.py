"""Router groups on nodes: the program against listing every placement of copies, and its relaxation as recorded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from formulations.group_locality import GroupLocality, GroupLocalityProblem, place_groups
from planner.errors import FormulationError, InstanceError
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason

EXACT = SolveOptions(gap=0, threads=1)


def problem(seed: int, **changes: object) -> GroupLocalityProblem:
    """Six experts in three groups on two nodes of two GPUs with six slots each, up to two copies an expert."""
    draw = np.random.default_rng(seed)
    load = draw.integers(1, 20, 6).astype(float)
    fields = {
        "load": load,
        "copies": np.array([2, 1, 1, 2, 1, 1]),
        "group": np.array([0, 0, 1, 1, 2, 2]),
        "slots": np.array([6, 6]),
        "gpus": np.array([2, 2]),
        "capacity": np.full(2, load.sum() / 2 * draw.choice([1.0, 1.05, 1.2, 1.5])),
    }
    return GroupLocalityProblem(**(fields | changes))  # type: ignore[arg-type]


def fewest_listed(case: GroupLocalityProblem) -> float:
    """Try every way to put the copies of each expert on the nodes; infinite where none keeps to the limits."""
    nodes = range(len(case.slots))
    ways = [list(itertools.combinations_with_replacement(nodes, int(n))) for n in case.copies]
    best = np.inf
    for chosen in itertools.product(*ways):
        placed = np.array([[held.count(node) for node in nodes] for held in chosen])
        load = (case.load / case.copies) @ placed
        if (placed.sum(axis=0) <= case.slots).all() and (load <= case.capacity + 1e-9).all():
            pairs = {(int(case.group[e]), node) for e, node in zip(*np.nonzero(placed), strict=True)}
            best = min(best, len(pairs))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_program_reaches_the_listed_optimum(seed: int) -> None:
    """Fewest pairs over all placements of the copies; the two-step road is no better than that, and its bound holds."""
    case = problem(seed)
    listed = fewest_listed(case)
    built = GroupLocality().build(case)
    solved = solve_pyomo(built.model, EXACT)
    if not np.isfinite(listed):
        assert solved.stop_reason is StopReason.infeasible
        assert place_groups(case, EXACT) is None
        return
    assert solved.objective == pytest.approx(listed)
    found = place_groups(case, EXACT)
    if found is not None:
        assert found.bound <= listed + 1e-6
        assert found.pairs >= listed
        assert (found.placed.sum(axis=1) == case.copies).all()
        assert (found.placed.sum(axis=0) <= case.slots).all()
        assert ((case.load / case.copies) @ found.placed <= case.capacity * (1 + 1e-6)).all()


def test_some_listed_cases_are_strict_some_shared_some_impossible() -> None:
    """The cases above are not all alike: three pairs, more pairs, and none at all occur."""
    kinds = {fewest_listed(problem(seed)) for seed in range(12)}
    assert 3 in kinds
    assert kinds & {4, 5, 6}
    assert np.inf in kinds


def test_relaxation_is_no_looser_than_recorded() -> None:
    """Three loads of 2, 1 and 1 a group on two nodes: the relaxation already needs a pair for each group."""
    case = problem(0, load=np.array([4.0, 2.0, 3.0, 1.0, 2.0, 2.0]), capacity=np.array([7.0, 7.0]))
    matrix = compile_pyomo(GroupLocality().build(case).model).matrix
    bound = solve_lp_relaxation(matrix).objective
    assert bound is not None
    assert 3.0 - 1e-6 <= bound <= fewest_listed(case)


def test_a_known_bound_becomes_a_row() -> None:
    """With ``least_pairs`` 4 no answer below 4 is given, though 3 would do."""
    loose = problem(0, capacity=np.array([100.0, 100.0]))
    assert fewest_listed(loose) == 3
    told = problem(0, capacity=np.array([100.0, 100.0]), least_pairs=4)
    assert solve_pyomo(GroupLocality().build(told).model, EXACT).objective == pytest.approx(4)


def test_bad_data_is_refused_all_at_once() -> None:
    """Negative load, no copy, a hole in the groups, a missing capacity: four problems."""
    with pytest.raises(InstanceError) as caught:
        problem(
            0,
            load=np.array([-1.0, 1, 1, 1, 1, 1]),
            copies=np.array([0, 1, 1, 1, 1, 1]),
            group=np.array([0, 0, 2, 2, 3, 3]),
            capacity=np.array([1.0]),
        )
    assert {entry.key for entry in caught.value.problems} == {"load", "copies", "group", "capacity"}


def test_large_problems_are_refused() -> None:
    """512 experts on 64 nodes are 32,768 integers."""
    ones = np.ones(512, dtype=np.int64)
    large = GroupLocalityProblem(
        load=np.ones(512), copies=ones, group=np.arange(512) // 64, slots=ones[:64] * 9, gpus=ones[:64] * 8,
        capacity=np.full(64, 9.0),
    )  # fmt: skip
    with pytest.raises(FormulationError, match="32768 integers"):
        GroupLocality().build(large)
