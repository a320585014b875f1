"""One row of a table as a :class:`MeasuredRow`, or the reason why it is none."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.costs.points import AGGREGATED, DECODE, DISAGGREGATED, PREFILL
from planner.errors import InstanceError
from planner.exchange.measured.row import NAN, MeasuredRow, Shape, SkippedRow
from planner.exchange.measured.shapes import NO_SHAPE, one_pool, two_pools
from planner.exchange.measured.table import number
from planner.instance.aliases import hardware_candidates, hardware_of_name, model_candidates, model_of_name
from planner.instance.weights import with_weights

if TYPE_CHECKING:
    from collections import Counter

    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

LARGEST_COUNT = 1e9
WIDE_GPUS = 16
UNSTATED_PRECISION = "precision not stated: taken as bf16"
"""The runs that leave it out prefill at the bf16 rate (serving prototype 2026-11-25, section 7)."""
ALL_AT_ONCE = re.compile(r"_epnone(?:_|$)")
"""Mark of the gap-analysis runs in the source column: fixed lengths, all requests sent together."""
ACCEPTANCE = re.compile(r"(\d+(?:\.\d+)?) ?% acceptance", re.I)
SPECULATION = re.compile(r"(?<!no )\b(?:MTP|speculative|EAGLE|draft)", re.I)
NO_ACCEPTANCE = "speculative decoding, acceptance not stated"
_ENGINES = (("sglang", "sglang"), ("vllm", "vllm"), ("tensorrt", "trtllm"), ("trt", "trtllm"), ("sgl", "sglang"))
"""Part of a label's letters -> engine, first found first: ``NVIDIA Dynamo (vLLM)``, ``dynamo-trt``, ``TRT LLM``."""
WIDER_THAN_WORKER = "ep is wider than tp x dp"


def parse_row(cells: dict[str, str], position: int, notes: Counter[str]) -> MeasuredRow:
    """Read one row; assumptions about it are counted in ``notes``.

    Raises
    ------
    SkippedRow
        With the reason, if the row cannot be used.
    """
    identity = cells.get("id") or f"row {position}"
    if cells.get("_cells", "0") != "0":
        raise SkippedRow("number of cells is not that of the header")
    numbers = _numbers(cells)
    model, accelerator = _named(cells, notes)
    phase = _phase(cells)
    gpus = int(numbers["gpus"]) if numbers["gpus"] else None
    prefill, shape = _shapes(cells, numbers, phase, gpus, model)
    text = " ".join(cells.get(key, "") for key in ("mode", "parallelism", "notes", "quality"))
    latency = {key: value for key, value in numbers.items() if key in ("ttft_ms", "tpot_ms")}
    total = shape.gpus + (prefill.gpus if phase == DISAGGREGATED else 0)
    row = MeasuredRow(
        identity=identity,
        model=model,
        accelerator=accelerator,
        engine=engine_of(cells.get("engine", "")),
        phase=phase,
        shape=shape,
        prefill_shape=prefill,
        gpus=gpus or total,
        concurrency=_concurrency(cells, numbers, phase, shape),
        input_tokens=numbers["isl"] or NAN,
        output_tokens=numbers["osl"] or 0.0,
        ttft_s=_or_nan(latency["ttft_ms"]) / 1e3,
        tpot_s=_or_nan(latency["tpot_ms"]) / 1e3,
        tok_s_per_gpu=_or_nan(numbers["out_tok_s_per_gpu"]),
        input_tok_s_per_gpu=_or_nan(numbers["in_tok_s_per_gpu"]),
        cached_share=numbers["cached_share"] or 0.0,
        tokens_per_step=_tokens_per_step(numbers, text, phase),
        redundant_experts=int(numbers["redundant_experts"] or 0),
        imbalance=1.0 if re.search("perfect|forced|simulated balance", text, re.I) else NAN,
        fixed_length=bool(ALL_AT_ONCE.search(cells.get("source", ""))),
        overlapped=_overlapped(cells, phase, gpus or total),
        precision=cells.get("precision", ""),
        engine_version=cells.get("engine_version", ""),
        date=cells.get("date", ""),
        source=cells.get("source", ""),
        quality=cells.get("quality", ""),
        notes=cells.get("notes", ""),
        mode=cells.get("mode", ""),
        parallelism=cells.get("parallelism", ""),
        total_tok_s=_or_nan(numbers["total_out_tok_s"]),
    )
    row = _of_its_phase(row, notes)
    _check_measured(row)
    return row


