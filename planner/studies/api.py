"""The main job from names and files: load, solve, explain, write. Command line and Python API both call this."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from planner.documents import json_ready
from planner.errors import InstanceError, NoPlanFound, Problem, SolverError
from planner.exchange.loads import read_loads
from planner.files import unwritable
from planner.instance.instance import Instance
from planner.instance.lifecycle import LifecycleInstance
from planner.instance.loading_case import load_case
from planner.instance.overrides import well_formed
from planner.instance.resolve import collect
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason
from planner.solver.write import MODEL_SUFFIXES
from planner.studies.lifecycle import FleetShelf, solve_lifecycle
from planner.studies.lifecycle_payload import lifecycle_payload
from planner.studies.payload import answer_payload
from planner.studies.reference import beside_reference
from planner.studies.runs import DEFAULT_FOLDER, relative_path, run_folder, write_run
from planner.studies.sensitivity import marginal_usd_per_request, savings
from planner.studies.serving import solve_serving
from planner.studies.views import serving_views, views_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from planner.costs.tables import CostTables
    from planner.plan import Plan
    from planner.studies.sensitivity import Saving
    from planner.studies.serving import Progress, ServingAnswer

DEFAULT_GAP = 1e-3
MOST_SECONDS_OF_QUESTIONS = 20.0
Answer = TypeVar("Answer")


@dataclass
class SolvedCase:
    """A certified plan with what binds, ready to be written.

    Attributes
    ----------
    name
        Name of the case.
    plan
        The decisions.
    payload
        The document that `planner solve --format json` prints, without the run folder.
    settings
        Overrides and options of the run.
    tables
        Tables of the program that bounds the cost.
    views
        What the report draws beside the document (`planner.studies.views`).
    """

    name: str
    plan: Plan
    payload: dict[str, Any]
    settings: dict[str, Any]
    stop_reason: StopReason
    tables: CostTables
    views: dict[str, Any] = field(default_factory=dict)

    def write(self, out: Path | None = None) -> dict[str, Any]:
        """Write the run folder and return the document with its path."""
        while True:
            folder = run_folder(self.name, self.settings, out)
            try:
                return self._write(folder)
            except OSError:
                # another run of the same second took the name while this one was written
                if out is not None or not folder.exists():
                    raise

    def _write(self, folder: Path) -> dict[str, Any]:
        from planner.report.html import render_html

        payload = json_ready(self.payload | {"run_dir": relative_path(folder)})
        manifest = {"case": self.name, "settings": json_ready(self.settings), "result": payload}
        page = render_html(payload, self.plan.model_dump(mode="json"), self.views)
        write_run(folder, self.plan, manifest, page, views_text(self.views))
        return dict(payload)

    def write_model(self, path: Path) -> None:
        """Write the bounding program as .lp or .mps."""
        from formulations import fleet
        from planner.solver.matrix import compile_pyomo
        from planner.solver.write import write_model

        write_model(compile_pyomo(fleet.build(self.tables).model).matrix, path)


def open_case(case: str | Path, changes: Iterable[str] = (), loads: Path | None = None) -> Instance | LifecycleInstance:
    """Load a case with overrides and, where given, recorded loads."""
    given, problems = well_formed(changes)
    recorded = None if loads is None else collect(problems, lambda: read_loads(loads))
    note = "" if loads is None else str(loads)
    instance = collect(problems, lambda: load_case(case, given, loads=recorded, loads_note=note))
    if problems or instance is None:
        raise InstanceError(problems)
    return instance


def open_serving_case(case: str | Path, changes: Iterable[str] = (), loads: Path | None = None) -> Instance:
    """Load a case that names its model.

    Raises
    ------
    InstanceError
        Where the case leaves the model open.
    """
    instance = open_case(case, changes, loads)
    if not isinstance(instance, Instance):
        raise InstanceError.single(str(case), "lifecycle", "leaves the model open", "name a case with a model")
    return instance


def solve_case(
    case: str | Path | Instance | LifecycleInstance,
    changes: Iterable[str] = (),
    *,
    loads: Path | None = None,
    options: SolveOptions | None = None,
    progress: Progress | None = None,
) -> SolvedCase:
    """Solve a case and work out what binds.

    Raises
    ------
    InstanceError, NoPlanFound, SolverError
        As their names say.
    """
    changes = list(changes)
    instance = case if isinstance(case, (Instance, LifecycleInstance)) else open_case(case, changes, loads)
    began = time.perf_counter()
    options = options or SolveOptions(gap=DEFAULT_GAP)
    settings = {
        "set": changes,
        "loads": None if loads is None else relative_path(loads),
        "time_limit_s": options.time_limit_s,
        "gap": options.gap,
        "threads": options.threads,
        "seed": options.seed,
    }
    if isinstance(instance, LifecycleInstance):
        return _solve_open(instance, options, progress, settings)
    answer = solve_serving(instance, options, progress)
    asked = _Questions.after(answer.stop_reason, options, began)
    payload = answer_payload(answer, *asked.what_binds(instance, answer.tables))
    reference = instance.case.reference
    if reference is not None:
        payload["reference"] = asked.unless_interrupted(lambda: beside_reference(answer, reference, asked.left()), None)
    views = asked.views(answer)
    return replace(asked.solved(instance.name, answer.plan, payload, settings, answer.tables), views=views)


def _solve_open(
    instance: LifecycleInstance, options: SolveOptions, progress: Progress | None, settings: dict[str, Any]
) -> SolvedCase:
    began = time.perf_counter()
    shelf = FleetShelf(instance, options, progress)
    answer = solve_lifecycle(instance, options, progress, shelf)
    tables = shelf.tables_of(answer.chosen.instance)
    asked = _Questions.after(answer.stop_reason, options, began)
    binding = asked.what_binds(answer.chosen.instance, tables)
    shelf.interrupted = asked.stop_reason is StopReason.interrupted
    payload = lifecycle_payload(answer, shelf, *binding)
    if shelf.interrupted:
        asked.stop_reason = StopReason.interrupted
    views = asked.views(answer.chosen.serving)
    return replace(asked.solved(instance.name, answer.plan, payload, settings, tables), views=views)


@dataclass
class _Questions:
    """What is asked about a plan once it is found. Ctrl-C ends the asking and keeps the plan; so does a failed solve.

    They may take ``seconds`` together; under a time limit, what the search left of it and no more.
    """

    stop_reason: StopReason
    options: SolveOptions
    deadline: float | None = None

    @classmethod
    def after(cls, stop_reason: StopReason, options: SolveOptions, began: float) -> _Questions:
        """Questions about a plan whose search began at ``began`` of `time.perf_counter`."""
        limit = options.time_limit_s
        return cls(stop_reason, options, None if limit is None else began + limit)

    @property
    def seconds(self) -> float:
        left = MOST_SECONDS_OF_QUESTIONS if self.deadline is None else self.deadline - time.perf_counter()
        return min(max(left, 0.0), MOST_SECONDS_OF_QUESTIONS)

    def left(self) -> SolveOptions:
        """Options with what is left of the time limit."""
        return self.options if self.deadline is None else replace(self.options, time_limit_s=self.seconds)

    def unless_interrupted(self, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
        if self.stop_reason is StopReason.interrupted:
            return otherwise
        try:
            return ask()
        except KeyboardInterrupt:
            self.stop_reason = StopReason.interrupted
            return otherwise
        except (NoPlanFound, SolverError):
            return otherwise

    def what_binds(self, instance: Instance, tables: CostTables) -> tuple[list[Saving], dict[str, float]]:
        nothing: dict[str, float] = {}
        marginal = self.unless_interrupted(lambda: marginal_usd_per_request(tables), nothing)
        strict = self.deadline is not None
        return self.unless_interrupted(lambda: savings(instance, seconds=self.seconds, strict=strict), []), marginal

    def views(self, answer: ServingAnswer | None) -> dict[str, Any]:
        nothing: dict[str, Any] = {}
        return nothing if answer is None else self.unless_interrupted(lambda: serving_views(answer), nothing)

    def solved(
        self, name: str, plan: Plan, payload: dict[str, Any], settings: dict[str, Any], tables: CostTables
    ) -> SolvedCase:
        document = payload | {"stop_reason": self.stop_reason}
        return SolvedCase(name, plan, document, settings, self.stop_reason, tables)


def refuse_outputs(out: Path | None, model: Path | None = None) -> None:
    """Refuse an output folder or model file that could not be written, before any work is done.

    Raises
    ------
    InstanceError
        If ``out`` exists, if neither it nor ``outputs`` can be made, or if ``model`` has a suffix that is no format.
    """
    problems = []
    if out is not None and os.path.lexists(out):
        problems.append(Problem(str(out), "--out", "exists already", "name a folder that does not exist"))
    elif (error := unwritable(out or DEFAULT_FOLDER / "run")) is not None:
        problems.append(Problem(str(out or DEFAULT_FOLDER), "--out", f"cannot be made: {error}", "name another folder"))
    if model is not None and model.suffix.lower() not in MODEL_SUFFIXES:
        problems.append(Problem(str(model), "--write-model", "unknown format", "end the name with .lp or .mps"))
    elif model is not None and (error := unwritable(model)) is not None:
        problems.append(Problem(str(model), "--write-model", f"cannot be written: {error}", "name another file"))
    if problems:
        raise InstanceError(problems)
