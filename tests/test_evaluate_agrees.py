"""Tables and judge compose the same primitives on their own: they agree, and a fault in a table is noticed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import carries, lone_plan, machine, one_layout, placed_tables, tiny

from planner.costs import step
from planner.costs.capacity import decode_period_s
from planner.costs.tables import CostTables, build_tables
from planner.errors import SolverError
from planner.instance.instance import Instance
from planner.instance.loading import load_accelerator, load_model
from planner.instance.loading_case import load_case
from planner.judge import timing
from planner.judge.evaluate import evaluate
from planner.plan import Deployment
from planner.solver.options import SolveOptions
from planner.studies import serving
from planner.studies.imbalance import ImbalanceBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.costs.tables import ImbalanceOf

EXACT = SolveOptions(gap=0)
MODELS = {
    "deepseek-v3": 256,
    "mixtral-8x7b": 8,
    "gpt-oss-120b": 128,
    "llama-3.1-70b": 0,
    "qwen3.5-35b-a3b": 256,  # states instead of a cache in three layers of four
    "qwen3.5-27b": 0,
    "deepseek-v3.2": 256,  # sparse attention with an index
    "glm-5.2": 256,  # of which three layers of four use a neighbour's
    "deepseek-v4-pro": 384,  # entries of several tokens, of two sizes
    "mimo-v2-flash": 256,  # sliding layers of another shape
    "llama-4-maverick": 128,  # dense layers between MoE layers
    "nemotron-3-nano-30b-a3b": 128,  # layers without a feed-forward block
}


@st.composite
def situations(draw: st.DrawFn) -> tuple[Instance, tuple[int, ...], list[float], int, float, int]:
    """Draw a model on a chip under a calibration, a layout, an imbalance, a batch, a context and prompts."""
    name = draw(st.sampled_from(list(MODELS)))
    model, experts = load_model(name), MODELS[name]
    tensor = draw(st.sampled_from([1, 2, 4, 8]))
    data = draw(st.sampled_from([1, 2, 3, 4, 9])) if experts else 1
    pipeline = draw(st.sampled_from([1, 2, 4]))
    ranks = draw(st.sampled_from([tensor * data, data])) if experts else 1
    slots = -(-experts // ranks) + draw(st.integers(0, 2)) if experts else 0
    instance = tiny(
        calibration=draw(st.sampled_from(["hand_set", "ideal", "fitted"])),
        overlap=draw(st.sampled_from(["none", "two_batch"])),
    )
    chip = load_accelerator(draw(st.sampled_from(["h100", "gb200_nvl72", "mi300x", "tpu_v5p"])))
    kernels = {
        "deduplicate_by_domain": draw(st.booleans()),
        "decode_deduplicates": draw(st.sampled_from([None, True, False])),
    }
    links = instance.calibration.network.model_copy(update=kernels)
    instance = instance.replace(
        model=model,
        pools=(
            replace(
                instance.pools[0],
                accelerator=chip,
                gpus_per_domain=min(chip.scale_up_domain_gpus, draw(st.sampled_from([8, 72]))),
            ),
        ),
        calibration=instance.calibration.model_copy(update={"network": links}),
    )
    imbalance = draw(st.lists(st.floats(1, 4), min_size=1, max_size=5))
    layers = [imbalance[layer % len(imbalance)] for layer in range(model.moe_layers)]
    return (
        instance,
        (tensor, data, pipeline, ranks, slots),
        layers,
        draw(st.integers(1, 600)),
        draw(st.floats(1, 2e5)),
        draw(st.integers(1, 8)),
    )


@settings(deadline=None, max_examples=60)
@given(situation=situations())
def test_step_times_agree(situation: tuple[Instance, tuple[int, ...], list[float], int, float, int]) -> None:
    """Every term of a decode step and of a prefill batch, and the time between tokens, agree to 1e-9."""
    instance, layout, imbalance, batch, context, prompts = situation
    pool, demand = instance.pools[0], instance.demand[1]
    many = machine(instance, one_layout(pool, *layout), np.array([imbalance]).reshape(1, -1))
    tensor, data, pipeline, ranks, slots = layout
    deployment = Deployment(
        name="one",
        pool=pool.name,
        phase="both",
        replicas=1,
        tensor_parallel=tensor,
        data_parallel=data,
        pipeline_parallel=pipeline,
        expert_parallel=ranks,
        slots_per_gpu=slots,
        decode_batch=batch,
        prefill_requests=prompts,
        requests_per_s={},
    )
    bench = timing.Bench(instance, pool, deployment, imbalance)
    column = np.array([float(batch)])
    pairs = (
        (step.decode_terms(many, column, context), timing.decode_terms(bench, context)),
        (
            step.prefill_terms(many, np.array([float(prompts)]), demand.input_tokens, demand.new_input_tokens),
            timing.prefill_terms(bench, demand, prompts),
        ),
    )
    for table, judge in pairs:
        for cause, seconds in judge.items():
            assert float(getattr(table, cause)[0] if np.ndim(getattr(table, cause)) else getattr(table, cause)) == (
                pytest.approx(seconds, rel=1e-9, abs=1e-18)
            ), cause
        assert table.stage_s[0] == pytest.approx(timing.stage_s(bench, judge), rel=1e-9)
    period = pipeline * (timing.stage_s(bench, pairs[0][1]) + timing.hop_s(bench, float(batch)))
    assert decode_period_s(many, column, context)[0] == pytest.approx(period, rel=1e-9)


def lone_violations(
    instance: Instance, tables: CostTables, book: ImbalanceBook, c: int, share: dict[int, float]
) -> list[str]:
    """Judge one replica of a candidate that takes a share of its capacity of each class."""
    rates = {d: part * float(tables.requests_per_s[c, d]) for d, part in share.items()}
    found = evaluate(instance, lone_plan(instance, tables, book, c, rates))
    return [text for text in found.violations if text.startswith("lone")]


def cases() -> dict[str, Callable[[], Instance]]:
    """Name small and real instances whose tables the judge checks."""
    return {
        "tiny": tiny,
        "tiny, tight limits": lambda: tiny(demand__0__ttft_s=0.45, demand__1__ttft_s=2, demand__0__tpot_s=0.03),
        "tiny, stages": lambda: tiny(search__pipeline_parallel=[1, 2, 4], search__phases=["prefill", "decode"]),
        "rack": lambda: _serving("dsv3_2xnvl72"),
        "rack, ideal": lambda: _serving("dsv3_2xnvl72", calibration="ideal"),
        "islands": lambda: _serving("dsv3_h800_day"),
    }


def _serving(name: str, **changes: object) -> Instance:
    instance = load_case(name, changes)
    assert isinstance(instance, Instance)
    return instance


@pytest.mark.parametrize("case", list(cases()))
def test_every_candidate_alone_is_accepted_at_full_capacity(case: str) -> None:
    """At capacity, one class alone and random mixes of a class set break no limit of the judge."""
    instance = cases()[case]()
    tables, book = placed_tables(instance)
    draw = np.random.default_rng(4)
    step_over = 1 if case.startswith("tiny") else 5
    for c in range(0, len(tables.candidates), step_over):
        classes = tables.candidates[c].classes
        mixes = [{d: 1.0} for d in classes]
        mixes.append(dict(zip(classes, draw.dirichlet(np.ones(len(classes))), strict=True)))
        for mix in mixes:
            assert lone_violations(instance, tables, book, c, mix) == [], tables.candidates[c]


@pytest.mark.parametrize("case", ["tiny", "tiny, tight limits", "tiny, stages", "islands"])
def test_candidate_above_its_capacity_is_refused(case: str) -> None:
    """One per cent above capacity breaks a limit; of mixed replicas, whose table is cautious, one half above."""
    instance = cases()[case]()
    tables, book = placed_tables(instance)
    for c, entry in enumerate(tables.candidates):
        if len(entry.classes) == 1:
            above = 1.5 if entry.phase == "both" else 1.01
            assert lone_violations(instance, tables, book, c, {entry.classes[0]: above}), entry


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pools__0__billing": "domain"},
        {"demand__0__requests_per_s": 25},
        {"demand__0__requests_per_s": 40, "demand__1__requests_per_s": 3, "pools__0__domains": 9},
        {"search__phases": ["prefill", "decode"]},
        {"calibration": "ideal", "search__pipeline_parallel": [1, 2]},
    ],
)
@pytest.mark.parametrize("gap", [0.0, 0.6])
def test_program_and_judge_agree_on_cost(changes: dict[str, object], gap: float) -> None:
    """A solve ends in a plan that the judge accepts at the program's cost to 1e-6, also where it may stop early."""
    answer = serving.solve_serving(tiny(**changes), SolveOptions(gap=gap))
    assert answer.evaluation.violations == []
    assert answer.evaluator_relative_difference <= 1e-6
    assert answer.bound_usd <= answer.cost_usd
    assert answer.gap <= gap or answer.rounds > 1
    assert evaluate(answer.instance, answer.plan).cost_usd == answer.cost_usd


