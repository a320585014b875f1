from __future__ import annotations

import math
from collections import Counter

import pyomo.environ as pyo
import pytest
from serving_helpers import candidate, hand_tables, tiny

from formulations import fleet
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus, StopReason
from planner.studies.first_plan import cheapest_serving, first_fit, give_first_plan
from planner.studies.sensitivity import savings
from planner.studies.serving import solve_serving


def test_the_cheapest_way_to_serve_by_hand() -> None:
    """2.5 requests/s: three replicas of 4 GPUs for both phases (12 GPUs), or one of 2 and one of 4 apart (6 GPUs)."""
    both, prefill, decode = candidate(4), candidate(2, phase="prefill"), candidate(4, phase="decode")
    tables = hand_tables([both, prefill, decode], [[1], [3], [3]], [2.5])
    assert cheapest_serving(tables) == {(1, 0): 1.0, (2, 0): 1.0}
    slower = hand_tables([both, prefill, decode], [[1], [0.5], [0.5]], [2.5])
    assert cheapest_serving(slower) == {(0, 0): 1.0}


def test_domains_are_filled_by_falling_size() -> None:
    """Fragments of 5, 3, 3, 2 and 2 GPUs in domains of 8: 5 + 3, then 3 + 2 + 2; a thousand pairs of 4 stay one row."""
    assert first_fit(8, [(3, 2), (5, 1), (2, 2)]) == Counter({(5, 3): 1, (3, 2, 2): 1})
    assert first_fit(8, [(4, 2001)]) == Counter({(4, 4): 1000, (4,): 1})


@pytest.mark.parametrize("pays_idle", [False, True])
def test_a_first_plan_keeps_every_row(pays_idle: bool) -> None:
    """Two classes, replicas of 5 and 12 GPUs in domains of 8: every constraint holds, and the cost is that of hand."""
    tables = hand_tables(
        [candidate(5, classes=(0,)), candidate(12, classes=(1,))],
        [[2, 0], [0, 3]],
        [3.0, 2.0],
        domains=(4,),
        pays_idle=(pays_idle,),
    )
    program = fleet.build(tables)
    assert give_first_plan(program)
    for row in program.model.component_data_objects(pyo.Constraint, active=True):
        assert row.slack() >= -1e-9, row.name
    # 5 + 5 and 12 = 8 + 4 GPUs: the 4 do not fit beside a 5, so four domains are cut or taken whole
    assert program.extract().cost_usd == pytest.approx(32.0 if pays_idle else 22.0)


def test_no_first_plan_beyond_the_domains_there_are() -> None:
    """Two replicas of 5 GPUs need two domains of 8: with one there is no first plan, and nothing is set."""
    program = fleet.build(hand_tables([candidate(5)], [[2]], [3.0], domains=(1,), pays_idle=(True,)))
    assert not give_first_plan(program)
    assert not program.started


@pytest.mark.parametrize("limit", [0.0, 0.1])
def test_a_plan_and_a_bound_when_there_is_no_time(limit: float) -> None:
    """The proven optimum lies between the bound and the cost; the judge agrees with the cost."""
    optimum = solve_serving(tiny(), SolveOptions(gap=1e-6))
    assert optimum.status is PlanStatus.optimal
    hurried = solve_serving(tiny(), SolveOptions(gap=1e-6, time_limit_s=limit))
    assert hurried.evaluation.feasible
    assert hurried.evaluator_relative_difference < 1e-6
    assert 0 < hurried.bound_usd <= optimum.cost_usd * (1 + 1e-9)
    assert optimum.bound_usd <= hurried.cost_usd * (1 + 1e-9)
    assert math.isfinite(hurried.gap)
    if limit == 0:
        assert hurried.stop_reason is StopReason.time_limit


def test_no_question_is_asked_after_the_time() -> None:
    """Under a strict limit of 0 s no neighbour is solved; without it relaxations are."""
    assert savings(tiny(), seconds=0.0, strict=True) == []
    assert savings(tiny(), seconds=0.0) != []
