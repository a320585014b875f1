"""The choice of a model with its token budget and fleet: optimal, bracketed, and judged by others' arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from formulations import lifecycle as formulation
from planner.costs import lifecycle as cost
from planner.costs.tables import build_tables
from planner.errors import InstanceError, NoPlanFound
from planner.instance.lifecycle import LifecycleInstance
from planner.instance.loading_case import load_case
from planner.judge.lifecycle import evaluate_lifecycle, member_instance
from planner.solver.highs import solve_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import SolveResult, StopReason
from planner.studies import lifecycle
from planner.studies.imbalance import ImbalanceBook
from planner.studies.lifecycle import FleetShelf, LifecycleAnswer, solve_lifecycle
from planner.studies.lifecycle_payload import law_row, lifecycle_payload

if TYPE_CHECKING:
    from pathlib import Path

    from planner.solver.matrix import MatrixModel
    from planner.studies.serving import ServingAnswer

SMALL_SEARCH = {
    "search.deployment_gpus": [6, 8, 12, 24],
    "search.tensor_parallel": [1, 4],
    "search.pipeline_parallel": [1],
    "search.extra_slots_per_gpu": [0],
}

FAMILY = """
name = "three"
title = "Three sizes"
base = "deepseek-v3"
rule = "total_over_active"

[sources]
members = "made for this test"
rule = "made for this test"

[[members]]
name = "small"
shape = { layers = 54, hidden_size = 6144, expert_intermediate_size = 1536, shared_intermediate_size = 1536 }

[[members]]
name = "middle"
shape = { layers = 61 }

[[members]]
name = "wide"
shape = { layers = 61, routed_experts = 384 }
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a family of three members."""
    path = tmp_path_factory.mktemp("family") / "three.toml"
    path.write_text(FAMILY, encoding="utf-8")
    return path


def open_case(family: Path, **changes: object) -> LifecycleInstance:
    """Load a small open case; keys use __ for dots."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    settings = SMALL_SEARCH | {"lifecycle.family": str(family), "demand.document_32k.requests_per_s": 0} | dotted
    instance = load_case("dsv3_successor", settings)
    assert isinstance(instance, LifecycleInstance)
    return instance


@pytest.fixture(scope="module")
def instance(family: Path) -> LifecycleInstance:
    """Chat alone for a year."""
    return open_case(family)


@pytest.fixture(scope="module")
def answer(instance: LifecycleInstance) -> LifecycleAnswer:
    """Its certified answer."""
    return solve_lifecycle(instance, SolveOptions(gap=1e-6))


def test_decomposition_equals_the_one_program(instance: LifecycleInstance, answer: LifecycleAnswer) -> None:
    """Decomposing by member gives the optimum of the program that holds every member at once."""
    members = []
    for record in answer.members:
        serving = member_instance(instance, record.instance)
        tables = build_tables(serving, ImbalanceBook(serving).optimistic)
        members.append(formulation.MemberTables(record.name, record.training_usd, tables))
    program = formulation.build(members)
    result = solve_pyomo(program.model, SolveOptions(gap=1e-6, time_limit_s=60))
    assert result.objective == pytest.approx(answer.bound_usd, rel=1e-5)
    assert members[program.extract()[0]].name == answer.chosen.name


def test_the_optimum_is_certified_and_judged(instance: LifecycleInstance, answer: LifecycleAnswer) -> None:
    """The judge prices the plan as the program does, the loss is met, and the gap is at most 0.1 %."""
    evaluation = evaluate_lifecycle(instance, answer.plan)
    assert evaluation.feasible
    assert evaluation.cost_usd == pytest.approx(answer.cost_usd, rel=1e-9)
    assert sum(evaluation.breakdown_usd.values()) == pytest.approx(evaluation.cost_usd, rel=1e-9)
    assert 0 <= answer.gap <= 1e-3


@pytest.mark.parametrize("member", ["small", "middle", "wide"])
def test_fixing_the_member_never_costs_less(family: Path, answer: LifecycleAnswer, member: str) -> None:
    """A choice taken away cannot help."""
    fixed = solve_lifecycle(open_case(family, lifecycle__member=member), SolveOptions(gap=1e-6))
    assert fixed.chosen.name == member
    assert fixed.cost_usd >= answer.cost_usd * (1 - 1e-6)


def test_serving_only_and_training_only_bracket_it(answer: LifecycleAnswer) -> None:
    """Least training plus least serving never exceeds the optimum; either member alone never beats it."""
    records = [record for record in answer.members if record.possible]
    least_training = min(record.training_usd for record in records)
    least_serving = min(record.fleet_bound_usd or math.inf for record in records)
    assert least_training + least_serving <= answer.cost_usd * (1 + 1e-9)
    assert all(record.bound_usd >= answer.bound_usd * (1 - 1e-9) for record in records)


