"""Make the page of a finished run again from the files in its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.plan import read_plan
from planner.report.facts import check_payload
from planner.report.html import solve_part

if TYPE_CHECKING:
    from pathlib import Path

    from planner.plan import Plan
    from planner.report.html import Part

_NOT_AS_WRITTEN = (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError)


def part_of_run(folder: Path, views: dict[str, Any]) -> Part:
    """Write what the page of a run holds from its manifest.json (key ``result``), plan.json and views.

    Raises
    ------
    InstanceError
        With every problem of both files.
    """
    payload: dict[str, Any] = {}
    plan: Plan | None = None
    problems: list[Problem] = []
    try:
        payload = read_result(folder / "manifest.json")
    except InstanceError as error:
        problems += error.problems
    try:
        plan = read_plan(folder / "plan.json")
    except InstanceError as error:
        problems += error.problems
    if problems or plan is None:
        raise InstanceError(problems)
    try:
        return solve_part(payload, plan.model_dump(mode="json"), views)
    except _NOT_AS_WRITTEN as error:
        name = str(folder / "manifest.json")
        message = f"is not a result of this version ({type(error).__name__}: {error})"
        raise InstanceError.single(name, "result", message, "solve the case again") from error


def read_result(path: Path) -> dict[str, Any]:
    """Read the document of a plan from a manifest.

    Raises
    ------
    InstanceError
        If the file cannot be read, is not JSON, or lacks keys; every missing key is named.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "name a run folder") from error
    except (ValueError, RecursionError) as error:
        raise InstanceError.single(str(path), "", f"is not JSON: {error}", "solve the case again") from error
    result = manifest.get("result") if isinstance(manifest, dict) else None
    if not isinstance(result, dict):
        raise InstanceError.single(str(path), "result", "is missing", "solve the case again")
    check_payload(result, str(path))
    return result
