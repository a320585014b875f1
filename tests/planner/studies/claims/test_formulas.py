"""Closed forms behind the claims on budgets, pipelines, context and sparsity, against enumeration and other roads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planner.studies.claims import budget, context, inference_claims, pipeline
from planner.studies.claims.ledger import CLAIMS
from planner.studies.claims.pipeline import Domain, Load


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
