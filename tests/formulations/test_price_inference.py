"""Price tables read backwards: known arithmetic comes back, conflicts are named, and ends are true to a brute scan."""

from __future__ import annotations

import math

import numpy as np
import pytest

from formulations.price_inference import SOFTPLUS, Clue, PriceInference, PriceQuestion
from planner.errors import FormulationError
from planner.instance.price_table import load_price_table
from planner.studies.inference import PRIOR, Inference, Reading, infer_prices, question_of

FP8_LARGE = Reading(precision="fp8", large_batch=True)
STEP_AND_STORAGE = ["input_price", "context_step", "storage_price"]


def inference(name: str, reading: Reading = FP8_LARGE) -> Inference:
    """Ask about a shipped table."""
    return Inference(question_of(load_price_table(name), reading))


@pytest.mark.parametrize(
    ("name", "tokens"), [("claude-sonnet-4.6", 183e3), ("gemini-3.1-pro", 67e3), ("gemini-2.5-pro", 42e3)]
)
def test_input_over_storage_price_tells_the_crossover(name: str, tokens: float) -> None:
    """Margin, GPU price and parameters cancel: L* = MFU (p_in / p_store) / drain (claims dossier, C22, C23)."""
    exact = inference(name, Reading(tolerance=0.0, precision="fp8", prior={"mfu": (1.0, 1.0)}))
    low, high = exact.interval("crossover", ["input_price", "storage_price"])  # type: ignore[misc]
    assert low == pytest.approx(tokens, rel=0.01)
    assert high == pytest.approx(low, rel=1e-6)


def test_the_context_step_alone_tells_parameters_per_kv_byte() -> None:
    """200k tokens at rho 281 (B200 in fp8) are 5.6e7 parameters a KV byte, whatever the size: at 100e9, 1,778 B."""
    fixed = Reading(tolerance=0.0, precision="fp8", large_batch=True, prior={"active_params": (100e9, 100e9)})
    low, high = inference("gemini-3.1-pro", fixed).interval("kv_bytes_per_token", ["context_step"])  # type: ignore[misc]
    assert low == pytest.approx(100e9 * 8e12 * 2 / (4.5e15 * 200e3), rel=1e-6)
    assert high == pytest.approx(low, rel=1e-6)


def test_price_levels_tell_almost_nothing() -> None:
    """With a free margin the active parameters stay open by more than a factor of ten (C23)."""
    low, high = inference("gemini-3.1-pro").interval("active_params", ["input_price"])  # type: ignore[misc]
    assert high / low > 10
    full = Reading(tolerance=0.0, precision="fp8")
    assert inference("gemini-3.1-pro", full).interval("active_params", ["input_price"])[1] == pytest.approx(8.1e12)  # type: ignore[index]


def test_step_and_storage_disagree_at_every_margin_and_by_how_much() -> None:
    """Gemini: a factor of 3.0 (C23), any one of the three clues may take it; Anthropic's pair agrees at full MFU."""
    gemini = inference("gemini-3.1-pro")
    assert gemini.conflicts(STEP_AND_STORAGE) == [STEP_AND_STORAGE]
    for name in STEP_AND_STORAGE:
        (factor,) = gemini.least_stretch(STEP_AND_STORAGE, [name]).values()  # type: ignore[union-attr]
        assert max(factor, 1 / factor) == pytest.approx(3.0, rel=0.03)
    anthropic = inference("claude-sonnet-4.6")
    assert anthropic.possible(STEP_AND_STORAGE)
    assert anthropic.interval("mfu", STEP_AND_STORAGE)[1] == pytest.approx(1.0)  # type: ignore[index]


def test_fast_mode_finds_the_batch() -> None:
    """6 times the price for 2.5 times the speed without KV reading: b = 2.5 (C6)."""
    question = PriceQuestion(
        clues=(Clue("fast_mode", 2.5, 0.0),),
        flop_per_s={1.0: 4.5e15},
        hbm_bytes_per_s=8e12,
        usd_per_gpu_s=1 / 1800,
        gpus=1,
        typical_context_tokens=1.0,
        bounds=PRIOR | {"crossover": (1e6, 1e15)},
        fast_price_ratio=6.0,
    )
    low, high = Inference(question).interval("batch_over_balance", ["fast_mode"])  # type: ignore[misc]
    assert low == pytest.approx(2.5, rel=3e-3)
    assert high == pytest.approx(2.5, rel=3e-3)


def test_ends_agree_with_a_scan() -> None:
    """Output at five times the input price, at most a tenth below or above: b from a scan of (b, lambda)."""
    batch = np.exp(np.linspace(math.log(0.01), math.log(1e3), 1500))[:, None]
    share = np.exp(np.linspace(math.log(1e-6), math.log(1e6), 3000))[None, :]
    ratio = np.maximum(1.0, 1.0 / batch + share)
    met = ((ratio >= 5 / 1.1) & (ratio <= 5 * 1.1)).any(axis=1)
    scanned = batch[met, 0]
    low, high = inference("claude-sonnet-4.6").interval("batch_over_balance", ["output_over_input"])  # type: ignore[misc]
    assert low == pytest.approx(scanned.min(), rel=0.01)
    assert high == pytest.approx(scanned.max(), rel=0.01)


def test_conflicts_are_irreducible() -> None:
    """Without any one of its clues each conflict can be met, and the intervals use clues that agree."""
    answer = infer_prices(load_price_table("gemini-2.5-pro"), FP8_LARGE)
    asked = inference("gemini-2.5-pro")
    assert answer["conflicts"]
    for conflict in answer["conflicts"]:
        assert not asked.possible(conflict["clues"])
        for name in conflict["clues"]:
            assert asked.possible([other for other in conflict["clues"] if other != name])
    assert asked.possible(answer["intervals_from"])
    for found in answer["intervals"].values():
        assert found["least"] <= found["greatest"] * (1 + 1e-6)


def test_the_curve_lies_in_its_envelope() -> None:
    """Tangents below, chords above: ln(1 + e^x) between them at 2,000 points."""
    points = sorted(SOFTPLUS.points)
    for x in np.linspace(-20, 20, 2000):
        at = next(i for i in range(len(points) - 1) if points[i] <= x <= points[i + 1])
        low, high = points[at], points[at + 1]
        chord = SOFTPLUS.value(low) + (SOFTPLUS.value(high) - SOFTPLUS.value(low)) * (x - low) / (high - low)
        tangents = [SOFTPLUS.value(p) + SOFTPLUS.slope(p) * (x - p) for p in (low, (low + high) / 2, high)]
        assert max(tangents) <= SOFTPLUS.value(x) + 1e-12 <= chord + 2e-12


def test_a_table_without_clues_is_refused() -> None:
    """Nothing to infer from."""
    question = question_of(load_price_table("gemini-3.1-pro"), Reading(only=()))
    with pytest.raises(FormulationError, match="without clues"):
        PriceInference().build(question)
