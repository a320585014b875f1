"""The report that trtllm-bench prints."""

from __future__ import annotations

import math
import re

from planner.exchange.bench_results.point import NAN, BenchPoint

HEADING = "PERFORMANCE OVERVIEW"
ALL_AT_ONCE_PER_S = 1e9
"""Issue rates above this (1.4E+17) stand for all requests at once."""
LINE = re.compile(r"^([A-Za-z][^:\n]*?)\s*:\s+(\S+)\s*$", re.M)
LENGTHS = re.compile(r"^AVG:\s+(\S+)\s+(\S+)\s+(\S+)\s*$", re.M)


def is_trtllm(text: str) -> bool:
    """Whether the text is such a report."""
    return HEADING in text and "Request Throughput (req/sec)" in text


def read_trtllm(text: str) -> BenchPoint:
    """Read the report; lengths come from the table of sequence lengths, else from the two token throughputs."""
    figures = dict(LINE.findall(text))
    requests, output = _number(figures, "Request Throughput (req/sec)"), _number(figures, _total_output(figures))
    both = _number(figures, "Total Token Throughput (tokens/sec)")
    per_gpu = _number(figures, "Per GPU Output Throughput (tokens/sec/gpu)", "Per GPU Output Throughput (tps/gpu)")
    lengths = LENGTHS.search(text)
    issue = _number(figures, "Issue Rate (req/sec)")
    return BenchPoint(
        tool="trtllm-bench",
        model=figures.get("Model", ""),
        gpus=round(output / per_gpu) if per_gpu else None,
        offered_per_s=math.inf if issue > ALL_AT_ONCE_PER_S else issue,
        requests_per_s=requests,
        max_concurrency=_number(figures, "Max Concurrency", "Concurrency"),
        input_tokens=float(lengths.group(1)) if lengths else (both - output) / requests,
        output_tokens=float(lengths.group(2)) if lengths else output / requests,
        output_tok_s=output,
        ttft_s=_number(figures, "Average time-to-first-token [TTFT] (ms)") / 1e3,
        tpot_s=_tpot_s(figures),
        e2e_s=_number(figures, "Average request latency (ms)") / 1e3,
        tensor_parallel=_width(figures, "TP Size"),
        pipeline_parallel=_width(figures, "PP Size"),
        expert_parallel=_width(figures, "EP Size"),
        notes=_notes(figures),
    )


def _total_output(figures: dict[str, str]) -> str:
    return next((key for key in figures if key.startswith("Total Output Throughput")), "")


def _tpot_s(figures: dict[str, str]) -> float:
    """Stated where the run streamed, else one over the tokens per second that a user sees."""
    stated = _number(figures, "Average time-per-output-token [TPOT] (ms)") / 1e3
    per_user = _number(figures, *(key for key in figures if key.startswith("Per User Output Throughput")))
    return stated if math.isfinite(stated) else 1.0 / per_user if per_user else NAN


def _notes(figures: dict[str, str]) -> tuple[str, ...]:
    streamed = "Average time-per-output-token [TPOT] (ms)" in figures
    return () if streamed else ("TPOT from tokens a second of one user, first token included",)


def _width(figures: dict[str, str], key: str) -> int | None:
    """Width; ``None`` in the report is the tool's own default and leaves it open."""
    value = figures.get(key, "")
    return int(value) if value.isdigit() else None


def _number(figures: dict[str, str], *keys: str) -> float:
    for key in keys:
        try:
            return float(figures[key].replace(",", ""))
        except (KeyError, ValueError):
            continue
    return NAN
