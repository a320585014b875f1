"""The serving prototype's form (2026-11-25, section 1), kept as a baseline that is fitted and scored in the same run.

Symbols of the dossier are parameter names in full. Aggregated points are exact; disaggregated ones use the aggregated
parameters and a pool of prefill workers, solved by damped iteration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.points import AGGREGATED, DECODE, DISAGGREGATED, ENGINES, PREFILL, Predictions
from planner.studies.validation.forms import Form
from planner.studies.validation.prototype_columns import model_columns, pool_columns
from planner.studies.validation.prototype_values import PARAMETERS
from planner.studies.validation.saturation import saturated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from planner.costs.points import ServingPoints
    from planner.studies.validation.prototype_columns import ModelColumns, PoolColumns

    Column = NDArray[np.float64]
    Values = Mapping[str, float]

RESERVE_BYTES = 2e9
ITERATIONS = 60
POOL_EXPONENT = 0.75
"""Attention ranks of a prefill worker raise its rate by this power of their number."""


@dataclass(frozen=True, eq=False)
class _Case:
    """Parameter values and everything that follows from the points without them."""

    values: Values
    points: ServingPoints
    model: ModelColumns
    pool: PoolColumns
    first: PoolColumns
    """The pool that prefills."""


def predict(values: Values, points: ServingPoints) -> Predictions:
    """Answer every point; terms are seconds per output token."""
    case = _Case(
        values, points, model_columns(points), pool_columns(points, prefill=False), pool_columns(points, prefill=True)
    )
    prompt_s = _prefill_s(case)
    two, pool = points.phase == DISAGGREGATED, case.pool
    held = np.minimum(points.sequences_per_worker, _capacity(case))
    batch = np.where(two, _disaggregated_batch(case, prompt_s), held) if two.any() else held
    terms = _decode_terms(case, batch)
    decode_s = np.asarray(sum(terms.values()))
    stalled = _interference(case) * np.maximum(batch - 1, 0) / pool.data ** values["interference_exponent"] * prompt_s
    alone = points.phase == AGGREGATED
    terms["prefill_interference"] = np.where(alone, stalled / np.maximum(points.output_tokens, 1), 0.0)
    terms = {name: column / points.tokens_per_step for name, column in terms.items()}
    tpot_s = np.asarray(sum(terms.values()))
    ttft_s = _first_token_s(case, batch, decode_s, prompt_s, tpot_s)
    if two.any():
        ttft_s = np.where(two, _disaggregated_first_token_s(case, batch, prompt_s, tpot_s), ttft_s)
    return _answer(case, ttft_s, tpot_s, batch, prompt_s, terms)


def _answer(
    case: _Case, ttft_s: Column, tpot_s: Column, batch: Column, prompt_s: Column, terms: dict[str, Column]
) -> Predictions:
    points, pool = case.points, case.pool
    served = np.where(np.isfinite(points.concurrency), points.concurrency, batch * pool.count)
    whole_s = ttft_s + tpot_s * np.maximum(points.output_tokens - 1, 0)
    rate = served * points.output_tokens / whole_s / points.gpus
    rate = np.where(points.phase == DECODE, batch / tpot_s / pool.gpus, rate)
    alone, one_pool = points.phase == PREFILL, np.isin(points.phase, (DECODE, PREFILL))
    prompts = rate * points.input_tokens / np.maximum(points.output_tokens, 1)
    return Predictions(
        ttft_s=np.where(one_pool, np.nan, ttft_s),
        tpot_s=np.where(alone, np.nan, tpot_s),
        tok_s_per_gpu=np.where(alone, np.nan, rate),
        input_tok_s_per_gpu=np.where(alone, pool.data * points.input_tokens / prompt_s / pool.gpus, prompts),
        terms=terms,
        weight_bytes_per_gpu=pool.weight_bytes,
        kv_bytes_per_gpu=batch / pool.data * pool.kv_bytes_stored,
    )


def _interference(case: _Case) -> Column:
    values = case.values
    return values["interference"] * np.where(case.points.fixed_length, values["interference_fixed"], 1.0)


def _capacity(case: _Case) -> Column:
    """Sequences of one worker that memory holds."""
    values, model, pool = case.values, case.model, case.pool
    room = values["usable_share"] * model.hbm_bytes - RESERVE_BYTES - pool.weight_bytes
    return np.asarray(np.maximum(np.floor(room / pool.kv_bytes_stored), 1.0) * pool.data)


def _decode_terms(case: _Case, batch: Column) -> dict[str, Column]:
    """Seconds of one decode step by cause."""
    values, model, pool = case.values, case.model, case.pool
    rank = batch / pool.data
    bandwidth = model.hbm_bytes_per_s
    read = rank * pool.kv_bytes_read / (values["kv_bandwidth"] * bandwidth)
    score = rank * pool.decode_flop / (values["decode_attention_compute"] * model.bf16_flop_per_s)
    blocks = (
        (model.attention_params, model.attention_bytes, model.attention_flop_per_s),
        (model.feed_forward_params, model.feed_forward_bytes, model.feed_forward_flop_per_s),
    )
    dense = sum(_gemm(case, params / pool.tensor, width, peak, rank) for params, width, peak in blocks)
    head = model.head_params * 2 / pool.tensor / (values["weight_bandwidth"] * bandwidth)
    blackwell = np.where(model.blackwell > 0, values["blackwell_overhead"], 1.0)
    launches = model.layers * values["layer_s"] + model.moe_layers * values["moe_layer_s"]
    launches = launches + model.special_layers * values["special_layer_s"]
    return {
        "attention": np.maximum(read, score),
        "dense": dense + head,
        "experts": _decode_experts(case, batch),
        "all_reduce": _all_reduce(case, rank),
        "all_to_all": _all_to_all(case, rank),
        "overhead": launches * blackwell + values["step_s"] + values["sequence_s"] * rank,
    }


def _gemm(case: _Case, params: Column, width: Column, peak: Column, tokens: Column) -> Column:
    values, model = case.values, case.model
    read = params * width / (values["weight_bandwidth"] * model.hbm_bytes_per_s)
    arithmetic = 2 * params * (tokens + values["dense_half_tokens"]) / (values["dense_compute"] * peak)
    return np.asarray(np.maximum(read, arithmetic))


def _decode_experts(case: _Case, batch: Column) -> Column:
    values, model, pool = case.values, case.model, case.pool
    share = np.minimum(model.top_k / model.experts, 0.999)
    touched = 1 - (1 - share) ** batch
    tokens = batch * model.top_k / (model.experts * np.maximum(touched, 1e-9))
    slot = model.expert_params / pool.shards
    read = slot * model.expert_bytes / (values["expert_weight_bandwidth"] * model.hbm_bytes_per_s)
    half = values["expert_half_tokens"]
    arithmetic = 2 * slot * (tokens + half) / (values["expert_compute"] * model.expert_flop_per_s)
    total = model.moe_layers * model.experts / pool.expert * touched * np.maximum(read, arithmetic)
    total = total * pool.expert ** values["imbalance_exponent"]
    narrow = np.where(model.four_bits > 0, values["four_bit_factor"], 1.0)
    return np.asarray(total * narrow * np.where(model.int4 > 0, values["int4_factor"], 1.0))


def _all_reduce(case: _Case, rank: Column) -> Column:
    values, model, pool = case.values, case.model, case.pool
    latency = values["all_reduce_s"] * (pool.tensor / 2) ** values["all_reduce_exponent"]
    moved = 2 * (pool.tensor - 1) / pool.tensor * rank * model.hidden * 2
    each = latency + moved / (values["scale_up"] * model.scale_up_bytes_per_s)
    return np.where(pool.tensor > 1, 2 * model.layers * each, 0.0)


def _all_to_all(case: _Case, rank: Column) -> Column:
    values, model, pool = case.values, case.model, case.pool
    copies = np.minimum(model.top_k, pool.gpus - 1)
    moved = rank * model.hidden * copies * 3 / (values["scale_up"] * model.scale_up_bytes_per_s)
    return np.where(pool.data > 1, model.moe_layers * (2 * values["all_to_all_s"] + moved), 0.0)


def _prefill_s(case: _Case) -> Column:
    """Seconds to process one prompt on one worker's rank."""
    values, model, pool, tokens = case.values, case.model, case.first, case.points.new_input_tokens
    dense = model.attention_params / model.attention_flop_per_s
    dense = dense + model.feed_forward_params / model.feed_forward_flop_per_s
    total = 2 * tokens * dense / pool.tensor / values["prefill_dense_compute"]
    touched = 1 - (1 - np.minimum(model.top_k / model.experts, 0.999)) ** tokens
    slot = model.expert_params / pool.shards
    read = model.experts * touched * slot * model.expert_bytes
    read = read / (values["expert_weight_bandwidth"] * model.hbm_bytes_per_s)
    arithmetic = 2 * slot * tokens * model.top_k / (values["prefill_expert_compute"] * model.expert_flop_per_s)
    total = total + model.moe_layers / pool.expert * np.maximum(read, arithmetic)
    total = total + pool.prefill_flop / (values["prefill_attention_compute"] * model.bf16_flop_per_s)
    rate = values["prefill_scale_up"] * model.scale_up_bytes_per_s
    reduced = 2 * model.layers * 2 * (pool.tensor - 1) / pool.tensor * tokens * model.hidden * 2 / rate
    copies = np.minimum(model.top_k, pool.gpus - 1)
    dispatched = model.moe_layers * tokens * model.hidden * copies * 3 / rate
    return np.asarray(total + reduced + np.where(pool.data > 1, dispatched, 0.0))


