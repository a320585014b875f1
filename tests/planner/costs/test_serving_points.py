"""Answers for operating points against Little's law, their own terms and limits that have closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from planner.costs.points import (
    AGGREGATED,
    DECODE,
    DISAGGREGATED,
    ENGINES,
    PREFILL,
    Predictions,
    ServingPoints,
    Workers,
)
from planner.costs.serving_points import predict
from planner.costs.work import has_foreign_scales
from planner.instance.loading import load_accelerator, load_model
from planner.instance.resolve import load_calibration
from planner.instance.weights import with_weights

FITTED = load_calibration("fitted")
LOADS = np.array([1.0, 2, 4, 8, 16, 32, 64, 128, 256])


def points(
    phase: int = AGGREGATED,
    model: str = "deepseek-v3",
    chip: str = "b200",
    engine: str = "vllm",
    loads: np.ndarray = LOADS,
    data: int = 1,
) -> ServingPoints:
    """Eight GPUs a worker, 1,024 tokens in and out, at several loads."""
    count = len(loads)
    workers = Workers.of(np.ones(count), 8 // data, data, 1, 8)
    zeros = np.zeros(count, dtype=np.int64)
    return ServingPoints(
        models=(with_weights(load_model(model), "fp8"),),
        accelerators=(load_accelerator(chip),),
        model=zeros,
        accelerator=zeros,
        engine=zeros + ENGINES.index(engine),
        phase=zeros + phase,
        workers=workers,
        prefill_workers=workers,
        concurrency=loads,
        input_tokens=np.full(count, 1024.0),
        output_tokens=np.full(count, 1024.0),
        cached_share=np.zeros(count),
        tokens_per_step=np.ones(count),
        redundant_experts=zeros,
        imbalance=np.full(count, np.nan),
        fixed_length=np.zeros(count, dtype=bool),
        overlapped=np.zeros(count, dtype=bool),
    )


def _sum(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(sum(columns.values()))


@pytest.mark.parametrize("phase", [AGGREGATED, DISAGGREGATED, DECODE])
@pytest.mark.parametrize("profile", ["fitted", "hand_set", "ideal"])
def test_terms_add_up(phase: int, profile: str) -> None:
    """The causes of a token's time add up to it; so do those of the first token, where there is one."""
    answer = predict(points(phase), load_calibration(profile))
    assert _sum(dict(answer.terms)) == pytest.approx(answer.tpot_s)
    if phase == DECODE:
        assert np.isnan(answer.ttft_s).all()
    else:
        assert _sum(dict(answer.ttft_terms)) == pytest.approx(answer.ttft_s)


@pytest.mark.parametrize("phase", [AGGREGATED, DISAGGREGATED])
def test_requests_in_flight_are_rate_times_time(phase: int) -> None:
    """Little's law holds between the three answers, to the tokens that the first one and the last one count."""
    asked = points(phase)
    answer = predict(asked, FITTED)
    requests_per_s = answer.tok_s_per_gpu * asked.gpus / asked.output_tokens
    in_flight = requests_per_s * (answer.ttft_s + answer.tpot_s * (asked.output_tokens - 1))
    assert in_flight == pytest.approx(asked.concurrency, rel=5e-3)


@pytest.mark.parametrize("model", ["deepseek-v3", "gpt-oss-120b", "qwen3.5-397b-a17b", "llama-3.1-70b"])
def test_more_requests_never_make_a_step_faster(model: str) -> None:
    """TPOT and TTFT do not fall as the load grows."""
    answer = predict(points(model=model), FITTED)
    assert (np.diff(answer.tpot_s) >= 0).all()
    assert (np.diff(answer.ttft_s) >= 0).all()


def test_a_decode_pool_alone_has_no_prompts_of_others() -> None:
    """A decode pool by itself is as fast as the step; a worker that does both adds the prompts of the others."""
    alone, both = predict(points(DECODE), FITTED), predict(points(AGGREGATED), FITTED)
    assert (alone.terms["prefill_of_others"] == 0).all()
    assert (both.tpot_s[1:] > alone.tpot_s[1:] * 0.98).all()
    assert alone.tok_s_per_gpu == pytest.approx(LOADS / alone.tpot_s / 8)


