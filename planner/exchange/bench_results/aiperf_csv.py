"""AIPerf's `profile_export` CSV: a table of percentiles, then single figures, then GPUs."""

from __future__ import annotations

import csv
import io

from planner.exchange.bench_results.point import NAN, BenchPoint

HEADER = "Metric,avg,min,max"


def is_aiperf(text: str) -> bool:
    """Whether the text starts with AIPerf's table of percentiles."""
    return text.lstrip("\ufeff").startswith(HEADER)


def read_aiperf(text: str) -> BenchPoint:
    """Read the averages and the single figures. Output lengths are those generated, not those asked for."""
    means: dict[str, float] = {}
    for line in csv.reader(io.StringIO(text)):
        if len(line) >= 2 and line[0] not in ("Metric", "Endpoint"):
            means.setdefault(line[0].strip(), _number(line[1]))
    get = means.get
    output = get("Output Sequence Length (tokens)", NAN)
    mismatch = get("OSL Mismatch Diff % (%)", NAN)
    return BenchPoint(
        tool="aiperf",
        completed=get("Request Count", NAN),
        duration_s=get("Benchmark Duration (sec)", NAN),
        requests_per_s=get("Request Throughput (requests/sec)", NAN),
        input_tokens=get("Input Sequence Length (tokens)", NAN),
        output_tokens=output,
        asked_output_tokens=output / (1 + mismatch / 100) if mismatch > -100 else NAN,
        output_tok_s=get("Output Token Throughput (tokens/sec)", NAN),
        ttft_s=get("Time to First Token (ms)", NAN) / 1e3,
        tpot_s=get("Inter Token Latency (ms)", NAN) / 1e3,
        e2e_s=get("Request Latency (ms)", NAN) / 1e3,
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return NAN
