"""Costs of computing, fetching and holding the KV of a prefix, against closed forms and the claims dossier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs import cache
from planner.costs.normal_form import normal_form
from planner.instance.loading import load_accelerator, load_model
from planner.instance.memory_tiers import hbm_tier, load_memory_tiers


@pytest.mark.parametrize("chip", ["nvl72_nominal", "h100", "h800", "mi300x"])
@pytest.mark.parametrize("model", ["deepseek-v3", "mixtral-8x7b", "llama-3.1-70b"])
def test_hold_or_recompute_identity(chip: str, model: str) -> None:
    """T6: KV may lie in HBM for the drain time times the crossover context, to 1e-9, whatever the chip and model."""
    hardware, weights = load_accelerator(chip), load_model(model)
    form = normal_form(weights, hardware, 8)
    precision = weights.weights.routed_experts if weights.moe_layers else weights.weights.dense_ffn
    held = cache.hbm_break_even_s(
        weights.published_active_params,
        hardware.peak_flop_per_s(precision),
        weights.kv_bytes_per_token,
        hardware.hbm_bytes,
    )
    assert held == pytest.approx(form.drain_s * form.crossover_context, rel=1e-9)


def test_break_even_times_of_the_dossier() -> None:
    """C22: 80 minutes at the talk's KV size (4,799 s), 44.93 s for DeepSeek V3, each within 0.5 %."""
    assert cache.hbm_break_even_s(100e9, 4.5e15, 1.78e3, 192e9) == pytest.approx(4799, rel=5e-3)
    assert cache.hbm_break_even_s(37e9, 4.5e15, 70272, 192e9) == pytest.approx(44.93, rel=5e-3)


def test_switch_points_of_the_shipped_tiers() -> None:
    """C22: HBM below .022 s, DDR to 16.7 s, flash to 5,615 s, then disk; within 1 % or the last printed digit."""
    chip = load_accelerator("b200_nominal")
    lines = [cache.hold_line(hbm_tier(chip, 2.0), in_place=True)]
    lines += [cache.hold_line(tier) for tier in load_memory_tiers("host_2026").tiers]
    stretches = cache.cheapest_by_hold_time(lines)
    assert [entry.name for entry in stretches] == ["hbm", "ddr", "flash", "disk"]
    times = [entry.from_s for entry in stretches]
    assert times[1] == pytest.approx(0.022, abs=5e-4)
    assert times[2:] == pytest.approx([16.7, 5615.0], rel=0.01)


@given(
    st.lists(st.tuples(st.floats(0.0, 10.0), st.floats(0.01, 10.0)), min_size=1, max_size=6),
    st.floats(0.0, 1e3),
)
def test_the_envelope_is_the_least_line(lines: list[tuple[float, float]], hold_s: float) -> None:
    """At any hold time the stretch named costs no more than any line."""
    named = [cache.HoldLine(str(n), retrieve, hold) for n, (retrieve, hold) in enumerate(lines)]
    stretches = cache.cheapest_by_hold_time(named)
    assert [entry.from_s for entry in stretches] == sorted(entry.from_s for entry in stretches)
    place = named[int([entry.name for entry in stretches if entry.from_s <= hold_s][-1])]
    cost = {line.name: line.retrieve_usd_per_byte + line.hold_usd_per_byte_s * hold_s for line in named}
    assert cost[place.name] <= min(cost.values()) * (1 + 1e-9) + 1e-12


def test_a_tier_holds_until_computing_is_cheaper() -> None:
    """At the break-even time fetching and holding cost what computing does; a dear fetch never breaks even."""
    tier = load_memory_tiers("host_2026").tiers[1]
    held = cache.tier_break_even_s(1e-8, 70272, tier)
    fetch = 70272 * tier.usd_per_hour / 3600 / tier.bytes_per_s
    assert fetch + held * cache.hold_usd_per_token_s(70272, tier) == pytest.approx(1e-8, rel=1e-9)
    assert cache.tier_break_even_s(fetch / 2, 70272, tier) == 0.0


@pytest.mark.parametrize(("policy", "after"), [("first_use", 1), ("second_use", 2)])
def test_shares_of_hits_and_writes_match_a_simulation(policy: str, after: int) -> None:
    """Prefixes used again with probability 0.7: counted over a million uses, shares agree within 0.3 points."""
    draw = np.random.default_rng(7)
    again = draw.random(1_000_000) < 0.7
    use, hits, writes, kept = 0, 0, 0, 0
    for repeated in again:
        use = use + 1 if repeated else 1
        hits += use > after
        writes += use == after
        kept += use >= after
    ceiling = 0.7
    assert hits / len(again) == pytest.approx(cache.hit_share(policy, ceiling), abs=3e-3)  # type: ignore[arg-type]
    assert writes / len(again) == pytest.approx(cache.write_share(policy, ceiling), abs=3e-3)  # type: ignore[arg-type]
    assert kept / len(again) == pytest.approx(cache.held_share(policy, ceiling), abs=3e-3)  # type: ignore[arg-type]


def test_reads_that_repay_a_write() -> None:
    """C21: a write at 1.25 pays after .278 reads at a tenth, one at 2 after 1.11."""
    assert cache.reads_to_repay(0.25, 0.1) == pytest.approx(0.278, abs=5e-4)
    assert cache.reads_to_repay(1.0, 0.1) == pytest.approx(1.11, abs=5e-3)


def test_an_idle_device_fetches_at_its_own_speed() -> None:
    """Without load a fetch is bytes over bytes/s; load makes it longer."""
    assert cache.fetch_s(1.4e9, 1.4e9, 14e9, 0.0, 0.95) == pytest.approx(0.1)
    assert cache.fetch_s(1.4e9, 1.4e9, 14e9, 0.8, 0.95) > 0.3
