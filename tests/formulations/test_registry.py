"""Every formulation behind one interface: it says why it cannot, and what it builds reaches its own optimum."""

from __future__ import annotations

from dataclasses import replace

import pytest

import formulations
from formulations.fleet import FleetProgram
from formulations.lifecycle import MemberTables
from planner.costs.tables import CostTables, build_tables
from planner.errors import FormulationError, InstanceError
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.studies.imbalance import ImbalanceBook

EXACT = SolveOptions(gap=0.0)


def tables_of(case: str, **changes: object) -> CostTables:
    """Optimistic tables of a shipped case; keys use __ for dots."""
    instance = load_case(case, {key.replace("__", "."): value for key, value in changes.items()})
    assert isinstance(instance, Instance)
    return build_tables(instance, ImbalanceBook(instance).optimistic)


@pytest.fixture(scope="module")
def tables() -> CostTables:
    """Tables of the smallest serving case."""
    return tables_of("tiny_mixtral_island")


def test_names_agree_with_the_registry() -> None:
    """Each entry carries its own name and says what it decides."""
    for name in formulations.FORMULATIONS:
        assert formulations.get(name).name == name
        assert formulations.get(name).decides
    with pytest.raises(InstanceError, match="no such formulation"):
        formulations.get("crystal_ball")


def test_fleet_behind_the_interface(tables: CostTables) -> None:
    """The tiny island costs 12 $ an hour, proven by enumeration; the interface builds the same program."""
    built = formulations.get("fleet").build(tables)
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(12.0)
    assert built.extract().cost_usd == pytest.approx(12.0)


def test_fleet_says_which_class_nobody_serves(tables: CostTables) -> None:
    """Without candidates for decoding the reason names phase and class, and building refuses with it."""
    kept = [c for c, entry in enumerate(tables.candidates) if entry.phase == "prefill"]
    some = tuple(tables.candidates[c] for c in kept)
    half = replace(tables, candidates=some, requests_per_s=tables.requests_per_s[kept])
    assert formulations.get("fleet").supports(half) == "no candidate does the decode of chat"
    with pytest.raises(FormulationError, match="decode of chat"):
        formulations.get("fleet").build(half)


def test_lifecycle_with_one_member_is_its_fleet(tables: CostTables) -> None:
    """One member: training plus the fleet's own optimum."""
    built = formulations.get("lifecycle").build([MemberTables("only", 5.0, tables)])
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(17.0)
    assert built.extract()[0] == 0


def test_lifecycle_takes_the_cheaper_whole(tables: CostTables) -> None:
    """Dear training loses to dear serving by the sum: 1 + 2 x 12 against 20 + 12."""
    twice = tables_of("tiny_mixtral_island", pools__h100__usd_per_gpu_hour=4.0)
    members = [MemberTables("cheap to serve", 20.0, tables), MemberTables("cheap to train", 1.0, twice)]
    built = formulations.get("lifecycle").build(members)
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(25.0)
    assert built.extract()[0] == 1
    assert formulations.get("lifecycle").supports([]) == "the family has no member"


# Dollars an hour of the linear relaxation: a change may lift it, never lower it.
RECORDED = {"tiny_mixtral_island": 3.4889, "dsv3_2xnvl72": 276.069}


@pytest.mark.parametrize("case", RECORDED)
def test_relaxation_is_no_looser_than_recorded(case: str) -> None:
    """The relaxation of the fleet program is at least the recorded value and at most the integer optimum."""
    program = FleetProgram(tables_of(case))
    relaxed = solve_lp_relaxation(compile_pyomo(program.model).matrix).objective
    exact = solve_pyomo(program.model, SolveOptions(gap=1e-3, time_limit_s=60)).objective
    assert relaxed is not None
    assert exact is not None
    assert RECORDED[case] <= relaxed <= exact * (1 + 1e-9)
