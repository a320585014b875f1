"""The block that vLLM and SGLang print: ``Key:    value`` lines, whole or cut off at its end."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from planner.exchange.bench_results.point import NAN, BenchPoint

HEADING = "Serving Benchmark Result"
LINE = re.compile(r"^\s*([A-Za-z][^:\n]*):[ \t]+(\S+)[ \t]*$", re.M)
SECTION = re.compile(r"^=+ *Serving Benchmark Result *=+$", re.M)


def is_console(text: str) -> bool:
    """Whether the text holds at least one block."""
    return SECTION.search(text) is not None


def read_console(text: str) -> list[BenchPoint]:
    """Read every block of the text, in order."""
    places = [match.start() for match in SECTION.finditer(text)] + [len(text)]
    blocks = [text[start:end] for start, end in pairwise(places)]
    return [_point(dict(LINE.findall(block)), text[: places[0]]) for block in blocks]


def _point(figures: dict[str, str], before: str) -> BenchPoint:
    completed = _number(figures, "Successful requests")
    counted, retokenised = (
        _number(figures, key) for key in ("Total generated tokens", "Total generated tokens (retokenized)")
    )
    notes = []
    if counted and abs(retokenised / counted - 1) > 0.1:
        notes.append(f"retokenised output is {retokenised / counted:.2f} of what was counted")
    return BenchPoint(
        tool=figures.get("Backend", "vllm"),
        completed=completed,
        duration_s=_number(figures, "Benchmark duration (s)"),
        offered_per_s=_offered(figures, before),
        requests_per_s=_number(figures, "Request throughput (req/s)"),
        max_concurrency=_number(figures, "Max request concurrency", "Maximum request concurrency"),
        input_tokens=_number(figures, "Total input tokens") / completed if completed else NAN,
        output_tokens=counted / completed if completed else NAN,
        output_tok_s=_number(figures, "Output token throughput (tok/s)"),
        ttft_s=_number(figures, "Mean TTFT (ms)", "Median TTFT (ms)") / 1e3,
        tpot_s=_tpot_ms(figures) / 1e3,
        e2e_s=_number(figures, "Mean E2E Latency (ms)", "Median E2E Latency (ms)", "Mean E2EL (ms)") / 1e3,
        notes=tuple(notes),
    )


def _tpot_ms(figures: dict[str, str]) -> float:
    """Mean time per output token; 0 where its median says that most tokens took no time."""
    mean, median = _number(figures, "Mean TPOT (ms)"), _number(figures, "Median TPOT (ms)")
    return 0.0 if median <= 0 else mean


def _offered(figures: dict[str, str], before: str) -> float:
    stated = _number(figures, "Traffic request rate", "Request rate configured (RPS)")
    label = re.search(r"\bqps ?(\d+(?:\.\d+)?)\b", before)
    return float(label.group(1)) if math.isnan(stated) and label else stated


def _number(figures: dict[str, str], *keys: str) -> float:
    for key in keys:
        try:
            return float(figures[key].replace(",", ""))
        except (KeyError, ValueError):
            continue
    return NAN
