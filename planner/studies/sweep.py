"""Solve a grid of changes of one case; each finished point is one line of a JSONL table, so a sweep can resume."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from planner.documents import json_ready
from planner.errors import InstanceError, PlannerError
from planner.instance import library
from planner.instance.loading import read_toml, validate
from planner.instance.loading_case import load_case
from planner.instance.sweep import SweepSpec
from planner.solver.options import SolveOptions
from planner.studies.plan_case import plan_case
from planner.studies.runs import relative_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TABLE = "points.jsonl"


def load_sweep(name_or_path: str) -> SweepSpec:
    """Read a sweep by name or path."""
    path = library.find("sweeps", name_or_path)
    return validate(SweepSpec, read_toml(path), str(path))


def run_sweep(
    spec: SweepSpec,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    options: SolveOptions | None = None,
    on_point: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Solve every point that the table does not hold yet.

    Returns
    -------
    dict
        points, done, failed, table_path. A point without a plan is done: its row says why.

    Raises
    ------
    InstanceError
        If a table exists and ``resume`` is off, or was made by another sweep.
    """
    table = out / TABLE
    if table.exists() and not resume:
        raise InstanceError.single(str(table), "--out", "exists already", "add --resume or name another folder")
    out.mkdir(parents=True, exist_ok=True)
    rows = _finished(table)
    points = list(spec.points())
    known = {_key(row["point"]) for row in rows if row["status"] != "failed"}
    todo = [point for point in points if _key(point) not in known]
    with table.open("a", encoding="utf-8") as stream:
        for row in _solve_all(spec, todo, workers, options or SolveOptions(gap=1e-3)):
            stream.write(json.dumps(json_ready(row)) + "\n")
            stream.flush()
            rows.append(row)
            if on_point:
                on_point(row)
    wanted = {_key(point) for point in points}
    last = {_key(row["point"]): row for row in rows if _key(row["point"]) in wanted}
    failed = sum(row["status"] == "failed" for row in last.values())
    return {
        "points": len(points),
        "done": len(last) - failed,
        "failed": failed,
        "table_path": relative_path(table),
        "rows": [last[_key(point)] for point in points if _key(point) in last],
    }


def _key(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def _finished(table: Path) -> list[dict[str, Any]]:
    """Rows of a table; a last line cut short by a stop is dropped."""
    if not table.exists():
        return []
    rows = []
    kept = []
    for line in table.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
            kept.append(line)
        except json.JSONDecodeError:
            continue
    table.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    return rows


def _solve_all(spec: SweepSpec, points: list[dict[str, Any]], workers: int, options: SolveOptions) -> Any:  # noqa: ANN401
    if workers == 1:
        return (_solve_point(spec, point, options) for point in points)
    from joblib import Parallel, delayed

    jobs = (delayed(_solve_point)(spec, point, options) for point in points)
    return Parallel(n_jobs=workers, return_as="generator")(jobs)


def _solve_point(spec: SweepSpec, point: dict[str, Any], options: SolveOptions) -> dict[str, Any]:
    began = time.perf_counter()
    row: dict[str, Any] = {"point": point, "status": "failed", "cost_usd": None, "bound_usd": None, "gap": None}
    row |= {"gpus_used": None, "gpus_paid": None, "reasons": []}
    try:
        answer = plan_case(load_case(spec.case, spec.set | point), options)
    except PlannerError as error:
        # no plan is an answer; bad input and solver failure are not
        row |= {"status": "none" if error.exit_code == 1 else "failed", "reasons": str(error).splitlines()}
    else:
        row |= {
            "status": str(answer.status),
            "cost_usd": answer.cost_usd,
            "bound_usd": answer.bound_usd,
            "gap": answer.gap,
            "gpus_used": sum(answer.evaluation.gpus_used.values()),
            "gpus_paid": sum(answer.evaluation.gpus_paid.values()),
        }
    return row | {"seconds": time.perf_counter() - began}
