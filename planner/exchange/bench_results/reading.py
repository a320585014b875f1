"""Read a benchmark tool's own result, whichever tool wrote it, and join it with the deployment it was run on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.costs.points import AGGREGATED
from planner.errors import InstanceError, Problem
from planner.exchange.bench_results.aiperf_csv import is_aiperf, read_aiperf
from planner.exchange.bench_results.console import is_console, read_console
from planner.exchange.bench_results.derive import derived
from planner.exchange.bench_results.keyed import is_report, read_report
from planner.exchange.bench_results.trtllm_text import is_trtllm, read_trtllm
from planner.exchange.measured.plausible import active_bytes, implausible
from planner.exchange.measured.row import Measured, MeasuredRow, Shape
from planner.instance.aliases import model_of_name
from planner.instance.library import names
from planner.instance.loading import load_accelerator

if TYPE_CHECKING:
    from pathlib import Path

    from planner.exchange.bench_results.point import BenchPoint
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

LARGEST_FILE_BYTES = 100_000_000


@dataclass(frozen=True)
class Deployment:
    """What a result does not say: where it was measured."""

    model: MoeModel
    accelerator: Accelerator
    engine: str
    shape: Shape
    precision: str = ""


def read_bench_result(path: Path) -> list[BenchPoint]:
    """Read every run of a file: vLLM or InferenceX JSON, SGLang JSON lines, a console block, trtllm-bench, AIPerf CSV.

    Raises
    ------
    InstanceError
        If the file is none of these, or a run contradicts itself or the fastest hardware listed; all at once.
    """
    text = _text(path)
    points: list[BenchPoint] = []
    problems: list[Problem] = []
    for point in _raw_points(text, path):
        try:
            whole = derived(point, str(path))
            _refuse_impossible(whole, str(path))
            points.append(whole)
        except InstanceError as error:
            problems.extend(error.problems)
    if problems:
        raise InstanceError(problems)
    return points


def is_bench_result(path: Path) -> bool:
    """Whether a file looks like a tool's result rather than a table of measured rows; an unreadable one does not."""
    try:
        text = _text(path)
    except InstanceError:
        return False
    return is_aiperf(text) or is_trtllm(text) or is_console(text) or text.lstrip()[:1] in ("{", "[")


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InstanceError.single(str(path), "", "is larger than 100 MB", "give the summary of a run")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise InstanceError.single(str(path), "", "is not UTF-8 text", "give a benchmark tool's result") from error


def _raw_points(text: str, path: Path) -> list[BenchPoint]:
    if is_aiperf(text):
        return [read_aiperf(text)]
    if is_trtllm(text):
        return [read_trtllm(text)]
    if is_console(text):
        return read_console(text)
    entries = _json_entries(text)
    if entries and all(is_report(entry) for entry in entries):
        return [read_report(entry) for entry in entries if isinstance(entry, dict)]
    known = "vLLM or InferenceX JSON, SGLang JSON lines, a 'Serving Benchmark Result' block, trtllm-bench, AIPerf CSV"
    raise InstanceError.single(str(path), "", "is no benchmark result that can be read", f"give {known}")


def _json_entries(text: str) -> list[object]:
    """List the objects of one JSON document or of JSON lines; empty where it is neither."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            return []
    return document if isinstance(document, list) else [document]


def _refuse_impossible(point: BenchPoint, file: str) -> None:
    """Refuse a run that no hardware listed could do: one token's weights read faster than all of its memory allows."""
    model = model_of_name(point.model) if point.model else None
    if model is None or math.isnan(point.tpot_s):
        return
    fastest = max(load_accelerator(name).hbm_bytes_per_s for name in names("hardware"))
    gpus = point.gpus or model.attention.heads  # no engine cuts one token's weights further than by heads
    floor_s = active_bytes(model) / (gpus * fastest)
    if point.tpot_s < floor_s:
        needed = active_bytes(model) / point.tpot_s
        message = f"TPOT {1e3 * point.tpot_s:.3g} ms would need {needed:.2g} B/s for the weights of {model.name}"
        raise InstanceError.single(file, "TPOT", message, "no hardware listed is that fast: check the units")


def measured_of(points: list[BenchPoint], deployment: Deployment, file: str) -> Measured:
    """Rows of runs on one deployment; what cannot be true there is left out with its reason."""
    rows = [_row(point, deployment, f"{point.tool} {place}") for place, point in enumerate(points, start=1)]
    measured = Measured(file, tuple(rows))
    return measured.without([_reason(row) for row in rows])


def _reason(row: MeasuredRow) -> str | None:
    if math.isnan(row.concurrency):
        return "requests in flight not known: neither a concurrency nor an end-to-end time"
    if math.isnan(row.tpot_s) and math.isnan(row.tok_s_per_gpu):
        return "no latency and no throughput"
    return implausible(row)


def _row(point: BenchPoint, deployment: Deployment, identity: str) -> MeasuredRow:
    gpus = deployment.shape.gpus
    return MeasuredRow(
        identity=identity,
        model=deployment.model,
        accelerator=deployment.accelerator,
        engine=deployment.engine,
        phase=AGGREGATED,
        shape=deployment.shape,
        prefill_shape=deployment.shape,
        gpus=gpus,
        concurrency=point.in_flight,
        input_tokens=point.input_tokens,
        output_tokens=point.output_tokens,
        ttft_s=point.ttft_s,
        tpot_s=point.tpot_s,
        tok_s_per_gpu=point.output_tok_s / gpus,
        precision=deployment.precision,
        notes="; ".join(point.notes),
    )