def _first_token_s(case: _Case, batch: Column, decode_s: Column, prompt_s: Column, tpot_s: Column) -> Column:
    values, points, model = case.values, case.points, case.model
    queue = _by_engine(case, "queue") * np.where(points.fixed_length, _by_engine(case, "queue_fixed"), 1.0)
    ahead = np.maximum(batch - 1, 0) / case.pool.data ** values["queue_data_exponent"] + 1e-9
    weights = case.first.weight_bytes / (values["weight_bandwidth"] * model.hbm_bytes_per_s)
    waiting = np.where(np.isfinite(points.concurrency), points.sequences_per_worker - batch, 0.0)
    return np.asarray(
        _first_token_constant_s(case)
        + values["first_token_steps"] * decode_s
        + np.maximum(prompt_s, weights)
        + queue * ahead ** values["queue_exponent"] * prompt_s
        + values["wait"] * waiting / batch * points.output_tokens * tpot_s
    )


def _first_token_constant_s(case: _Case) -> Column:
    return _by_engine(case, "first_token_base_s") + _by_engine(case, "first_token_s")


def _by_engine(case: _Case, name: str) -> Column:
    return np.asarray(case.model.engines @ np.array([case.values[f"{name}_{engine}"] for engine in ENGINES]))


def _prefill_rate(case: _Case, prompt_s: Column) -> Column:
    """Prompts a second of the whole prefill pool; attention ranks of one worker share its experts."""
    return np.asarray(case.first.count * case.first.data**POOL_EXPONENT / prompt_s)


