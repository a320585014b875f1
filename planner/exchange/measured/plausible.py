"""Rows that cannot be true: wrong units, swapped columns, faster than the data sheet, not streamed.

Rules look at one row, its model's size and its accelerator's data sheet, never at a cost model's answer.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from planner.costs.points import AGGREGATED, DISAGGREGATED, PREFILL
from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from planner.exchange.measured.row import MeasuredRow
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

CONSISTENT = 0.25
"""Relative difference between stated and implied throughput that ramp-up and medians explain. The 2,940 InferenceX rows
agree to 1.4 %; a swapped column or a wrong unit is off by a factor."""
DATA_SHEET_SLACK = 0.95
"""A row is impossible below this share of the floor: data sheets are rounded."""
NOT_STREAMED_SHARE, NOT_STREAMED_TOKENS = 0.9, 10
"""First token later than this share of the whole request, with more output tokens than that: the answer came in one
piece (modelscope/evalscope issues 413 and 407: TTFT 30 s of 32.08 s)."""

LARGEST_TPOT_S = 0.5
"""A TPOT without a TTFT beside it is taken for seconds only if that makes it no longer than this."""
SURELY = 0.02
"""Throughput that was derived from the other columns agrees to 1.4 %; beyond this another reading is asked for."""
LENGTHS_IN_NAME = re.compile(r"_(\d+)x(\d+)_c")

SWAPPED_LATENCIES = "ttft_ms and tpot_ms look swapped"
SWAPPED_LENGTHS = "isl and osl look swapped: throughput fits the other way round"
OTHER_LENGTHS = "isl and osl differ from the lengths in the source's own name"
TPOT_SECONDS = "tpot_ms looks like seconds"
TTFT_SECONDS = "ttft_ms looks like seconds"
BOTH_SECONDS = "ttft_ms and tpot_ms look like seconds"
BOTH_MICROSECONDS = "ttft_ms and tpot_ms look like microseconds"
TPOT_MICROSECONDS = "tpot_ms looks like microseconds"
TTFT_BELOW_TPOT = "ttft_ms below tpot_ms: swapped, or TTFT in seconds"
CONTRADICTION = "throughput contradicts concurrency and latency"
IMPOSSIBLE_TPOT = "impossible: TPOT faster than the accelerator can read the weights"
IMPOSSIBLE_TTFT = "impossible: TTFT faster than the accelerator can compute the prompt"
IMPOSSIBLE_RATE = "impossible: throughput above the accelerator's peak"
NOT_STREAMED = "not streamed: TTFT is the whole latency"


def implausible(row: MeasuredRow) -> str | None:
    """Return why a row cannot be true, or None."""
    return _other_lengths(row) or _wrong_columns(row) or _too_fast(row) or _not_streamed(row)


def _other_lengths(row: MeasuredRow) -> str | None:
    stated = LENGTHS_IN_NAME.search(row.source)
    if stated and (float(stated.group(1)), float(stated.group(2))) != (row.input_tokens, row.output_tokens):
        return OTHER_LENGTHS
    return None


def _wrong_columns(row: MeasuredRow) -> str | None:
    if row.phase not in (AGGREGATED, DISAGGREGATED) or not math.isfinite(row.concurrency):
        return None
    stated = row.tok_s_per_gpu * row.gpus
    if not math.isnan(row.total_tok_s) and not math.isnan(stated) and not _close(row.total_tok_s, stated):
        return "throughput per GPU contradicts total throughput"
    first, next_one, inputs, outputs = row.ttft_s, row.tpot_s, row.input_tokens, row.output_tokens
    if math.isnan(next_one):
        return None
    if math.isnan(first):
        return _without_first_token(row, stated)
    if not math.isnan(stated) and not _fits(row, stated, first, next_one, outputs):
        return _explanation(row, stated, first, next_one, inputs, outputs)
    if _only_swapped_lengths_fit(row, stated):
        return SWAPPED_LENGTHS
    if first < next_one:
        return TTFT_SECONDS if not math.isnan(stated) else TTFT_BELOW_TPOT
    return None


def _only_swapped_lengths_fit(row: MeasuredRow, stated: float) -> bool:
    """Throughput hardly depends on the length of the answer, so a derived one must fit well before it says anything."""
    as_read = _implied(row, row.ttft_s, row.tpot_s, row.output_tokens)
    swapped = _implied(row, row.ttft_s, row.tpot_s, row.input_tokens)
    return abs(as_read / stated - 1) > SURELY and abs(swapped / stated - 1) < SURELY / 4


def _explanation(
    row: MeasuredRow, stated: float, first: float, next_one: float, inputs: float, outputs: float
) -> str | None:
    """Find the one change of columns that makes the stated throughput fit."""
    if first < next_one and _fits(row, stated, next_one, first, outputs):
        return SWAPPED_LATENCIES
    readings = (
        (first, 1e3 * next_one, TPOT_SECONDS),
        (1e3 * first, 1e3 * next_one, BOTH_SECONDS),
        (first, 1e-3 * next_one, TPOT_MICROSECONDS),
        (1e-3 * first, 1e-3 * next_one, BOTH_MICROSECONDS),
    )
    # the larger first token explains little, so the readings that keep it in order come first
    for one, other, reason in sorted(readings, key=lambda reading: reading[0] < reading[1]):
        if _fits(row, stated, one, other, outputs):
            return reason
    if inputs != outputs and _fits(row, stated, first, next_one, inputs):
        return SWAPPED_LENGTHS
    return CONTRADICTION


def _fits(row: MeasuredRow, stated: float, first: float, next_one: float, outputs: float) -> bool:
    return _close(_implied(row, first, next_one, outputs), stated)


def _implied(row: MeasuredRow, first: float, next_one: float, outputs: float) -> float:
    """Tokens a second of all requests in flight by Little's law."""
    return row.concurrency * outputs / (first + next_one * max(outputs - 1.0, 0.0))


