"""Measured rows from files of both kinds: tables of rows, and benchmark tools' own results with their deployment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem
from planner.exchange.bench_results.reading import Deployment, is_bench_result, measured_of, read_bench_result
from planner.exchange.measured.parse import engine_of
from planner.exchange.measured.row import Measured, Shape
from planner.exchange.measured_serving import read_measured_serving
from planner.studies.estimate import accelerator_named, model_named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Site:
    """What a benchmark tool's result does not say about the deployment; None: not given."""

    model: str | None = None
    hardware: str | None = None
    engine: str | None = None
    precision: str | None = None
    tensor_parallel: int = 1
    data_parallel: int = 1
    expert_parallel: int | None = None
    pipeline_parallel: int = 1


def read_inputs(paths: Sequence[Path], site: Site) -> Measured:
    """Read all files as one set of rows.

    Raises
    ------
    InstanceError
        With the problems of all files, or if a benchmark result comes without its model, hardware and engine.
    """
    problems: list[Problem] = []
    parts: list[Measured] = []
    for path in paths:
        try:
            if is_bench_result(path):
                parts.append(measured_of(read_bench_result(path), _deployment(site), str(path)))
            else:
                parts.append(read_measured_serving(path))
        except InstanceError as error:
            problems.extend(problem for problem in error.problems if problem not in problems)
    if problems:
        raise InstanceError(problems)
    return _joined(parts)


def _joined(parts: list[Measured]) -> Measured:
    skipped: dict[str, list[str]] = {}
    notes: Counter[str] = Counter()
    for part in parts:
        notes.update(part.notes)
        for reason, ids in part.skipped.items():
            skipped.setdefault(reason, []).extend(ids)
    rows = tuple(row for part in parts for row in part.rows)
    return Measured(", ".join(part.file for part in parts), rows, skipped, notes)


def _deployment(site: Site) -> Deployment:
    given = {"--model": site.model, "--hardware": site.hardware, "--engine": site.engine}
    missing = [
        Problem(flag, "", "a benchmark tool's result does not say it", "give it")
        for flag, value in given.items()
        if not value
    ]
    if missing:
        raise InstanceError(missing)
    model = model_named(str(site.model), site.precision)
    stage = site.tensor_parallel * site.data_parallel
    expert = site.expert_parallel or (stage if site.data_parallel > 1 else 1)
    return Deployment(
        model=model,
        accelerator=accelerator_named(str(site.hardware)),
        engine=engine_of(str(site.engine)),
        shape=Shape(
            1, site.tensor_parallel, site.data_parallel, site.pipeline_parallel, expert if model.moe_layers else 1
        ),
        precision=site.precision or "",
    )
