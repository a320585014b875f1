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
from planner.exchange.measured.row import NAN, MeasuredRow, points_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.costs.points import Predictions, ServingPoints

    Answer = Callable[[ServingPoints], Predictions]

WIDE_GPUS = 16
AGREE = 0.1
AS_STATED, BY_LITTLE = "as stated", "batch from throughput and time per token"
MTP_TOKENS_PER_STEP = 1.8
"""DeepSeek-V3 technical report, section 5.4.3: the second token is accepted 85-90 % of the time; in decode with one
extra token that is 1.8 tokens a second step (they state 1.8 times the tokens per second)."""


@dataclass(frozen=True)
class Reading:
    """A row with its open figures fixed, and in which way."""

    row: MeasuredRow
    label: str


def wide_readings(rows: Sequence[MeasuredRow]) -> list[Reading]:
    """List the readings of every isolated decode pool on at least 16 GPUs."""
    found: list[Reading] = []
    for row in rows:
        if row.phase != DECODE or row.gpus < WIDE_GPUS:
            continue
        found.append(Reading(row, AS_STATED))
        little = row.tok_s_per_gpu * row.tpot_s * row.gpus
        if math.isfinite(little) and abs(little / row.concurrency - 1.0) > AGREE:
            found.append(Reading(replace(row, concurrency=little, tokens_per_step=1.0), BY_LITTLE))
    return found


def wide_document(rows: Sequence[MeasuredRow], answer: Answer) -> list[dict[str, Any]]:
    """JSON of all readings: what was measured, what is predicted, and the error of throughput and of TPOT."""
    readings = wide_readings(rows)
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