def test_proven_optimum_of_the_tiny_case() -> None:
    """Six GPUs, 12 $ an hour: no multiset of candidates of four GPUs or fewer carries the demand, all tried."""
    instance = tiny()
    tables = build_tables(instance, ImbalanceBook(instance).optimistic)
    sizes = [entry.gpus for entry in tables.candidates]
    tried = 0
    for length in (1, 2):
        for chosen in itertools.combinations_with_replacement(range(len(sizes)), length):
            if sum(sizes[c] for c in chosen) <= 4:
                counts = [chosen.count(c) for c in range(len(sizes))]
                tried += 1
                assert not carries(tables, counts), chosen
    assert tried > 50
    answer = serving.solve_serving(instance, EXACT)
    assert answer.cost_usd == pytest.approx(12.0)
    assert answer.bound_usd == pytest.approx(12.0)


def _break(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[CostTables], CostTables], only_first: bool = False
) -> None:
    """Let every table that the study builds carry a fault."""
    real, calls = build_tables, itertools.count()

    def faulty(instance: Instance, imbalance_of: ImbalanceOf) -> CostTables:
        tables = real(instance, imbalance_of)
        return tables if only_first and next(calls) else fault(tables)

    monkeypatch.setattr(serving, "build_tables", faulty)


def _chosen(instance: Instance) -> tuple[object, ...]:
    """Describe the deployment of which the sound solve takes the most replicas, without its batch."""
    most = max(serving.solve_serving(instance, EXACT).plan.deployments, key=lambda entry: entry.replicas)
    return most.phase, most.tensor_parallel, most.data_parallel, most.expert_parallel, most.slots_per_gpu


