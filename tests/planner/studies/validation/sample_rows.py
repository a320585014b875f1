"""Measured rows made by hand for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.costs.points import AGGREGATED
from planner.exchange.measured.row import MeasuredRow, Shape
from planner.instance.loading import load_accelerator, load_model
from planner.instance.weights import with_weights


def row(identity: str = "r", **changes: Any) -> MeasuredRow:  # noqa: ANN401 - any field of a row
    """DeepSeek fp8 on 8 H200: 16 requests of 1024/1024, TTFT 500 ms, TPOT 14 ms, throughput by Little's law."""
    shape = changes.pop("shape", Shape(1, 8, 1, 1, 1, 8))
    base = MeasuredRow(
        identity=identity,
        model=with_weights(load_model("deepseek-v3"), "fp8"),
        accelerator=load_accelerator("h200"),
        engine="sglang",
        phase=AGGREGATED,
        shape=shape,
        prefill_shape=changes.pop("prefill_shape", shape),
        gpus=shape.gpus,
        concurrency=16.0,
        input_tokens=1024.0,
        output_tokens=1024.0,
        ttft_s=0.5,
        tpot_s=0.014,
        precision="fp8",
        engine_version="0.5.5",
        date="2026-01-01",
    )
    made = replace(base, **changes)
    if made.tok_s_per_gpu == made.tok_s_per_gpu:
        return made
    rate = made.concurrency * made.output_tokens / made.seconds_per_request / made.gpus
    return replace(made, tok_s_per_gpu=rate)
