"""Rival placement programs reach the enumerated optimum, and another solver agrees on the written program."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import highspy
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from helpers import TinyCase, enumerated_optimum, tiny_placements

from formulations import FORMULATIONS, get
from formulations.placement_domain import PlacementDomain, place_by_domain
from formulations.placement_problem import PlacementProblem
from planner.errors import FormulationError, InstanceError, NoPlanFound
from planner.solver.highs import solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus
from planner.solver.write import write_model

if TYPE_CHECKING:
    from pathlib import Path

EXACT = SolveOptions(gap=0, time_limit_s=120)
CASES = tiny_placements()
README = np.array(
    [[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]
)


def split_of(formulation: str, case: TinyCase) -> str | None:
    """Return the split of tokens whose optimum the formulation must reach on a case, if any."""
    if get(formulation).supports(case.problem):
        return None
    if formulation == "placement_domain":
        if not PlacementDomain().is_exact(case.problem):
            return None
        return "nearest" if case.problem.source_share is not None else "even"
    return "free" if formulation == "placement_free_split" else "even"


PAIRS = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES
    for name in ("placement_exact", "placement_free_split", "placement_domain")
    if split_of(name, case) in case.optimum
]


def optimum_by_scipy(path: Path) -> float:
    """Read a model file and solve it with SciPy."""
    reader = highspy.Highs()  # type: ignore[no-untyped-call]
    reader.setOptionValue("log_to_console", False)
    assert reader.readModel(str(path)) == highspy.HighsStatus.kOk
    program = reader.getLp()
    entries = program.a_matrix_
    matrix = scipy.sparse.csc_array(
        (np.array(entries.value_), np.array(entries.index_), np.array(entries.start_)),
        shape=(program.num_row_, program.num_col_),
    )
    found = scipy.optimize.milp(
        c=np.array(program.col_cost_),
        constraints=scipy.optimize.LinearConstraint(matrix, program.row_lower_, program.row_upper_),
        bounds=scipy.optimize.Bounds(np.array(program.col_lower_), np.array(program.col_upper_)),
        integrality=np.array([kind == highspy.HighsVarType.kInteger for kind in program.integrality_], dtype=int),
        options={"mip_rel_gap": 0.0},
    )
    assert found.status == 0
    return float(found.fun) + float(program.offset_)


@pytest.mark.parametrize(("case", "formulation"), PAIRS)
def test_formulation_reaches_the_enumerated_optimum(case: TinyCase, formulation: str, tmp_path: Path) -> None:
    """Each program equals the enumeration to 1e-6, its placement has that cost, and SciPy on its file agrees."""
    split = split_of(formulation, case)
    built = get(formulation).build(case.problem)
    result = solve_pyomo(built.model, EXACT)
    optimum = case.optimum[str(split)]
    assert result.status is PlanStatus.optimal
    assert result.objective == pytest.approx(optimum, rel=1e-6)
    assert result.bound <= optimum * (1 + 1e-9)
    if split == "even" and formulation == "placement_exact":
        assert case.problem.cost(built.extract()) == pytest.approx(optimum, rel=1e-6)
    write_model(compile_pyomo(built.model).matrix, tmp_path / "program.mps")
    assert optimum_by_scipy(tmp_path / "program.mps") == pytest.approx(optimum, rel=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case.enumerable], ids=lambda case: case.name)
def test_stored_optimum_is_enumerated_again(case: TinyCase) -> None:
    """The optimum in each file is what enumeration finds today."""
    for split, optimum in case.optimum.items():
        assert enumerated_optimum(case.problem, split)[0] == pytest.approx(optimum, rel=1e-12)


def test_enumeration_agrees_with_plain_listing() -> None:
    """Every one of the 7^3 placements of 3 experts on 3 GPUs, listed without any shortcut, gives the same optimum."""
    problem = PlacementProblem.of_equal_gpus(np.array([[50.0, 20.0, 9.0], [5.0, 30.0, 8.0]]), gpus=3, slots_per_gpu=2)
    sets = [held for size in (1, 2, 3) for held in combinations(range(3), size)]
    costs = []
    for placement in ((a, b, c) for a in sets for b in sets for c in sets):
        held = np.array([[gpu in gpus for gpu in range(3)] for gpus in placement])
        if (held.sum(axis=0) <= 2).all():
            costs.append(problem.cost(held))
    assert min(costs) == pytest.approx(enumerated_optimum(problem, "even")[0], rel=1e-12)


def test_counting_bound_in_closed_form() -> None:
    """One slot a GPU: T is feasible exactly when sum_e ceil(w_e / T) <= slots; 33.3 needs 9 slots, less needs 10."""
    load = next(case for case in CASES if case.name == "placement_counting_bound").problem.load[0]
    assert np.ceil(load / (100 / 3) - 1e-9).sum() == 9
    assert np.ceil(load / (100 / 3 - 1e-6)).sum() == 10


@pytest.mark.parametrize(("layer", "published"), [(0, 151.0), (1, 179.5)])
def test_readme_example_with_groups_kept_on_a_node(layer: int, published: float) -> None:
    """EPLB's README example with each router group of 3 on one node: optimum 151.0 and 179.5 (all 3 ways to pair)."""
    best = np.inf
    for partner in (1, 2, 3):
        worst = 0.0
        for groups in ((0, partner), tuple({1, 2, 3} - {partner})):
            load = np.concatenate([README[layer][3 * g : 3 * g + 3] for g in groups]).astype(float)
            built = get("placement_exact").build(PlacementProblem.of_equal_gpus(load, gpus=4, slots_per_gpu=2))
            worst = max(worst, solve_pyomo(built.model, EXACT).objective)
        best = min(best, worst)
    assert best == pytest.approx(published, rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_domain_program_brackets_the_optimum(case: TinyCase) -> None:
    """By domain: bound <= optimum <= achieved, the placement keeps slots, copies and limits, and the gap is theirs."""
    problem = case.problem
    optimum = case.optimum["nearest" if problem.source_share is not None else "even"]
    found = place_by_domain(problem, EXACT)
    assert found.bound <= optimum * (1 + 1e-9)
    assert optimum <= found.achieved * (1 + 1e-9)
    assert found.achieved == pytest.approx(problem.cost(found.held))
    assert found.gap == pytest.approx((found.achieved - found.bound) / found.achieved)
    assert (found.held.sum(axis=0) <= problem.slots).all()
    assert (found.held.sum(axis=1) >= 1).all()
    assert (found.placed.sum(axis=1) == found.held.sum(axis=1)).all()
    if problem.max_copies is not None:
        assert (found.held.sum(axis=1) <= problem.max_copies).all()


def test_free_split_never_costs_more() -> None:
    """Splitting freely is at least as good as evenly, on every case that has both."""
    both = [case.optimum for case in CASES if {"even", "free"} <= case.optimum.keys()]
    assert len(both) >= 5
    assert all(optimum["free"] <= optimum["even"] + 1e-9 for optimum in both)


def test_unsupported_problems_are_refused_with_a_reason() -> None:
    """Nearest dispatch has no exact program by GPU, and a layer of 256 experts on 64 GPUs is too large for it."""
    nearest = next(case for case in CASES if "nearest" in case.name).problem
    large = PlacementProblem.of_equal_gpus(np.ones((1, 256)), gpus=64, slots_per_gpu=5)
    for problem, word in ((nearest, "nearest"), (large, "binaries")):
        assert word in str(get("placement_exact").supports(problem))
        with pytest.raises(FormulationError, match=word):
            get("placement_exact").build(problem)


def test_registry() -> None:
    """Every formulation carries the name it is registered under; an unknown name lists the known ones."""
    for name in ("placement_exact", "placement_free_split", "placement_domain"):
        assert name in FORMULATIONS
        assert get(name).name == name
        assert get(name).decides
    with pytest.raises(InstanceError, match="placement_exact"):
        get("no_such_program")


def test_bad_problems_name_every_fault() -> None:
    """All faults of a problem come at once; too few slots is infeasible, not bad input."""
    good = PlacementProblem.of_equal_gpus(np.ones((1, 4)), gpus=2, slots_per_gpu=2)
    with pytest.raises(InstanceError) as caught:
        PlacementProblem(np.full((1, 4), np.nan), np.array([0.5]), good.slots, np.zeros(2), np.array([0, 2]))
    assert {problem.key for problem in caught.value.problems} == {"load", "probability", "speed", "domain"}
    with pytest.raises(NoPlanFound, match="fewer than 4 experts"):
        PlacementProblem.of_equal_gpus(np.ones((1, 4)), gpus=3, slots_per_gpu=1)
