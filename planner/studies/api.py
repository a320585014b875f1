"""The main job from names and files: load, solve, explain, write. Command line and Python API both call this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.documents import json_ready
from planner.errors import InstanceError
from planner.exchange.loads import read_loads
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.instance.overrides import parse_assignments
from planner.solve.options import SolveOptions
from planner.studies.payload import answer_payload
from planner.studies.runs import relative_path, run_folder, write_run
from planner.studies.sensitivity import marginal_usd_per_request, savings
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from planner.studies.serving import Progress


@dataclass
class SolvedCase:
    """A certified plan with what binds, ready to be written."""

    answer: ServingAnswer
    settings: dict[str, Any]
    payload: dict[str, Any] = field(default_factory=dict)

    def write(self, out: Path | None = None) -> dict[str, Any]:
        """Write the run folder and return the document with its path."""
        from planner.report.html import render_html

        folder = run_folder(self.answer.instance.name, self.settings, out)
        payload = json_ready(self.payload | {"run_dir": relative_path(folder)})
        plan = self.answer.plan
        manifest = {"case": self.answer.instance.name, "settings": json_ready(self.settings), "result": payload}
        write_run(folder, plan, manifest, render_html(payload, plan.model_dump(mode="json")))
        return dict(payload)

    def write_model(self, path: Path) -> None:
        """Write the bounding program as .lp or .mps."""
        from formulations import fleet
        from planner.solve.matrix import compile_pyomo
        from planner.solve.write import write_model

        write_model(compile_pyomo(fleet.build(self.answer.tables).model).matrix, path)


def open_case(case: str | Path, changes: Iterable[str] = (), loads: Path | None = None) -> Instance:
    """Load a case with overrides and, where given, recorded loads."""
    recorded = None if loads is None else read_loads(loads)
    return load_case(case, parse_assignments(changes), loads=recorded, loads_note="" if loads is None else str(loads))


def solve_case(
    case: str | Path | Instance,
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
    instance = case if isinstance(case, Instance) else open_case(case, changes, loads)
    options = options or SolveOptions(gap=1e-3)
    answer = solve_serving(instance, options, progress)
    settings = {
        "set": changes,
        "loads": None if loads is None else relative_path(loads),
        "time_limit_s": options.time_limit_s,
        "gap": options.gap,
        "threads": options.threads,
        "seed": options.seed,
    }
    payload = answer_payload(answer, savings(instance), marginal_usd_per_request(answer.tables))
    return SolvedCase(answer, settings, payload)


def refuse_existing(out: Path | None) -> None:
    """Refuse an output folder that is already there, before any work is done.

    Raises
    ------
    InstanceError
        If the path exists.
    """
    if out is not None and out.exists():
        raise InstanceError.single(str(out), "--out", "exists already", "name a folder that does not exist")