def _rows(tables: CostTables, chosen: tuple[object, ...]) -> list[int]:
    return [
        c
        for c, entry in enumerate(tables.candidates)
        if chosen
        == (entry.phase, entry.tensor_parallel, entry.data_parallel, entry.expert_parallel, entry.slots_per_gpu)
    ]


def test_doubled_capacity_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that promises twice the capacity of one layout ends in an error that names the broken limit."""
    instance = tiny(search__phases=["prefill", "decode"], demand__0__requests_per_s=40, pools__0__domains=9)
    chosen = _chosen(instance)

    def fault(tables: CostTables) -> CostTables:
        rates = tables.requests_per_s.copy()
        rates[_rows(tables, chosen)] *= 2
        return replace(tables, requests_per_s=rates)

    _break(monkeypatch, fault)
    with pytest.raises(SolverError, match=r"the judge disagrees with the program: .* exceeds "):
        serving.solve_serving(instance, EXACT)


def test_wrong_number_of_gpus_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that counts one layout as half of its GPUs ends in an error with both costs."""
    instance = tiny(search__phases=["prefill", "decode"])
    chosen = _chosen(instance)

    def fault(tables: CostTables) -> CostTables:
        rows = _rows(tables, chosen)
        entries = [replace(e, gpus=e.gpus // 2) if c in rows else e for c, e in enumerate(tables.candidates)]
        return replace(tables, candidates=tuple(entries))

    _break(monkeypatch, fault)
    with pytest.raises(SolverError, match="the judge disagrees with the program: its cost"):
        serving.solve_serving(instance, EXACT)


def test_bound_above_a_plan_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables too dark for the bound end in an error: a plan that holds is cheaper than its bound."""
    _break(monkeypatch, lambda tables: replace(tables, requests_per_s=tables.requests_per_s / 3), only_first=True)
    with pytest.raises(SolverError, match=r"the bound .* exceeds the cost"):
        serving.solve_serving(tiny(), EXACT)