def _of_its_phase(row: MeasuredRow, notes: Counter[str]) -> MeasuredRow:
    """Leave aside figures that a pool measured by itself does not have: its other phase ran elsewhere."""
    if row.phase == DECODE and not math.isnan(row.ttft_s):
        notes["TTFT of an isolated decode pool left aside"] += 1
        return replace(row, ttft_s=NAN)
    if row.phase == PREFILL and not math.isnan(row.tpot_s * row.ttft_s):
        notes["latencies of an isolated prefill pool left aside"] += 1
    if row.phase == PREFILL:
        return replace(row, ttft_s=NAN, tpot_s=NAN, tok_s_per_gpu=NAN)
    return row


def _numbers(cells: dict[str, str]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    positive = ("gpus", "isl", "ttft_ms", "tpot_ms", "out_tok_s_per_gpu", "in_tok_s_per_gpu")
    for key in (*positive, "osl", "batch_or_concurrency", "redundant_experts", "cached_share", "tokens_per_step",
                "total_out_tok_s", "tp", "pp", "attn_dp", "moe_tp", "ep"):  # fmt: skip
        try:
            value = number(cells, key)
        except ValueError:
            raise SkippedRow(f"{key} is not a number") from None
        if value is not None and not math.isfinite(value):
            raise SkippedRow(f"{key} is NaN or infinite")
        if value is not None and (value < 0 or (value == 0 and key in positive)):
            raise SkippedRow(f"{key} is {'negative' if value < 0 else 'zero'}")
        if value is not None and value > LARGEST_COUNT:
            raise SkippedRow(f"{key} is larger than anything measured")
        found[key] = value
    for key in ("gpus", "tp", "pp", "attn_dp", "moe_tp", "ep"):
        width = found[key]
        if width is not None and width != int(width):
            raise SkippedRow(f"{key} is not a whole number")
    return found


def _named(cells: dict[str, str], notes: Counter[str]) -> tuple[MoeModel, Accelerator]:
    model, accelerator = _model(cells.get("model", "")), hardware_of_name_cached(cells.get("hardware", ""))
    if model is None:
        raise SkippedRow(
            f"unknown model {cells.get('model') or '(empty)'}: add instances/models/...{_hint_model(cells)}"
        )
    if accelerator is None:
        named = cells.get("hardware") or "(empty)"
        close = hardware_candidates(named)
        hint = f" (close: {', '.join(close)})" if close else ""
        raise SkippedRow(f"unknown hardware {named}: add instances/hardware/...{hint}")
    label = cells.get("precision", "")
    if not label:
        notes[UNSTATED_PRECISION] += 1
    try:
        return _in_precision(cells.get("model", ""), label), accelerator
    except InstanceError:
        raise SkippedRow(f"unknown precision {label}") from None


def _hint_model(cells: dict[str, str]) -> str:
    close = model_candidates(cells.get("model", ""))
    return f" (close: {', '.join(close)})" if close else ""


@functools.cache
def _model(name: str) -> MoeModel | None:
    """Model of a name; ``deepseek-ai/DeepSeek-V3/R1`` names two checkpoints of one shape."""
    found = model_of_name(name) if name else None
    return model_of_name(name.rpartition("/")[0]) if found is None and name.count("/") > 1 else found


@functools.cache
def _in_precision(name: str, label: str) -> MoeModel:
    model = _model(name)
    assert model is not None
    return with_weights(model, label)


@functools.cache
def hardware_of_name_cached(name: str) -> Accelerator | None:
    """Accelerator of a name; None where it is unknown."""
    return hardware_of_name(name) if name else None


def engine_of(label: str) -> str:
    """One of the engines a profile tells apart, from a label such as ``SGLang 0.5.2``."""
    plain = re.sub(r"[^a-z]", "", label.lower())
    return next((engine for word, engine in _ENGINES if word in plain), "other")


def _phase(cells: dict[str, str]) -> int:
    stated, mode = cells.get("phase", "").lower(), cells.get("mode", "").lower()
    if stated in ("decode", "prefill"):
        return DECODE if stated == "decode" else PREFILL
    return DISAGGREGATED if mode.startswith("disagg") else AGGREGATED


def _shapes(
    cells: dict[str, str], numbers: dict[str, float | None], phase: int, gpus: int | None, model: MoeModel
) -> tuple[Shape, Shape]:
    text = cells.get("parallelism", "")
    if phase == DISAGGREGATED:
        pools = two_pools(text, gpus)
        _refuse_wide_experts(*pools)
        return pools
    widths = {key: int(value) if (value := numbers[key]) else None for key in ("tp", "pp", "attn_dp", "moe_tp", "ep")}
    shape = one_pool(widths, text, gpus, model)
    if gpus is not None and shape.gpus != gpus:
        raise SkippedRow("GPU count against tensor, data and pipeline widths")
    _refuse_wide_experts(shape)
    return shape, shape


def _refuse_wide_experts(*shapes: Shape) -> None:
    if any(shape.expert > shape.tensor * shape.data for shape in shapes):
        raise SkippedRow(WIDER_THAN_WORKER)


def _concurrency(cells: dict[str, str], numbers: dict[str, float | None], phase: int, shape: Shape) -> float:
    stated, scope = numbers["batch_or_concurrency"], cells.get("batch_scope", "").lower()
    if stated is None or stated == 0:
        if "offline" in cells.get("mode", "").lower() and phase == AGGREGATED:
            return math.inf
        return NAN
    if scope in ("", "total concurrency", "total"):
        return stated
    if scope == "per gpu":
        return stated * shape.gpus
    if scope == "tokens per gpu":
        if not numbers["isl"]:
            raise SkippedRow("isl not stated")
        return stated * shape.gpus / numbers["isl"]
    raise SkippedRow(f"scope of concurrency {scope!r} is unknown")


def _tokens_per_step(numbers: dict[str, float | None], text: str, phase: int) -> float:
    stated = numbers["tokens_per_step"]
    if stated:
        return max(stated, 1.0)
    accepted = ACCEPTANCE.search(text)
    if accepted:
        return 1.0 + float(accepted.group(1)) / 100
    return NAN if SPECULATION.search(text) and phase != PREFILL else 1.0


def _overlapped(cells: dict[str, str], phase: int, gpus: int) -> bool:
    """Whether two micro-batches interleave: as the row says; wide decode pools do where it says nothing.

    DeepSeek's overview and the SGLang posts describe it as part of wide expert parallelism, and name runs without it.
    """
    text = " ".join(cells.get(key, "") for key in ("mode", "parallelism"))
    if "no TBO" in text:
        return False
    stated = re.search(r"\bTBO\b|two micro-batches", text + cells.get("notes", ""))
    return bool(stated) or (phase == DECODE and gpus >= WIDE_GPUS)


def _or_nan(value: float | None) -> float:
    return NAN if value is None else value


def _check_measured(row: MeasuredRow) -> None:
    if math.isnan(row.concurrency):
        raise SkippedRow("concurrency not stated", row)
    if math.isnan(row.tokens_per_step):
        raise SkippedRow(NO_ACCEPTANCE, row)
    if math.isnan(row.input_tokens):
        raise SkippedRow("isl not stated")
    if row.output_tokens == 0 and row.phase in (AGGREGATED, DISAGGREGATED):
        raise SkippedRow("osl not stated")
    wanted = row.input_tok_s_per_gpu if row.phase == PREFILL else row.tok_s_per_gpu
    if math.isnan(wanted) and math.isnan(row.tpot_s) and math.isnan(row.ttft_s):
        raise SkippedRow("no latency and no throughput")


__all__ = ["NO_SHAPE", "engine_of", "hardware_of_name_cached", "parse_row"]
