"""The linear relaxation of each placement program, recorded: a change may lift a bound, never lower it."""

from __future__ import annotations

import pytest
from helpers import tiny_placements

from formulations import get
from planner.solver.highs import solve_lp_relaxation
from planner.solver.matrix import compile_pyomo

CASES = {case.name: case for case in tiny_placements()}

# Tokens. Level load is a bound anyone can state (129.125 for the first README layer, whose optimum is 136); where the
# recorded bound is higher, the rows on single copies or the copy limit have lifted it.
RECORDED = {
    ("placement_copy_limit", "placement_exact"): 50.0000,
    ("placement_copy_limit", "placement_free_split"): 50.0000,
    ("placement_copy_limit", "placement_domain"): 50.0000,
    ("placement_counting_bound", "placement_exact"): 32.9710,
    ("placement_counting_bound", "placement_free_split"): 29.4444,
    ("placement_counting_bound", "placement_domain"): 32.9710,
    ("placement_hot_pair", "placement_exact"): 181.2500,
    ("placement_hot_pair", "placement_free_split"): 181.2500,
    ("placement_hot_pair", "placement_domain"): 181.2500,
    ("placement_nearest_single_gpu_nodes", "placement_domain"): 25.9119,
    ("placement_nearest_two_nodes", "placement_domain"): 26.6667,
    ("placement_readme_layer0", "placement_exact"): 129.1250,
    ("placement_readme_layer0", "placement_free_split"): 129.1250,
    ("placement_readme_layer0", "placement_domain"): 129.1250,
    ("placement_readme_layer1", "placement_exact"): 144.5000,
    ("placement_readme_layer1", "placement_free_split"): 144.5000,
    ("placement_readme_layer1", "placement_domain"): 144.5000,
    ("placement_single_gpu_nodes", "placement_exact"): 32.5000,
    ("placement_single_gpu_nodes", "placement_free_split"): 32.5000,
    ("placement_single_gpu_nodes", "placement_domain"): 32.5000,
    ("placement_two_scenarios", "placement_exact"): 37.0000,
    ("placement_two_scenarios", "placement_free_split"): 37.0000,
    ("placement_two_scenarios", "placement_domain"): 37.0000,
    ("placement_unequal_speed", "placement_exact"): 43.4783,
    ("placement_unequal_speed", "placement_free_split"): 43.4783,
    ("placement_unequal_speed", "placement_domain"): 43.4783,
}


def names() -> list[tuple[str, str]]:
    """Return every case with every formulation that supports it."""
    every = ("placement_exact", "placement_free_split", "placement_domain")
    return [(name, f) for name, case in CASES.items() for f in every if get(f).supports(case.problem) is None]


@pytest.mark.parametrize(("case", "formulation"), names())
def test_relaxation_is_no_looser_than_recorded(case: str, formulation: str) -> None:
    """The relaxation is at least the recorded value and at most the enumerated optimum of its split."""
    problem, optimum = CASES[case].problem, CASES[case].optimum
    bound = solve_lp_relaxation(compile_pyomo(get(formulation).build(problem).model).matrix).objective
    assert bound >= RECORDED[case, formulation] - 1e-3
    split = (
        "free" if formulation == "placement_free_split" else "nearest" if problem.source_share is not None else "even"
    )
    if split in optimum:
        assert bound <= optimum[split] * (1 + 1e-9)


@pytest.mark.parametrize("case", [name for name, case in CASES.items() if case.problem.source_share is None])
def test_level_load_is_implied(case: str) -> None:
    """No relaxation is below tokens over summed speed, the bound that needs no program."""
    problem = CASES[case].problem
    for formulation in ("placement_exact", "placement_free_split", "placement_domain"):
        assert RECORDED[case, formulation] >= problem.unit_load * (1 - 1e-5)
