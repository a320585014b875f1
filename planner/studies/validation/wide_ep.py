"""Published wide expert-parallel decode runs, each under every reading that its source allows.

A source may state requests in flight, throughput and time per token that do not agree by Little's law (DeepSeek's
EP144: 128 a GPU, 1,850 tok/s/GPU, 47.6 ms), or leave the batch or the accepted tokens of a step open. A reading fixes
them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.points import DECODE
from planner.exchange.measured.parse import WIDE_GPUS
from planner.exchange.measured.row import NAN, Measured, MeasuredRow, points_of
from planner.studies.validation.splits import generation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.costs.points import Predictions, ServingPoints

    Answer = Callable[[ServingPoints], Predictions]

AGREE = 0.1
AS_STATED, BY_LITTLE, ASSUMED = "as stated", "batch from throughput and time per token", "assumed"
MTP_TOKENS_PER_STEP = 1.8
"""DeepSeek-V3 technical report, section 5.4.3: 85-90 % of second tokens are accepted, 1.8 times the tokens a second."""
SIMULATED_TOKENS_PER_STEP = 1.6
"""SGLang's simulated MTP accepts 60 % (row M0012 of measured_serving.csv states it, its sister M0013 does not)."""
SISTER_BATCH_PER_GPU = {"gb200_nvl72": 768.0}
"""Batch of SGLang's GB200 runs where a row states none: the smaller of the two that the post names (row M0016)."""
SISTER_DATE = "2025-09-25"


@dataclass(frozen=True)
class Reading:
    """A row with its open figures fixed, and in which way."""

    row: MeasuredRow
    label: str


def wide_readings(measured: Measured) -> list[Reading]:
    """List the readings of every isolated decode pool on at least 16 GPUs, rows with an open figure included."""
    pools = [row for row in (*measured.rows, *measured.open) if row.phase == DECODE and row.gpus >= WIDE_GPUS]
    found = [reading for row in sorted(pools, key=lambda row: row.identity) for reading in _readings(row)]
    return [Reading(_with_bf16_cache(reading.row), reading.label) for reading in found]


def _readings(row: MeasuredRow) -> list[Reading]:
    found = []
    label = AS_STATED
    if math.isnan(row.tokens_per_step):
        tokens = SIMULATED_TOKENS_PER_STEP if "simulated" in row.mode else MTP_TOKENS_PER_STEP
        row, label = replace(row, tokens_per_step=tokens), f"as stated, {tokens} tokens a step {ASSUMED}"
    if math.isnan(row.concurrency):
        batch = SISTER_BATCH_PER_GPU.get(row.accelerator.name)
        if batch is None or row.date != SISTER_DATE:
            return []
        row, label = replace(row, concurrency=batch * row.gpus), f"{batch:g} a GPU {ASSUMED}"
    found.append(Reading(row, label))
    little = row.tok_s_per_gpu * row.tpot_s * row.gpus
    if math.isfinite(little) and abs(little / row.concurrency - 1.0) > AGREE:
        found.append(Reading(replace(row, concurrency=little, tokens_per_step=1.0), BY_LITTLE))
    return found


def _with_bf16_cache(row: MeasuredRow) -> MeasuredRow:
    """Hopper pools keep MLA's latent in bf16 (DeepSeek's overview: core attention in BF16; SGLang's posts likewise)."""
    if generation_of(row.accelerator.name) != "hopper" or row.model.attention.kind != "mla":
        return row
    return replace(row, model=row.model.model_copy(update={"kv_format": "bf16"}))


def wide_document(measured: Measured, answer: Answer) -> list[dict[str, Any]]:
    """JSON of all readings: what was measured, what is predicted, and the error of throughput and of TPOT."""
    readings = wide_readings(measured)
    if not readings:
        return []
    predicted = answer(points_of([reading.row for reading in readings]))
    return [
        _entry(reading, float(predicted.tok_s_per_gpu[place]), float(predicted.tpot_s[place]))
        for place, reading in enumerate(readings)
    ]


def _entry(reading: Reading, throughput: float, tpot_s: float) -> dict[str, Any]:
    row = reading.row
    return {
        "id": row.identity,
        "group": row.group,
        "expert_parallel": row.shape.expert,
        "reading": reading.label,
        "batch_per_gpu": row.concurrency / row.gpus,
        "tokens_per_step": row.tokens_per_step,
        "measured_tok_s_per_gpu": row.tok_s_per_gpu,
        "predicted_tok_s_per_gpu": throughput,
        "error_throughput": throughput / row.tok_s_per_gpu - 1.0,
        "measured_tpot_s": row.tpot_s,
        "predicted_tpot_s": tpot_s,
        "error_tpot": tpot_s / row.tpot_s - 1.0 if np.isfinite(row.tpot_s) else NAN,
    }
