"""Solve a grid of changes of one case; each finished point is one line of a JSONL table, so a sweep can resume."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from planner.documents import json_ready
from planner.errors import InstanceError, PlannerError, Problem
from planner.files import write_text
from planner.instance import library
from planner.instance.loading import read_toml, validate
from planner.instance.loading_case import load_case
from planner.instance.sweep import SweepSpec
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason
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
    options = options or SolveOptions(gap=1e-3)
    made_from = _made_from(spec, options)
    rows = _finished(table, made_from)
    points = list(spec.points())
    known = {_key(row["point"]) for row in rows if row["status"] != "failed"}
    todo = [point for point in points if _key(point) not in known]
    with table.open("a", encoding="utf-8") as stream:
        for row in _solve_all(spec, todo, workers, options):
            stream.write(json.dumps(json_ready(row | {"made_from": made_from})) + "\n")
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


def _made_from(spec: SweepSpec, options: SolveOptions) -> str:
    """Fingerprint of what the points have in common: the case file as it stands, what is set for all, the options."""
    case = library.find("cases", spec.case).read_bytes()
    common = json.dumps([spec.set, options.time_limit_s, options.gap, options.seed], sort_keys=True, default=str)
    return hashlib.sha256(case + common.encode()).hexdigest()[:16]


def _finished(table: Path, made_from: str) -> list[dict[str, Any]]:
    """Rows of a table; a last line cut short by a stop is dropped.

    Raises
    ------
    InstanceError
        If a line is no row of a sweep, or was made from another case, other settings or other options.
    """
    if not table.exists():
        return []
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = [_row(line) for line in lines]
    if rows and rows[-1] is None:
        del rows[-1], lines[-1]
    problems = [
        Problem(str(table), f"line {number}", fault, "resume the sweep that made the table, or name another --out")
        for number, row in enumerate(rows, 1)
        if (fault := _fault(row, made_from))
    ]
    if problems:
        raise InstanceError(problems)
    write_text(table, "".join(line + "\n" for line in lines))
    return [row for row in rows if row is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _fault(row: dict[str, Any] | None, made_from: str) -> str:
    if row is None or not isinstance(row.get("point"), dict) or "status" not in row:
        return "is no row of a sweep"
    return "" if row.get("made_from") == made_from else "was made from another case, other settings or other options"


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
        if answer.stop_reason is StopReason.interrupted:
            # not a result of this point: it is solved anew on --resume
            raise KeyboardInterrupt
        row |= {
            "status": str(answer.status),
            "cost_usd": answer.cost_usd,
            "bound_usd": answer.bound_usd,
            "gap": answer.gap,
            "gpus_used": sum(answer.evaluation.gpus_used.values()),
            "gpus_paid": sum(answer.evaluation.gpus_paid.values()),
        }
    return row | {"seconds": time.perf_counter() - began}
