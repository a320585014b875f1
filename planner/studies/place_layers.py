"""The layers of one placement on several machines: each task places a few layers, the map is that of one machine.

On one machine layers already run side by side on threads (`planner.strategies.parallel`); this is for a cluster.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import FormulationError, SolverError
from planner.strategies.api import run
from planner.strategies.result import PlacementResult, identity_row, mean_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.proof import Effort, Progress
    from planner.studies.engine import Engine

MOST_TASKS = 256
_PER_LAYER = ("physical_to_logical_map", "balance", "bound", "risk", "risk_bound")


def place_layers(
    request: PlacementRequest, strategy: str, effort: Effort | None, engine: Engine, progress: Progress | None = None
) -> PlacementResult:
    """Place every layer by a strategy, a few layers a task.

    Parameters
    ----------
    request, strategy, effort
        As for `planner.strategies.api.run`; the deadline is one for all tasks, by the clocks of their machines.
    engine
        Where the tasks run.
    progress
        Told how many layers are done.

    Raises
    ------
    FormulationError
        If the request has recorded routing, which ties layers together.
    SolverError
        If a task was lost.
    """
    if request.traffic is not None:
        raise FormulationError("layers with recorded routing are planned together: leave out --backend")
    began = time.perf_counter()
    layers = np.flatnonzero(~request.dense_layers)
    parts = [part.tolist() for part in np.array_split(layers, min(MOST_TASKS, len(layers))) if len(part)]
    tasks = [_task(request, part, strategy, effort) for part in parts]
    done, rows = 0, []
    for row in engine.run(_place_part, tasks, _died):
        if "fault" in row:
            raise SolverError(f"layers {row['layers']} were not placed: {row['fault']}")
        rows.append(row)
        done += len(row["layers"])
        if progress is not None:
            progress("place", done, len(layers))
    return _joined(request, rows, strategy, time.perf_counter() - began)


def _task(request: PlacementRequest, layers: Sequence[int], strategy: str, effort: Effort | None) -> tuple[Any, ...]:
    """Make a task of a few layers; its deadline is by the clock of the day, which machines share."""
    deadline = None if effort is None else effort.deadline
    until = None if deadline is None else time.time() + deadline - time.perf_counter()
    part = replace(request, load=np.asarray(request.load)[:, list(layers)], workers=1)
    return part, list(layers), request.layers, strategy, effort, until


def _place_part(
    part: PlacementRequest,
    layers: Sequence[int],
    layers_in_all: int,
    strategy: str,
    effort: Effort | None,
    until: float | None,
    attempt: int = 1,
) -> dict[str, Any]:
    """Place some layers under the numbers that they have in the model: the seeds of the search hang on those."""
    load = np.zeros((part.scenarios, layers_in_all, part.experts))
    load[:, list(layers)] = part.load
    deadline = None if until is None else time.perf_counter() + until - time.time()
    here = None if effort is None else replace(effort, deadline=deadline)
    result = run(replace(part, load=load), strategy, here)
    found = {name: getattr(result, name)[list(layers)] for name in _PER_LAYER}
    return {"layers": list(layers), "imbalance": result.imbalance[:, list(layers)], "attempt": attempt, **found}


def _died(
    part: PlacementRequest,
    layers: Sequence[int],
    layers_in_all: int,
    strategy: str,
    effort: Effort | None,
    until: float | None,
    fault: str,
) -> dict[str, Any]:
    return {"layers": list(layers), "fault": fault}


def _joined(
    request: PlacementRequest, rows: Sequence[dict[str, Any]], strategy: str, seconds: float
) -> PlacementResult:
    """One result from those of the tasks; dense layers are numbered through."""
    columns: dict[str, Any] = {name: np.full(request.layers, np.nan) for name in _PER_LAYER}
    columns["physical_to_logical_map"] = np.tile(identity_row(request), (request.layers, 1))
    imbalance = np.full((request.scenarios, request.layers), np.nan)
    for row in rows:
        imbalance[:, row["layers"]] = row["imbalance"]
        for name in _PER_LAYER:
            columns[name][row["layers"]] = row[name]
    scenario_balance = mean_over(1.0 / imbalance, axis=1)
    return PlacementResult(
        **columns, imbalance=imbalance, scenario_balance=scenario_balance, seconds=seconds, strategy=strategy
    )