def _close(one: float, other: float) -> bool:
    return abs(one / other - 1.0) <= CONSISTENT if other else False


def _without_first_token(row: MeasuredRow, stated: float) -> str | None:
    """Only the order of magnitude can be checked: a request cannot pass its own tokens, and rarely waits most of it."""
    if math.isnan(stated):
        return None
    implied = row.concurrency / row.tpot_s
    return None if implied / 3.0 <= stated <= implied * (1.0 + CONSISTENT) else CONTRADICTION


def _too_fast(row: MeasuredRow) -> str | None:
    floor = tpot_floor_s(row)
    if row.tpot_s < DATA_SHEET_SLACK * floor:
        latest = LARGEST_TPOT_S if math.isnan(row.ttft_s) else max(row.ttft_s, 1e3 * row.ttft_s * (row.ttft_s < floor))
        return TPOT_SECONDS if floor <= 1e3 * row.tpot_s <= latest else IMPOSSIBLE_TPOT
    first = ttft_floor_s(row)
    if row.ttft_s < DATA_SHEET_SLACK * first:
        return TTFT_SECONDS if 1e3 * row.ttft_s >= first and row.ttft_s < row.tpot_s else IMPOSSIBLE_TTFT
    flop = 2.0 * active_weights(row.model)
    rate = row.input_tok_s_per_gpu * (1.0 - row.cached_share) if row.phase == PREFILL else row.tok_s_per_gpu
    if rate * flop * DATA_SHEET_SLACK > peak_flop_per_s(row.model, row.accelerator):
        return IMPOSSIBLE_RATE
    return None


def _not_streamed(row: MeasuredRow) -> str | None:
    whole = row.seconds_per_request
    if row.output_tokens > NOT_STREAMED_TOKENS and row.ttft_s > NOT_STREAMED_SHARE * whole:
        return NOT_STREAMED
    return None


def tpot_floor_s(row: MeasuredRow) -> float:
    """Least time [s] per output token: one sequence's weights read at the data sheet's rate, or its FLOP at the peak.

    All GPUs of a worker share the work perfectly and every token picks the same experts, so no real step is faster.
    """
    if row.phase == PREFILL or math.isnan(row.tpot_s):
        return 0.0
    worker = row.shape.tensor * row.shape.data * row.shape.pipeline
    read = active_bytes(row.model) / (worker * row.accelerator.hbm_bytes_per_s)
    sequences = row.concurrency / row.shape.count if math.isfinite(row.concurrency) else 1.0
    compute = 2.0 * active_weights(row.model) * sequences / (worker * peak_flop_per_s(row.model, row.accelerator))
    return max(read / row.tokens_per_step, compute)


def ttft_floor_s(row: MeasuredRow) -> float:
    """Least time [s] to a first token: the prompt's FLOP at the peak of one prefill worker."""
    if row.phase not in (AGGREGATED, DISAGGREGATED):
        return 0.0
    shape = row.prefill_shape
    worker = shape.tensor * shape.data * shape.pipeline
    tokens = row.input_tokens * (1.0 - row.cached_share)
    return 2.0 * active_weights(row.model) * tokens / (worker * peak_flop_per_s(row.model, row.accelerator))


def active_weights(model: MoeModel) -> float:
    """Weights a token passes through, embeddings and head left out."""
    return sum(weights for weights, _ in _parts(model))


def active_bytes(model: MoeModel) -> float:
    """Bytes of :func:`active_weights` in their storage formats."""
    return sum(weights * PRECISION_BYTES[precision] for weights, precision in _parts(model))


def peak_flop_per_s(model: MoeModel, accelerator: Accelerator) -> float:
    """Fastest arithmetic [FLOP/s] that any part of the model may use."""
    return max(accelerator.peak_flop_per_s(precision) for _, precision in _parts(model))


def _parts(model: MoeModel) -> tuple[tuple[float, str], ...]:
    moe = float(model.moe_layers)
    weights = model.weights
    return (
        (float(model.layers * model.attention_params), weights.attention),
        (float(model.dense_layers * model.dense_ffn_params) + moe * model.shared_params, weights.dense_ffn),
        (moe * model.experts_per_token * model.expert_params, weights.routed_experts),
    )
