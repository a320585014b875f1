"""Times of arithmetic and of reading on one GPU against figures of the claims dossier and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costs import compute
from planner.instance.loading import load_accelerator, load_model

H800 = load_accelerator("h800")
DEEPSEEK = load_model("deepseek-v3")
DENSE_BYTES, ROUTED_BYTES = 17.1e9, 653.9e9


@pytest.mark.parametrize(("batch", "gigabytes"), [(1, 37.5), (8, 164), (32, 434), (128, 660), (4096, 671)])
def test_touched_weights(batch: int, gigabytes: float) -> None:
    """Dossier 2.4: a step of DeepSeek-V3 reads 37.5 / 164 / 434 / 660 GB at batch 1 / 8 / 32 / 128, in the end all."""
    read = DENSE_BYTES + ROUTED_BYTES * compute.touched_share(8, 256, batch)
    assert read / 1e9 == pytest.approx(gigabytes, rel=2e-3)


def test_touched_share_of_few_slots() -> None:
    """A token that takes every slot touches all of them; more slots than draws can at most be touched once each."""
    assert compute.touched_share(8, 8, 1) == 1.0
    assert compute.touched_share(8, 4, 1) == 1.0
    assert compute.touched_share(1, 1000, 1) == pytest.approx(1e-3)


def test_touched_share_is_that_of_independent_draws() -> None:
    """The share matches a seeded simulation of independent tokens to 1 %."""
    draw = np.random.default_rng(3)
    hits = [np.unique(np.concatenate([draw.permutation(64)[:4] for _ in range(20)])).size for _ in range(400)]
    assert np.mean(hits) / 64 == pytest.approx(float(compute.touched_share(4, 64, 20)), rel=1e-2)


def test_skewed_popularity_touches_what_gamma_rates_do() -> None:
    """The share matches a seeded simulation of Poisson draws at gamma distributed rates to 2 %."""
    draw = np.random.default_rng(5)
    shape, tokens, chosen, slots = 0.8, 40.0, 8, 256
    rates = draw.gamma(shape, chosen / slots / shape, size=(4000, slots))
    touched = (draw.poisson(rates * tokens) > 0).mean()
    assert touched == pytest.approx(float(compute.touched_share(chosen, slots, tokens, shape)), rel=2e-2)


def test_popularity_between_its_limits() -> None:
    """A very even law is the equal one; a token alone touches k slots under any; more tokens never touch fewer."""
    tokens = np.arange(1.0, 5000.0, 7.0)
    equal = compute.touched_share(8, 256, tokens)
    assert compute.touched_share(8, 256, tokens, 1e6) == pytest.approx(np.maximum(equal, 8 / 256), rel=2e-2)
    skewed = np.asarray(compute.touched_share(8, 256, tokens, 0.8))
    assert skewed[0] == 8 / 256
    assert (np.diff(skewed) >= 0).all()
    assert (skewed <= equal + 1e-12).all()


def test_faster_cores_are_fed_less_fully() -> None:
    """At 1 PFLOP/s the share holds; with exponent 1/4 cores 16 times as fast reach half of it; none passes its peak."""
    assert compute.reached_flop_per_s(0.6, 1e15, 0.25) == pytest.approx(0.6e15)
    assert compute.reached_flop_per_s(0.6, 16e15, 0.25) == pytest.approx(0.5 * 0.6 * 16e15)
    assert compute.reached_flop_per_s(0.6, 0.05e15, 0.25) == pytest.approx(0.05e15)
    assert compute.reached_flop_per_s(0.6, 5e15) == pytest.approx(3e15)


def test_guessed_tokens_share_the_read() -> None:
    """Two tokens of one sequence take as long as one where KV is read, and twice as long where it is computed on."""
    read = {"kv_bytes_per_token": 1e3, "flop_per_context_token": 1.0, "flop_per_s": 1e12, "bytes_per_s": 1e9}
    computed = read | {"flop_per_context_token": 1e6, "flop_per_s": 1e9, "bytes_per_s": 1e12}
    one, two = (compute.attention_decode_s(8, 4096, tokens_per_sequence=tokens, **read) for tokens in (1.0, 2.0))
    assert one == two == pytest.approx(8 * 4096 * 1e-6)
    one, two = (compute.attention_decode_s(8, 4096, tokens_per_sequence=tokens, **computed) for tokens in (1.0, 2.0))
    assert two == pytest.approx(2 * one)


def test_roofline_knee() -> None:
    """Reading and arithmetic of a GEMM take equally long at rho tokens: 295 on H100 and H800 in fp8."""
    rate = {"flop_per_s": 1979e12, "bytes_per_s": 3.35e12, "weight_bytes_per_param": 1.0}
    knee = H800.roofline_ratio("fp8")
    assert knee == pytest.approx(295, abs=0.5)
    assert compute.gemm_s(1e9, 0.5 * knee, **rate) == pytest.approx(1e9 / 3.35e12)
    assert compute.gemm_s(1e9, knee, **rate) == pytest.approx(1e9 / 3.35e12)
    assert compute.gemm_s(1e9, 2 * knee, **rate) == pytest.approx(2e9 / 3.35e12)


def test_half_tokens_halve_the_rate() -> None:
    """At ``half_tokens`` tokens a compute-bound GEMM takes twice as long as at the peak rate."""
    rate = {"flop_per_s": 1e12, "bytes_per_s": 1e30, "weight_bytes_per_param": 1.0}
    slowed = compute.gemm_s(1e6, 32.0, half_tokens=32.0, **rate)
    assert slowed == pytest.approx(2 * compute.gemm_s(1e6, 32.0, **rate))


def test_expert_times() -> None:
    """Three touched experts of 44 MB and 100 tokens: 132 MB read; 2 x 44e6 x 100 FLOP computed."""
    assert compute.expert_read_s(3, 44e6, bytes_per_s=3.35e12) == pytest.approx(132e6 / 3.35e12)
    assert compute.expert_compute_s(100, 3, 44e6, flop_per_s=1e12, half_tokens=0) == pytest.approx(8.8e-3)
    assert compute.expert_compute_s(100, 3, 44e6, flop_per_s=1e12, half_tokens=8) == pytest.approx(8.8e-3 * 1.24)


def test_attention_of_deepseeks_published_day() -> None:
    """Dossier 6: 88 sequences of 4,989 tokens read 30.9 GB of KV (9.2 ms) and take 7.6 ms of attention arithmetic."""
    arguments = {
        "kv_bytes_per_token": 70272 / 61,
        "flop_per_context_token": DEEPSEEK.attention.flop_per_context_token(),
    }
    read = 61 * compute.attention_decode_s(88, 4989.0, **arguments, flop_per_s=1e30, bytes_per_s=3.35e12)
    arithmetic = 61 * compute.attention_decode_s(88, 4989.0, **arguments, flop_per_s=989e12, bytes_per_s=1e30)
    both = 61 * compute.attention_decode_s(88, 4989.0, **arguments, flop_per_s=989e12, bytes_per_s=3.35e12)
    assert read == pytest.approx(30.9e9 / 3.35e12, rel=5e-3)
    assert arithmetic == pytest.approx(7.6e-3, rel=2e-2)
    assert both == max(read, arithmetic)


@given(cached=st.integers(0, 30), new=st.integers(1, 30), window=st.one_of(st.none(), st.integers(1, 70)))
def test_causal_pairs_count(cached: int, new: int, window: int | None) -> None:
    """Without a window the pairs are counted exactly; with one never too few, and at most the window for each token."""
    seen = [position + 1 for position in range(cached, cached + new)]
    exact = sum(seen if window is None else (min(count, window) for count in seen))
    found = compute.causal_pairs(cached + new, new, window)
    if window is None or window >= cached + new:
        assert found == exact
    else:
        assert exact <= found <= new * window


def test_visible_context() -> None:
    """A sliding layer reads its window only."""
    assert compute.visible_context(1000.0, None) == 1000.0
    assert compute.visible_context(1000.0, 128) == 128
    assert compute.visible_context(100.0, 128) == 100.0
