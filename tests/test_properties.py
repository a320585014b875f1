"""What must hold for every instance: better hardware, other names and other prices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import tiny

from formulations import fleet
from planner.costs.normal_form import normal_form
from planner.costs.tables import build_tables
from planner.instance.loading import load_accelerator, load_model
from planner.solver.highs import solve_pyomo
from planner.solver.options import SolveOptions
from planner.studies.imbalance import ImbalanceBook
from planner.studies.serving import solve_serving

if TYPE_CHECKING:
    from planner.instance.hardware import Accelerator
    from planner.instance.instance import Instance, Pool

EXACT = SolveOptions(gap=0)
SMALL = {
    "search__deployment_gpus": [2, 8],
    "search__prefill_requests_per_rank": [1, 4],
    "search__tensor_parallel": [2, 8],
}
RESOURCES = ("hbm_bytes", "hbm_bytes_per_s", "scale_up_bytes_per_s", "scale_out_bytes_per_s", "flop_per_s")


def even(**changes: object) -> Instance:
    """Read a small case with even loads, so that bound and achieved placement are one."""
    return tiny(**{**SMALL, "expert_load__sigma": 0, "pools__0__domains": 12, **changes})


def optimum(instance: Instance) -> float:
    """Solve the fleet program to a gap of 0."""
    program = fleet.build(build_tables(instance, ImbalanceBook(instance).optimistic))
    result = solve_pyomo(program.model, EXACT)
    assert result.objective is not None
    return result.objective


def with_pools(instance: Instance, *pools: Pool) -> Instance:
    """Put other pools in an instance."""
    return instance.replace(pools=pools)


def scaled(chip: Accelerator, resource: str, factor: float) -> Accelerator:
    """Give an accelerator more of one thing."""
    value = getattr(chip, resource)
    more = {key: factor * rate for key, rate in value.items()} if isinstance(value, dict) else factor * value
    return chip.model_copy(update={resource: more})


@settings(deadline=None, max_examples=12)
@given(
    resource=st.sampled_from(RESOURCES),
    factor=st.floats(1.0, 3.0),
    chat=st.floats(1, 120),
    billing=st.sampled_from(["gpu", "domain"]),
)
def test_more_of_anything_never_costs_more(resource: str, factor: float, chat: float, billing: str) -> None:
    """More memory, bandwidth or arithmetic never raises the optimum."""
    instance = even(demand__0__requests_per_s=chat, pools__0__billing=billing)
    pool = instance.pools[0]
    better = with_pools(instance, replace(pool, accelerator=scaled(pool.accelerator, resource, factor)))
    assert optimum(better) <= optimum(instance) * (1 + 1e-9)


@settings(deadline=None, max_examples=4)
@given(resource=st.sampled_from(RESOURCES), factor=st.floats(1.0, 2.0))
def test_bound_with_more_never_exceeds_the_cost_with_less(resource: str, factor: float) -> None:
    """With uneven loads and a search for placements the bound of the better case is at most the cost of the other."""
    instance = tiny(**SMALL, demand__0__requests_per_s=20)
    pool = instance.pools[0]
    better = with_pools(instance, replace(pool, accelerator=scaled(pool.accelerator, resource, factor)))
    assert solve_serving(better, EXACT).bound_usd <= solve_serving(instance, EXACT).cost_usd * (1 + 1e-9)


@settings(deadline=None, max_examples=5)
@given(chat=st.floats(1, 60), usd=st.sampled_from([2.0, 3.0]))
def test_order_of_pools_changes_nothing(chat: float, usd: float) -> None:
    """Two pools in either order cost the same, and two equal ones as much as one of twice the size."""
    instance = even(demand__0__requests_per_s=chat)
    pool = replace(instance.pools[0], domains=6)
    other = replace(pool, name="other", usd_per_gpu_hour=usd)
    assert optimum(with_pools(instance, pool, other)) == pytest.approx(optimum(with_pools(instance, other, pool)))
    if usd == pool.usd_per_gpu_hour:
        assert optimum(with_pools(instance, pool, other)) == pytest.approx(optimum(instance))


@settings(deadline=None, max_examples=3)
@given(factor=st.floats(0.01, 100.0))
def test_prices_scale_cost_and_bound(factor: float) -> None:
    """All prices times a factor: cost and bound times the factor."""
    instance = tiny(**SMALL, demand__0__requests_per_s=20)
    pool = replace(instance.pools[0], usd_per_gpu_hour=factor * instance.pools[0].usd_per_gpu_hour)
    before, after = (solve_serving(case, EXACT) for case in (instance, with_pools(instance, pool)))
    assert after.cost_usd == pytest.approx(factor * before.cost_usd, rel=1e-6)
    assert after.bound_usd == pytest.approx(factor * before.bound_usd, rel=1e-6)


@settings(deadline=None, max_examples=6)
@given(chat=st.floats(0.01, 30), document=st.floats(0.01, 3), sigma=st.floats(0, 1.5))
def test_bound_is_below_cost(chat: float, document: float, sigma: float) -> None:
    """Whatever the demand and the skew of the experts, the proven bound is at most the cost of the plan."""
    instance = tiny(
        **SMALL,
        demand__0__requests_per_s=chat,
        demand__1__requests_per_s=document,
        expert_load__sigma=sigma,
        pools__0__domains=12,
    )
    answer = solve_serving(instance, EXACT)
    assert 0 < answer.bound_usd <= answer.cost_usd
    assert answer.gap == pytest.approx(1 - answer.bound_usd / answer.cost_usd)


@given(factor=st.floats(0.1, 10.0), hardware=st.sampled_from(["h100", "gb200_nvl72", "tpu_v5p"]))
def test_faster_parts_move_neither_b_nor_lambda(factor: float, hardware: str) -> None:
    """All rates times a factor: the sweep is as many times shorter; balance batch, crossover and chi stay."""
    model, chip = load_model("deepseek-v3"), load_accelerator(hardware)
    faster = scaled(scaled(chip, "flop_per_s", factor), "hbm_bytes_per_s", factor)
    before, after = normal_form(model, chip, 64), normal_form(model, faster, 64)
    assert after.balance_batch == pytest.approx(before.balance_batch)
    assert after.crossover_context == pytest.approx(before.crossover_context)
    assert after.chi == before.chi
    assert after.weight_sweep_s == pytest.approx(before.weight_sweep_s / factor)


@settings(deadline=None, max_examples=8)
@given(
    limit=st.sampled_from(["ttft_s", "tpot_s"]),
    factor=st.floats(1.0, 4.0),
    percentile=st.floats(0.5, 0.95),
    chat=st.floats(5, 100),
)
def test_looser_limits_never_cost_more(limit: str, factor: float, percentile: float, chat: float) -> None:
    """A longer limit or a lower percentile never raises the optimum."""
    instance = even(demand__0__requests_per_s=chat)
    chat_class, documents = instance.demand
    looser = chat_class.model_copy(update={limit: factor * getattr(chat_class, limit), "percentile": percentile})
    assert optimum(instance.replace(demand=(looser, documents))) <= optimum(instance) * (1 + 1e-9)
