"""Find out what a folder holds, a plan, a sweep or a placement, and put it, or several, on one page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.maps import read_map
from planner.exchange.placement_folder import MAP_NAME, placement_facts
from planner.report.errors_page import errors_part
from planner.report.placement_page import placement_part
from planner.report.rebuild import part_of_run
from planner.report.several import page_of_parts
from planner.report.sweep_facts import Sweep
from planner.report.sweep_page import sweep_part
from planner.studies.sweeps.point import failed_row
from planner.studies.sweeps.run import SUMMARY
from planner.studies.sweeps.table import PARQUET, ROWS, flat, read_table
from planner.studies.views import VIEWS_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from planner.report.html import Part

_KINDS = "manifest.json of a plan, points.jsonl or points.parquet of a sweep, or a placement's map"
_NOT_AS_WRITTEN = (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError, IndexError)


def page_of_folders(folders: Sequence[Path]) -> str:
    """Render the page of one or several folders.

    Raises
    ------
    InstanceError
        With every problem of every folder: one that cannot be read, holds no run, or holds files cut short.
    """
    parts: list[Part] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            parts.append(part_of_folder(folder))
        except InstanceError as error:
            problems += error.problems
    if problems:
        raise InstanceError(problems)
    return page_of_parts(parts)


def part_of_folder(folder: Path) -> Part:
    """Read one folder, or a document of `planner validate`, and write what it puts on a page."""
    if folder.suffix == ".json" and folder.is_file():
        return _scores(folder)
    try:
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise InstanceError.single(str(folder), "", message, "name a run folder that you may read") from error
    try:
        if names & {PARQUET, ROWS}:
            return sweep_part(read_sweep(folder))
        if MAP_NAME in names:
            return placement_part(*_placement(folder))
        if names & {"manifest.json", "plan.json"}:
            return part_of_run(folder, _document(folder / VIEWS_NAME))
    except _NOT_AS_WRITTEN as error:
        message = f"is not a run of this version ({type(error).__name__}: {error})"
        raise InstanceError.single(str(folder), "", message, "run it again") from error
    raise InstanceError.single(str(folder), "", f"holds no run: no {_KINDS}", "name the folder of a run")


def _scores(path: Path) -> Part:
    scored = _document(path)
    try:
        return errors_part(scored)
    except _NOT_AS_WRITTEN as error:
        message = "is not what `planner validate serving --format json` prints"
        raise InstanceError.single(str(path), "", message, "name a run folder or such a file") from error


def read_sweep(folder: Path) -> Sweep:
    """Read the rows of a sweep: its Parquet table where it has ended, else what it has so far.

    Raises
    ------
    InstanceError
        If the table is cut short, or no line is a row.
    """
    summary = _document(folder / SUMMARY)
    rows = read_table(folder / PARQUET) if (folder / PARQUET).exists() else _lines(folder / ROWS)
    if not rows:
        raise InstanceError.single(str(folder / ROWS), "", "holds no point", "run the sweep first")
    columns = {*failed_row({}), "reasons", "point"}
    keys = tuple(dict.fromkeys(name for row in rows for name in row if name not in columns))
    missing = sorted(columns - {"point"} - set(rows[0]))
    if missing:
        remedy = "run the sweep again with this version"
        raise InstanceError(Problem(str(folder), name, "is missing from the table", remedy) for name in missing)
    name = str(summary.get("sweep") or folder.name)
    return Sweep(name, str(summary.get("title") or name), rows, keys, summary)


def _lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a sweep that is under way, the last of each point; a last line cut short is dropped."""
    found: dict[str, dict[str, Any]] = {}
    lines = _text(path).splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            found[json.dumps(row["point"], sort_keys=True)] = flat(row)
        except (ValueError, KeyError, TypeError, RecursionError):
            if number < len(lines):
                message = f"line {number} is no row of a sweep"
                raise InstanceError.single(str(path), "", message, "name the folder of a sweep") from None
    return list(found.values())


def _placement(folder: Path) -> tuple[str, dict[str, Any]]:
    """Name and views of a placement; of one without views, its map alone."""
    views = _document(folder / VIEWS_NAME)
    if views:
        return folder.name, views
    facts = placement_facts(folder)
    rows = read_map(folder / MAP_NAME)
    table = np.asarray(rows, dtype=np.int64)
    return folder.name, {
        "summary": {"gpus": facts.gpus, "layers_in_map": len(table), "slots": int(table.shape[1])},
        "drawings": [],
        "maps": {},
        "expert_load": [],
    }


def _document(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one."""
    if not path.exists():
        return {}
    try:
        found = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InstanceError.single(str(path), "", f"is cut short or not JSON: {error}", "run it again") from error
    if not isinstance(found, dict):
        raise InstanceError.single(str(path), "", "is no JSON object", "run it again")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the rights") from error
    except UnicodeDecodeError as error:
        raise InstanceError.single(str(path), "", "is no text", "name a run folder") from error
