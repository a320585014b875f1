"""Run a sweep: solve the base case, then every point that the table does not hold yet, and close the table."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from planner.documents import json_ready
from planner.errors import InstanceError, NoPlanFound, Problem
from planner.files import write_text
from planner.instance import library
from planner.instance.case import CaseSpec
from planner.instance.loading import read_toml, validate
from planner.instance.loading_case import load_case
from planner.instance.sweep import SweepSpec
from planner.solver.options import SolveOptions
from planner.solver.run import versions
from planner.studies.engine import engine_of
from planner.studies.plan_case import plan_case
from planner.studies.runs import relative_path
from planner.studies.shelf import PlacementShelf
from planner.studies.sweeps.point import Task, solve_point
from planner.studies.sweeps.questions import answer_questions
from planner.studies.sweeps.table import ROWS, Rows, locked, write_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from planner.studies.engine import Engine

    OnPoint = Callable[[dict[str, Any], int, int], None]

SHELF, BASE, SUMMARY = ".placements", "base_plan.json", "sweep.json"


def load_sweep(name_or_path: str) -> SweepSpec:
    """Read a sweep by name or path."""
    path = library.find("sweeps", name_or_path)
    return validate(SweepSpec, read_toml(path), str(path))


def sweep_options(spec: SweepSpec, time_limit_s: float | None = None) -> SolveOptions:
    """Return the options of every point: one thread, limits that count nodes, the gap of the file."""
    return SolveOptions(time_limit_s=time_limit_s, gap=spec.gap, threads=1, repeatable=True)


def run_sweep(
    spec: SweepSpec,
    out: Path,
    *,
    workers: int = 1,
    backend: str = "processes",
    resume: bool = False,
    options: SolveOptions | None = None,
    on_point: OnPoint | None = None,
) -> dict[str, Any]:
    """Solve every point that the table does not hold yet.

    Parameters
    ----------
    spec, out
        What varies, and the folder of the table.
    workers, backend
        Points side by side, on ``processes`` or on ``ray``.
    resume
        Keep the points that the folder holds; without it a folder with a table is refused.
    options
        Of every solve; by default one thread, limits that count nodes, and the gap of the file.
    on_point
        Called with each new row, the points done and all points.

    Returns
    -------
    dict
        points, done, failed, table_path, rows, tornado, break_even. A point without a plan is done: its row says why.

    Raises
    ------
    InstanceError
        If a table exists and ``resume`` is off, was made by another sweep, or another run is writing it; if no setting
        of the sweep fits the case; if the backend is not there.
    """
    engine = engine_of(backend, workers)
    options = options or sweep_options(spec)
    if (out / ROWS).exists() and not resume:
        raise InstanceError.single(str(out / ROWS), "--out", "exists already", "add --resume or name another folder")
    _refuse_bad_keys(spec)
    with locked(out):
        return _Sweep(spec, out, engine, options, on_point).run()


class _Sweep:
    """One run of a sweep in a folder that is locked."""

    def __init__(
        self, spec: SweepSpec, out: Path, engine: Engine, options: SolveOptions, on_point: OnPoint | None
    ) -> None:
        self.spec, self.out, self.engine, self.options, self.on_point = spec, out, engine, options, on_point
        self.table = Rows(out, made_from(spec, options))

    def run(self) -> dict[str, Any]:
        """Solve what is missing, ask the questions, and write the tables."""
        rows = self.table.finished()
        points = list(self.spec.points())
        known = {_key(row["point"]) for row in rows if row["status"] != "failed"}
        todo = [point for point in points if _key(point) not in known]
        task = self._task(self._base_plan(bool(todo)))
        for row in self.engine.run(solve_point, [self._job(task, point) for point in todo], _died):
            self.table.append(row)
            rows.append(row)
            if self.on_point is not None:
                self.on_point(row, len(rows), len(points))
        last = {_key(row["point"]): row for row in rows}
        kept = [last[_key(point)] for point in points if _key(point) in last]
        failed = sum(row["status"] == "failed" for row in kept)
        solve = lambda changes, point: solve_point(task, point, changes)  # noqa: E731
        questions = answer_questions(self.spec, kept, solve)
        path = write_tables(self.out, kept) if kept else self.out / ROWS
        answer = {
            "sweep": self.spec.name,
            "title": self.spec.title,
            "points": len(points),
            "done": len(kept) - failed,
            "failed": failed,
            "time_limited": sum(bool(row["time_limited"]) for row in kept),
            "table_path": relative_path(path),
            "rows_path": relative_path(self.out / ROWS),
            "rows": kept,
            **questions,
        }
        self._keep_summary(answer)
        return answer

    def _keep_summary(self, answer: dict[str, Any]) -> None:
        """Keep what the table does not hold for the report: what was asked, and what the questions answered."""
        told = {key: value for key, value in answer.items() if key not in ("rows", "table_path", "rows_path")}
        told |= {"case": self.spec.case, "description": self.spec.description, "gap": self.options.gap}
        told |= {"set": self.spec.set, "derive": self.spec.derive, "versions": versions()}
        write_text(self.out / SUMMARY, json.dumps(json_ready(told), indent=1) + "\n")

    def _job(self, task: Task, point: dict[str, Any]) -> tuple[Any, ...]:
        return task, point, self.spec.changes(point)

    def _task(self, base_plan: str) -> Task:
        case = str(library.find("cases", self.spec.case).resolve())
        return Task(case, self.options, base_plan, str((self.out / SHELF).resolve()))

    def _base_plan(self, needed: bool) -> str:
        """Plan of the case with only ``set`` applied, solved once a folder; empty where it has none."""
        path = self.out / BASE
        if not needed or not self._starts_help():
            return ""
        if path.exists():
            return path.read_text(encoding="utf-8")
        try:
            instance = load_case(self.spec.case, self.spec.changes({}))
            shelf = PlacementShelf(self.out / SHELF)
            answer = plan_case(instance, replace(self.options, gap=max(self.options.gap, 1e-2)), shelf=shelf)
        except (NoPlanFound, InstanceError):
            return ""
        answer.plan.write(path)
        return path.read_text(encoding="utf-8")

    def _starts_help(self) -> bool:
        """Whether points have a base to start from: parameters of ``derive`` may have no value without a point."""
        return "model" in read_toml(library.find("cases", self.spec.case))


def _key(point: Mapping[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def made_from(spec: SweepSpec, options: SolveOptions) -> str:
    """Fingerprint of what the points have in common: the case file as it stands, what is set for all, the options."""
    case = library.find("cases", spec.case).read_bytes()
    shared = [spec.set, spec.derive, options.time_limit_s, options.gap, options.seed]
    return hashlib.sha256(case + json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _refuse_bad_keys(spec: SweepSpec) -> None:
    """Refuse keys that fit no table of the case before hours are spent; values are each point's own matter."""
    keys = {key for point in spec.points() for key in spec.changes(point)}
    data = read_toml(library.find("cases", spec.case))
    known = set(data) | set(CaseSpec.model_fields)
    problems = [
        Problem(spec.name, key, f"{spec.case} has no table or key {key.split('.')[0]!r}", "correct the key")
        for key in sorted(keys)
        if key.split(".")[0] not in known
    ]
    if problems:
        raise InstanceError(problems)


def _died(task: Task, point: Mapping[str, Any], changes: Mapping[str, Any], fault: str) -> dict[str, Any]:
    from planner.studies.engine import MOST_ATTEMPTS
    from planner.studies.sweeps.point import failed_row

    return failed_row(point, f"{fault}, {MOST_ATTEMPTS} times") | {"attempt": MOST_ATTEMPTS}
