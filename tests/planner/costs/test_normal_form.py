"""The normal form against the claims dossier: known numbers of DeepSeek-V3, and consequences T1 to T6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs.normal_form import NormalForm, normal_form
from planner.instance.loading import load_accelerator, load_model

DEEPSEEK = load_model("deepseek-v3")
NOMINAL = normal_form(DEEPSEEK, load_accelerator("nvl72_nominal"), 72)
positive = st.floats(1e-3, 1e3)


def form(chi: float = 20.0, sweep_s: float = 1e-3) -> NormalForm:
    """Build the talk's round model: rho 300, sparsity 8, so B* = 2,400; crossover at 1,000 tokens."""
    return NormalForm(300.0, 8.0, 2400.0, 1000.0, chi, sweep_s, chi * sweep_s)


def test_rack_as_the_claims_count_it() -> None:
    """DeepSeek-V3 fp8 on the nominal NVL72: chi 20.60, crossover 1,872 tokens, weight sweep 1.165 ms, drain 24 ms."""
    assert NOMINAL.rho == pytest.approx(281.25)
    assert NOMINAL.chi == pytest.approx(20.60, abs=5e-3)
    assert NOMINAL.crossover_context == pytest.approx(1872, abs=0.5)
    assert NOMINAL.weight_sweep_s == pytest.approx(1.165e-3, rel=1e-3)
    assert NOMINAL.drain_s == pytest.approx(24.0e-3)


def test_rack_of_the_data_sheet() -> None:
    """The same model on GB200 NVL72: rho 312.5, chi 19.96, crossover 1,685 tokens."""
    found = normal_form(DEEPSEEK, load_accelerator("gb200_nvl72"), 72)
    assert found.rho == pytest.approx(312.5)
    assert found.chi == pytest.approx(19.96, abs=5e-3)
    assert found.crossover_context == pytest.approx(1685, abs=0.5)


def test_island_of_eight() -> None:
    """Eight H100 sweep the weights in 25.04 ms and do not hold them: chi below 1."""
    found = normal_form(DEEPSEEK, load_accelerator("h100"), 8)
    assert found.weight_sweep_s == pytest.approx(25.04e-3, rel=1e-3)
    assert found.chi < 1
    assert not found.fits(1e-9, 1.0)


def test_batch_of_one_costs_the_balance_batch() -> None:
    """C1: without KV one sequence alone costs 2,400 times the floor; at lambda 2.4024 exactly 1,000 times it."""
    assert form().relative_cost(1, 0) == pytest.approx(2400)
    crowd = 2.4024
    assert form().relative_cost(1, 1000 * crowd) / crowd == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize(("crowd", "batch"), [(0.25, 3200), (0.5, 4800), (0.75, 9600)])
def test_cheapest_batch(crowd: float, batch: float) -> None:
    """T1: the floor is reached exactly at B* / (1 - lambda)."""
    assert form().relative_cost(batch, 1000 * crowd) == pytest.approx(1.0, abs=1e-12)
    assert form().relative_cost(0.99 * batch, 1000 * crowd) > 1.0


def test_no_cheapest_batch_beyond_the_crossover() -> None:
    """T1: at lambda 1 or more no batch reaches the floor."""
    assert all(form().relative_cost(batch, 1000) > 1.0 for batch in (1e3, 1e6, 1e9))


@given(b=positive, crowd=positive)
def test_slow_mode_saves_little(b: float, crowd: float) -> None:
    """T2: waiting for an endless batch saves at most 1 / (1 + b) of the cost."""
    cost = form().relative_cost(2400 * b, 1000 * crowd)
    assert 1 - max(1.0, crowd) / cost <= 1 / (1 + b) + 1e-12


def test_slow_mode_at_its_worst() -> None:
    """T2: the most is saved at lambda 1; 28.6 % at b = 2.5."""
    assert 1 - 1 / form().relative_cost(2400 * 2.5, 1000) == pytest.approx(0.286, abs=5e-4)


def test_fast_mode_menu() -> None:
    """T3: with 1 + lambda b = 2.8 six times the price buys 2.5 times the speed, at a batch 15 times smaller."""
    crowd, standard = 0.9, 2.0
    fast = standard / 15
    step = [form().relative_step_time(2400 * b, 1000 * crowd) for b in (standard, fast)]
    cost = [form().relative_cost(2400 * b, 1000 * crowd) for b in (standard, fast)]
    assert step[0] == pytest.approx(2.8)
    assert step[0] / step[1] == pytest.approx(2.5)
    assert cost[1] / cost[0] == pytest.approx(6.0)


@given(b=positive, crowd=positive, chi=st.floats(1.0, 100.0))
def test_drain_bounds_the_memory_bound_step(b: float, crowd: float, chi: float) -> None:
    """T4: what fits reads at most all of HBM: a memory-bound step lies between one weight sweep and one drain."""
    domain = form(chi)
    batch, context = 2400 * b, 1000 * crowd
    if domain.fits(batch, context) and domain.relative_step_time(batch, context) > b * (1 + 1e-9):
        step_s = domain.relative_step_time(batch, context) * domain.weight_sweep_s
        assert domain.weight_sweep_s <= step_s <= domain.drain_s * (1 + 1e-12)


def test_triple_balance() -> None:
    """T5: FLOPs, bandwidth and capacity are all full at 105,081 sequences of 1,781 tokens, and a step takes 24.0 ms."""
    batch = NOMINAL.chi * NOMINAL.balance_batch
    context = (1 - 1 / NOMINAL.chi) * NOMINAL.crossover_context
    assert batch == pytest.approx(105_081, rel=1e-4)
    assert context == pytest.approx(1781, abs=0.5)
    assert NOMINAL.relative_step_time(batch, context) * NOMINAL.weight_sweep_s == pytest.approx(24.0e-3)
    assert NOMINAL.fits(batch * (1 - 1e-9), context)
    assert not NOMINAL.fits(batch * 1.001, context)


def test_hold_or_recompute() -> None:
    """T6: it pays to hold idle KV in HBM for drain x crossover: 44.93 s."""
    assert NOMINAL.drain_s * NOMINAL.crossover_context == pytest.approx(44.93, rel=1e-3)