def test_decode_penalty_used_is_that_of_the_fleet(instance: LifecycleInstance, answer: LifecycleAnswer) -> None:
    """The penalty at which rollouts are priced equals the one recomputed from the GPUs that decode in the plan."""
    row = law_row(answer, FleetShelf(instance, SolveOptions(gap=1e-3)))
    pool = instance.members[0].pools[0]
    gpus = sum(entry.gpus * entry.replicas for entry in answer.plan.deployments if entry.phase != "prefill")
    decode_usd = gpus * pool.usd_per_gpu_hour * instance.case.horizon_hours
    output_tokens = 80 * 1024 * 8760 * 3600
    active = answer.chosen.instance.model.active_params
    training_flop_per_s = 1979e12 * 0.164
    by_hand = decode_usd / (2 * active * output_tokens) / (2.0 / 3600 / training_flop_per_s)
    assert row["decode_penalty"] == pytest.approx(by_hand, rel=1e-9)
    assert row["decode_penalty_of_rollouts"] == pytest.approx(by_hand, rel=1e-9)
    assert sum(row["spend_shares"].values()) == pytest.approx(1.0)


def test_pretraining_tokens_reach_the_loss_and_no_fewer_do(instance: LifecycleInstance) -> None:
    """The closed form sits on the target: Hoffmann's law by hand at N_eff = N sigma^0.302."""
    model = instance.members[1].model
    tokens = cost.pretraining_tokens(instance, model)
    assert tokens is not None
    effective = model.active_params * (model.total_params / model.active_params) ** 0.302
    target_params = 36.6e9 * 18.3**0.302
    target = 1.69 + 406.4 * target_params**-0.34 + 410.7 * 14.8e12**-0.28
    assert 1.69 + 406.4 * effective**-0.34 + 410.7 * tokens**-0.28 == pytest.approx(target, rel=1e-12)
    assert cost.target_loss(instance) == pytest.approx(target, rel=1e-12)


def test_more_demand_never_costs_less(family: Path, answer: LifecycleAnswer) -> None:
    """Three times the requests cost at least as much."""
    more = solve_lifecycle(open_case(family, demand__chat_2k__requests_per_s=240), SolveOptions(gap=1e-6))
    assert more.cost_usd >= answer.bound_usd


def test_a_quality_that_no_member_reaches_is_said(family: Path) -> None:
    """A loss below what their sizes allow with endless data leaves no member able; each says so."""
    hopeless = open_case(family, lifecycle__quality__active_params=4e13, lifecycle__quality__tokens=1e20)
    with pytest.raises(NoPlanFound) as caught:
        solve_lifecycle(hopeless)
    assert len(caught.value.reasons) == 3
    assert all("no number of tokens" in reason for reason in caught.value.reasons)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("horizon_hours", 0, "horizon_hours"),
        ("demand__chat_2k__requests_per_s", 0, "request rate"),
        ("lifecycle__member", "huge", "no member huge"),
        ("lifecycle__law", "nobody", "no such file"),
        ("lifecycle__training__efficiency", 1.5, "efficiency"),
    ],
)
def test_bad_input_is_named(family: Path, key: str, value: object, told: str) -> None:
    """Horizon 0, demand 0, an unknown member or law, an efficiency above 1: each is told with its key."""
    with pytest.raises(InstanceError, match=told):
        open_case(family, **{key: value})


@pytest.mark.parametrize("case", ["frontier_100b", "dsv3_successor"])
def test_shipped_open_cases_are_certified(case: str) -> None:
    """Both shipped cases close to 0.1 % of the model's own bound within a minute of two cores."""
    instance = load_case(case)
    assert isinstance(instance, LifecycleInstance)
    answer = solve_lifecycle(instance)
    assert answer.gap <= 1e-3
    assert answer.evaluator_relative_difference <= 1e-6
    assert answer.seconds <= 60


def test_ctrl_c_while_members_are_bounded_gives_no_proof(
    instance: LifecycleInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relaxation that Ctrl-C cut short must not pass for a fleet that does not fit: that member could be the best."""
    relaxed = lifecycle.solve_lp_relaxation
    cut = [True, False, False]

    def relax(matrix: MatrixModel) -> SolveResult:
        result = relaxed(matrix)
        return replace(result, stop_reason=StopReason.interrupted, objective=None) if cut.pop() else result

    monkeypatch.setattr(lifecycle, "solve_lp_relaxation", relax)
    with pytest.raises(KeyboardInterrupt):
        solve_lifecycle(instance)


def test_ctrl_c_between_members_keeps_the_plan_and_every_bound(
    instance: LifecycleInstance, answer: LifecycleAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first member's plan is kept; members without a plan keep their bound, so the bound on the whole holds."""
    serve, calls = lifecycle.solve_serving, iter([False, True])

    def once(*arguments: object) -> ServingAnswer:
        if next(calls):
            raise KeyboardInterrupt
        found = serve(*arguments)  # type: ignore[arg-type]
        # dearer than it is, so that the next member is asked for too
        return replace(found, cost_usd=found.cost_usd * 1.5)

    monkeypatch.setattr(lifecycle, "solve_serving", once)
    monkeypatch.setattr(lifecycle, "judged_difference", lambda *_: 0.0)
    shelf = FleetShelf(instance, SolveOptions(gap=1e-3))
    kept = solve_lifecycle(instance, shelf=shelf)
    assert kept.stop_reason is StopReason.interrupted
    assert kept.bound_usd <= answer.cost_usd
    payload = lifecycle_payload(kept, shelf, [], {})
    assert [row["law"] for row in payload["lifecycle"]["laws"] if row["chosen"]] == ["hoffmann"]