def test_a_prefill_pool_has_prompt_tokens_only() -> None:
    """A prefill pool answers prompt tokens a second and nothing about decoding."""
    answer = predict(points(PREFILL), FITTED)
    assert np.isnan(answer.tpot_s).all()
    assert (answer.input_tok_s_per_gpu > 0).all()
    assert (np.diff(answer.input_tok_s_per_gpu) >= 0).all()


def test_speculation_pays_where_reading_binds() -> None:
    """With 1.8 tokens a step a small batch gains less than 1.8 times and more than nothing: it verifies two tokens."""
    asked = points(DECODE, loads=np.array([8.0]))
    plain = predict(asked, FITTED).tpot_s[0]
    guessed = predict(replace(asked, tokens_per_step=np.array([1.8])), FITTED).tpot_s[0]
    assert 1.0 < plain / guessed < 1.8


def test_engines_differ_in_the_first_token_only() -> None:
    """The profile tells engines apart by what precedes the first token; an engine it does not name has factor 1."""
    by_engine = {name: predict(points(DECODE, engine=name), FITTED) for name in ENGINES}
    assert all((entry.tpot_s == by_engine["other"].tpot_s).all() for entry in by_engine.values())
    first = {name: predict(points(engine=name), FITTED).ttft_terms["engine"] for name in ENGINES}
    assert FITTED.first_token is not None
    assert first["sglang"] == pytest.approx(FITTED.first_token.sglang * first["other"])


def test_chip_factors_scale_a_step() -> None:
    """Doubling a chip's factor doubles every step of a pool on it, and no step on another chip."""
    doubled = FITTED.model_copy(update={"chips": FITTED.chips | {"b200": 2 * FITTED.chips["b200"]}})
    assert predict(points(DECODE), doubled).tpot_s == pytest.approx(2 * predict(points(DECODE), FITTED).tpot_s)
    other = points(DECODE, chip="h200")
    assert (predict(other, doubled).tpot_s == predict(other, FITTED).tpot_s).all()


def test_overlap_hides_communication() -> None:
    """Two-batch overlap takes off the profile's share of the shorter part, communication here."""
    asked = points(DECODE, data=8)
    plain, hidden = predict(asked, FITTED), predict(replace(asked, overlapped=np.ones(len(asked), bool)), FITTED)
    communication = plain.terms["all_to_all"] + plain.terms["all_reduce"]
    shorter = np.minimum(communication, plain.tpot_s - communication)
    saved = FITTED.two_batch_overlap_share * shorter
    assert plain.tpot_s - hidden.tpot_s == pytest.approx(saved)


@pytest.mark.parametrize(
    ("model", "precision", "chip", "foreign"),
    [
        ("deepseek-v3", "fp8", "b200", True),
        ("deepseek-v3", "nvfp4", "b200", False),
        ("deepseek-v3", "fp8", "h200", False),
        ("kimi-k2.5", "int4", "b200", True),
        ("kimi-k2.5", "int4", "h200", False),
        ("llama-3.1-70b", "fp8", "b200", False),
    ],
)
def test_formats_that_are_scaled_in_software(model: str, precision: str, chip: str, *, foreign: bool) -> None:
    """Chips that scale 4-bit blocks themselves rescale experts in fp8 blocks and int4 in software; others all."""
    assert has_foreign_scales(with_weights(load_model(model), precision), load_accelerator(chip)) is foreign


def test_columns_are_the_rows_alone() -> None:
    """Rows do not touch each other: each alone has the answer it has among the others."""
    together: Predictions = predict(points(), FITTED)
    for place in range(len(LOADS)):
        alone = predict(points(loads=LOADS[place : place + 1]), FITTED)
        assert alone.tpot_s[0] == pytest.approx(together.tpot_s[place])
        assert alone.ttft_s[0] == pytest.approx(together.ttft_s[place])