def _disaggregated_batch(case: _Case, prompt_s: Column) -> Column:
    """Sequences that one decode worker holds when requests, prefill pool and memory balance."""
    points, pool = case.points, case.pool
    concurrency = np.where(np.isfinite(points.concurrency), points.concurrency, 1e9)
    limit, prefill = _capacity(case), _prefill_rate(case, prompt_s)
    unloaded_s = _first_token_constant_s(case) + prompt_s
    batch = np.minimum(concurrency / pool.count, limit)
    for _ in range(ITERATIONS):
        decoding_s = (
            points.output_tokens * np.asarray(sum(_decode_terms(case, batch).values())) / points.tokens_per_step
        )
        rate = np.minimum(concurrency / (unloaded_s + decoding_s), prefill)
        batch = (batch + np.clip(rate * decoding_s / pool.count, 1e-3, limit)) / 2
    return np.asarray(batch)


def _disaggregated_first_token_s(case: _Case, batch: Column, prompt_s: Column, tpot_s: Column) -> Column:
    """Return what remains of a request's time by Little's law, at least the time without any queue."""
    points = case.points
    decoding_s = np.maximum(points.output_tokens, 1.0) * tpot_s  # an isolated pool may state no answer's length
    rate = batch * case.pool.count / decoding_s
    concurrency = np.where(np.isfinite(points.concurrency), points.concurrency, batch * case.pool.count)
    return np.asarray(np.maximum(concurrency / rate - decoding_s, _first_token_constant_s(case) + prompt_s))


PROTOTYPE = Form("prototype", PARAMETERS, saturated(predict))
