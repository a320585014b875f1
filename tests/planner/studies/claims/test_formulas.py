"""Closed forms behind the claims on budgets, pipelines, context and sparsity, against enumeration and other roads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from formulations import fleet
from planner.costs import lifecycle
from planner.costs.tables import build_tables
from planner.instance.instance import Instance
from planner.instance.lifecycle import LifecycleInstance
from planner.instance.loading import load_accelerator
from planner.instance.loading_case import load_case
from planner.solver.highs import solve_pyomo
from planner.solver.options import SolveOptions
from planner.studies.claims import budget, context, inference_claims, pipeline
from planner.studies.claims.common import chip_named, plain_form
from planner.studies.claims.ledger import CLAIMS
from planner.studies.claims.pipeline import Domain, Load
from planner.studies.imbalance import ImbalanceBook

if TYPE_CHECKING:
    from planner.costs.tables import Candidate


@pytest.mark.parametrize(("rising", "falling"), [(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (1.0, 0.2)])
def test_loss_of_an_equal_split(rising: float, falling: float) -> None:
    """x^p + x^-q on a fine grid: the equal split at x = 1 costs as much more as the closed form says."""
    grid = np.geomspace(0.05, 20.0, 200_001)
    least = float(np.min(grid**rising + grid**-falling))
    assert budget.power_law_loss(rising, falling) == pytest.approx(2.0 / least - 1.0, abs=1e-8)


@pytest.mark.parametrize("demand", [26e12, 259.2e12, 2592e12])
def test_optimum_meets_the_first_order_condition(demand: float) -> None:
    """C_inf / C_train = alpha A N^-alpha / (beta B D^-beta) - 1 at the optimum the program finds (C24's equation)."""
    answer = budget.budget("hoffmann", 100e9, 200e12, demand, 3.0)
    ratio = 0.34 * 406.4 * answer.params**-0.34 / (0.28 * 410.7 * answer.tokens**-0.28) - 1.0
    assert answer.serving_over_training == pytest.approx(ratio, rel=1e-3)


def test_the_budget_is_proven() -> None:
    """Gap far below the 7.6e-5 that 400 tangents reach."""
    assert budget.budget("hoffmann", 100e9, 200e12, 259.2e12, 3.0).gap < 7.6e-5


SMALL = Domain(flop_per_s=1e15, hbm_bytes=1e12, hbm_bytes_per_s=1e12)


@pytest.mark.parametrize("stages", [1, 2, 4, 8])
@pytest.mark.parametrize("kv_bytes", [1e6, 1e8, 1e9])
def test_cheapest_batch_of_a_pipeline_by_enumeration(stages: int, kv_bytes: float) -> None:
    """Trying every batch that fits gives the same domain-seconds a token as the closed form, to the last sequence."""
    load = Load(active_params=2e9, weight_bytes=6e11, kv_bytes=kv_bytes)
    fitting = np.arange(1.0, math.floor((SMALL.hbm_bytes - load.weight_bytes / stages) / kv_bytes) + 1.0)
    fitting = fitting[:: max(1, len(fitting) // 100_000)]
    step = np.maximum(
        2.0 * fitting * load.active_params / SMALL.flop_per_s,
        (load.weight_bytes + fitting * load.kv_bytes) / SMALL.hbm_bytes_per_s,
    )
    enumerated = float(np.min(step / stages * stages / fitting))
    assert pipeline.least_domain_seconds(SMALL, load, stages) == pytest.approx(enumerated, rel=2e-3)


def test_stages_are_chosen_only_where_they_pay() -> None:
    """Short contexts take one stage; weights of 1.5 domains need two; weights of 20 domains fit no number tried."""
    load = Load(active_params=2e9, weight_bytes=6e11, kv_bytes=1e6)
    assert pipeline.cheapest_stages(SMALL, load) == 1
    assert pipeline.cheapest_stages(SMALL, load.scaled(2.5)) == 2
    assert pipeline.cheapest_stages(SMALL, load.scaled(33.0)) == 0


def test_a_bubble_counted_on_a_grid() -> None:
    """Four stages and eight micro-batches drawn out: stage s works on batch m at step s + m, 12 of 44 places idle."""
    busy = {(stage, stage + batch) for stage in range(4) for batch in range(8)}
    steps = max(step for _, step in busy) + 1
    assert pipeline.bubble(4, 8) == pytest.approx(1.0 - len(busy) / (4 * steps))


def test_one_expert_is_the_dense_network() -> None:
    """The routed law calls a network of one expert dense: its equivalent is itself."""
    assert context.S_BASE.dense_equivalent(370e6, 1.0) == pytest.approx(370e6, rel=1e-9)


def test_the_routed_law_has_the_published_equivalent() -> None:
    """64 experts at 370e6 parameters match 1.37e9, as the effective-parameter files state."""
    assert context.S_BASE.dense_equivalent(370e6, 64.0) == pytest.approx(1.37e9, rel=2e-3)


@pytest.mark.parametrize(
    ("table", "tokens"), [("claude-sonnet-4.6", 183e3), ("gemini-3.1-pro", 67e3), ("gemini-2.5-pro", 42e3)]
)
def test_crossover_that_prices_imply(table: str, tokens: float) -> None:
    """L* = (p_in / p_store) / drain at MFU 1: 4,400, 1,600 and 1,000 s over the 24 ms of a B200."""
    assert inference_claims.crossover_tokens(table, 1.0) == pytest.approx(tokens, rel=0.01)


def test_half_the_use_halves_the_crossover() -> None:
    """L* is proportional to MFU, so at MFU 0.4 Claude's clues are 73k and 200k tokens: a slip, not agreement."""
    claim = CLAIMS["C23"]
    assert inference_claims.crossover_tokens("claude-sonnet-4.6", 0.4) == pytest.approx(73e3, rel=0.01)
    finding = claim.compute(claim.values({"mfu": 0.4}))
    assert finding.computed == pytest.approx(200 / 73.3, rel=0.01)


STAGES_OFFERED: dict[str, Any] = {
    "search.deployment_gpus": [72, 144, 288],
    "search.tensor_parallel": [1],
    "search.pipeline_parallel": [1, 2, 4],
    "search.extra_slots_per_gpu": [0],
    "search.prefill_requests_per_rank": [1],
    "search.phases": ["prefill", "decode"],
}


@pytest.mark.parametrize("requests_per_s", [20.0, 2000.0])
def test_the_fleet_program_takes_one_stage(requests_per_s: float) -> None:
    """Offered one, two and four stages on nominal racks, the program serves DeepSeek V3 with one (C30)."""
    case = load_case("dsv3_2xnvl72", STAGES_OFFERED)
    assert isinstance(case, Instance)
    chat = case.demand[0].model_copy(update={"tpot_s": 0.3, "ttft_s": 60.0, "requests_per_s": requests_per_s})
    racks = replace(case.pools[0], domains=None, accelerator=load_accelerator("nvl72_nominal"))
    case = replace(case, demand=(chat,), pools=(racks,))
    tables = build_tables(case, ImbalanceBook(case, 0, "local_search", None).optimistic)
    program = fleet.build(tables)
    assert solve_pyomo(program.model, SolveOptions(gap=1e-6, threads=1)).has_point
    taken: list[Candidate] = [
        tables.candidates[index] for index, count in program.model.replicas.items() if count.value > 0.5
    ]
    assert {entry.phase for entry in taken} == {"prefill", "decode"}
    assert {entry.pipeline_parallel for entry in taken} == {1}


@pytest.mark.parametrize("decode_mfu", [0.069, 0.149])
def test_the_penalty_of_a_plan_is_mfu_over_mfu(decode_mfu: float) -> None:
    """At one price of a GPU-hour, the penalty that a serving plan implies is MFU of training over MFU of decode (C25).

    The plan's decode dollars are those of GPUs that use ``decode_mfu`` of the peak of the case's training hardware.
    """
    case = load_case("frontier_100b")
    assert isinstance(case, LifecycleInstance)
    training_mfu, model = case.spec.training.efficiency, case.members[0].model
    usd_per_peak_flop = case.training.usd_per_flop * training_mfu
    decode_usd = 2.0 * model.active_params * case.output_tokens / decode_mfu * usd_per_peak_flop
    penalty = lifecycle.decode_penalty(case, model, decode_usd)
    assert penalty == pytest.approx(training_mfu / decode_mfu)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 290, 300), (0.5, 580, 600)])
def test_the_smallest_batch_of_least_cost_is_found_by_trying_all(share: float, least: int, most: int) -> None:
    """C3: a dense model in bf16 on H100 is cheapest from a batch of 290 to 300 on; lambda 0.5 doubles it."""
    form = replace(plain_form(chip_named("h100").roofline_ratio("bf16"), 1.0), crossover_context=1.0)
    costs = [form.relative_cost(batch, share) for batch in range(1, 2001)]
    assert least <= 1 + costs.index(min(costs)) <= most


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_a_sweep_over_batches_has_one_kink(share: float) -> None:
    """C2: cost falls, then is flat; the one kink lies at B* / (1 - lambda) to the grid step."""
    form = replace(plain_form(300.0, 8.0), crossover_context=1.0)
    falls = [
        form.relative_cost(batch + 1, share) < form.relative_cost(batch, share) * (1 - 1e-12)
        for batch in range(1, 10_000)
    ]
    flat_from = 1 + falls.index(False)
    assert not any(falls[flat_from - 1 :])
    assert flat_from == pytest.approx(2400 / (1 - share), abs=1)
