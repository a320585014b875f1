"""Reports in JSON: vLLM `bench serve --save-result`, SGLang `bench_serving` lines, InferenceX."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from planner.exchange.bench_results.point import NAN, BenchPoint

if TYPE_CHECKING:
    from collections.abc import Mapping

LATENCIES = {"ttft": ("ttft",), "tpot": ("tpot",), "e2e": ("e2el", "e2e_latency")}
COUNT_PREFIX = "x"


def is_report(entry: object) -> bool:
    """Whether an object has the keys that all these tools write."""
    return isinstance(entry, dict) and {"duration", "completed", "total_output_tokens"} <= set(entry)


def read_report(entry: Mapping[str, Any]) -> BenchPoint:
    """Read one object. Keys that end in ``_ms`` are milliseconds; the same keys without are SECONDS (InferenceX)."""
    completed = _number(entry, "completed")
    latencies, statistic = _latencies(entry)
    gpus, hardware = _hardware(str(entry.get("gpu", "")))
    return BenchPoint(
        tool=_tool(entry),
        model=str(entry.get("model_id") or entry.get("model") or ""),
        hardware=hardware,
        gpus=gpus,
        completed=completed,
        duration_s=_number(entry, "duration"),
        offered_per_s=_number(entry, "request_rate"),
        requests_per_s=_number(entry, "request_throughput"),
        max_concurrency=_number(entry, "max_concurrency"),
        input_tokens=_number(entry, "total_input_tokens") / completed if completed else NAN,
        output_tokens=_number(entry, "total_output_tokens") / completed if completed else NAN,
        asked_output_tokens=_asked(entry),
        output_tok_s=_number(entry, "output_throughput"),
        ttft_s=latencies["ttft"],
        tpot_s=latencies["tpot"],
        e2e_s=latencies["e2e"],
        latency_statistic=statistic,
        notes=_notes(entry),
    )


def _asked(entry: Mapping[str, Any]) -> float:
    return _first(_number(entry, "output_len"), _asked_random(entry))


def _asked_random(entry: Mapping[str, Any]) -> float:
    return _number(entry, "random_output_len") if entry.get("dataset_name") == "random" else NAN


def _notes(entry: Mapping[str, Any]) -> tuple[str, ...]:
    retokenised = _number(entry, "total_output_tokens_retokenized")
    counted = _number(entry, "total_output_tokens")
    if abs(retokenised / counted - 1) > 0.1 if counted else False:
        return (f"retokenised output is {retokenised / counted:.2f} of what was counted",)
    return ()


def _latencies(entry: Mapping[str, Any]) -> tuple[dict[str, float], str]:
    """Means where there are any, else medians; a run is described by one statistic where it can be."""
    found = dict.fromkeys(LATENCIES, NAN)
    statistic = "mean"
    for name, keys in LATENCIES.items():
        for kind in ("mean", "median"):
            value = _first(*(_seconds(entry, f"{kind}_{key}") for key in keys))
            if math.isfinite(value):
                found[name] = value
                statistic = statistic if kind == "mean" else "median where no mean is given"
                break
    return found, statistic


def _seconds(entry: Mapping[str, Any], key: str) -> float:
    return _first(_number(entry, f"{key}_ms") / 1e3, _number(entry, key))


def _first(*values: float) -> float:
    return next((value for value in values if not math.isnan(value)), NAN)


def _number(entry: Mapping[str, Any], key: str) -> float:
    value = entry.get(key)
    if isinstance(value, bool) or value is None:
        return NAN
    try:
        return float(value)
    except (TypeError, ValueError):
        return NAN


def _hardware(text: str) -> tuple[int | None, str]:
    """Count and name of ``4xNVIDIA_L40S``."""
    count, _, name = text.partition(COUNT_PREFIX)
    if count.isdigit() and name:
        return int(count), name.replace("_", " ")
    return None, text.replace("_", " ")


def _tool(entry: Mapping[str, Any]) -> str:
    backend = str(entry.get("backend", ""))
    return backend or ("inferencex" if "median_ttft" in entry or "mean_ttft" in entry else "bench serve")
