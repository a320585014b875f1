"""What a report leaves out but implies, and what in it cannot be: the same rules for every tool."""

from __future__ import annotations

import math
from dataclasses import replace

from planner.errors import InstanceError, Problem
from planner.exchange.bench_results.point import NAN, BenchPoint
from planner.exchange.measured.plausible import NOT_STREAMED_SHARE, NOT_STREAMED_TOKENS

LENGTH_DIFFERS = 0.1
"""Share by which measured lengths may miss those asked for before that is said."""
SERVED_SHARE = 1.2
"""More requests a second than offered, beyond what a short run explains: not the run that the label says."""
UNSERVED_SHARE = 0.95


def derived(point: BenchPoint, file: str) -> BenchPoint:
    """Fill in figures that follow from others, each with a note, and refuse a report that contradicts itself.

    Raises
    ------
    InstanceError
        If tokens took no time, or more requests a second were served than were offered.
    """
    notes = list(point.notes)
    point = _rates(point)
    problems = _contradictions(point, file)
    if problems:
        raise InstanceError(problems)
    if point.requests_per_s < UNSERVED_SHARE * point.offered_per_s < math.inf:
        notes.append(f"{point.requests_per_s:.3g} of {point.offered_per_s:.3g} requests a second served")
    point = _latencies(point, notes)
    point = _not_streamed(point, notes)
    if abs(point.output_tokens / point.asked_output_tokens - 1) > LENGTH_DIFFERS:
        notes.append(f"{point.output_tokens:.1f} output tokens measured, {point.asked_output_tokens:g} asked for")
    return replace(point, notes=tuple(notes))


def _contradictions(point: BenchPoint, file: str) -> list[Problem]:
    found = []
    if point.tpot_s <= 0 or (math.isnan(point.tpot_s) and point.e2e_s <= 0):
        message = f"time per output token is {1e3 * point.tpot_s:g} ms: tokens arrived in one piece, not streamed"
        found.append(Problem(file, "TPOT", message, "stream the answers and measure again"))
    if point.requests_per_s > SERVED_SHARE * point.offered_per_s:
        message = f"serves {point.requests_per_s:g} requests a second of {point.offered_per_s:g} offered"
        found.append(Problem(file, "request rate", message, "give the result of one run, with its own rate"))
    return found


def _rates(point: BenchPoint) -> BenchPoint:
    requests = point.requests_per_s
    if math.isnan(requests):
        requests = point.completed / point.duration_s if point.duration_s else NAN
    tokens = point.output_tokens
    if math.isnan(tokens):
        tokens = point.output_tok_s / requests if requests else NAN
    output = point.output_tok_s
    if math.isnan(output):
        output = requests * tokens
    return replace(point, requests_per_s=requests, output_tokens=tokens, output_tok_s=output)


def _latencies(point: BenchPoint, notes: list[str]) -> BenchPoint:
    """Time per output token from the end-to-end time, or that from the other two."""
    after_first = max(point.output_tokens - 1.0, 1.0)
    if math.isnan(point.tpot_s) and math.isfinite(point.e2e_s - point.ttft_s):
        notes.append("TPOT from the end-to-end time less TTFT")
        return replace(point, tpot_s=(point.e2e_s - point.ttft_s) / after_first)
    if math.isnan(point.e2e_s) and math.isfinite(point.tpot_s + point.ttft_s):
        return replace(point, e2e_s=point.ttft_s + point.tpot_s * after_first)
    return point


def _not_streamed(point: BenchPoint, notes: list[str]) -> BenchPoint:
    """Reject a TTFT that is the whole latency (modelscope/evalscope issues 413 and 407): TPOT means nothing then."""
    if point.output_tokens > NOT_STREAMED_TOKENS and point.ttft_s > NOT_STREAMED_SHARE * point.e2e_s:
        notes.append("TTFT rejected: it is the whole latency, so answers were not streamed")
        return replace(point, ttft_s=NAN, tpot_s=NAN)
    return point
