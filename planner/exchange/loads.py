"""Read expert loads recorded by an engine: JSON, NumPy or CSV, as tokens per [layer, expert].

Shapes met in the wild: SGLang's ``{"logical_count": ...}`` ([layer, expert] or [step, layer, expert], summed over
steps), fiddler's ``{"expert_popularity": ...}``, a bare list, arrays in ``.npy`` and ``.npz``, CSV with one row a layer
or with columns layer, expert, count. Nothing is ever unpickled.
"""

from __future__ import annotations

import csv
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

KEYS = ("logical_count", "expert_popularity", "logical_expert_load", "load")
"""Keys under which a load table is found in JSON and ``.npz`` files, tried in this order."""

REPORTED = 10
"""Bad values named one by one before the rest is only counted."""

LARGEST_COUNT = 1e18
"""Tokens of one expert beyond any recording."""

MOST_EXPERTS = 10_000
"""Experts of a layer, and layers, beyond any model: more is a table of something else."""

UNREDUCED_EXPERTS = 16
"""Fewer experts than this are never taken for a dump of one rank: small tables are often made up by hand."""


def read_loads(path: Path) -> NDArray[np.float64]:
    """Read one load file.

    Returns
    -------
    array, shape [layer, expert]
        Tokens; an all-zero row is a dense layer.

    Raises
    ------
    InstanceError
        If the file cannot be read, holds no table of finite non-negative numbers, is all zero, or was written by one
        rank only.
    """
    readers = {".json": _read_json, ".npy": _read_npy, ".npz": _read_npz, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InstanceError.single(str(path), "", "is not a load file", f"give one of {', '.join(readers)}")
    try:
        table, key = reader(path)
    except OSError as error:
        raise InstanceError.single(
            str(path), "", f"cannot be read: {error.strerror or error}", "check the path"
        ) from error
    return _checked(table, str(path), key)


def read_scenarios(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Read several load files of one model, shape [scenario, layer, expert].

    Raises
    ------
    InstanceError
        With the problems of all files, or if their shapes differ.
    """
    problems: list[Problem] = []
    tables = []
    for path in paths:
        try:
            tables.append(read_loads(path))
        except InstanceError as error:
            problems.extend(error.problems)
    for path, table in zip(paths, tables, strict=False):
        if not problems and table.shape != tables[0].shape:
            message = f"has shape {list(table.shape)}, but {paths[0]} has {list(tables[0].shape)}"
            problems.append(Problem(str(path), "", message, "give loads of one model, layer by layer"))
    if problems:
        raise InstanceError(problems)
    return np.stack(tables)


def _read_json(path: Path) -> tuple[NDArray[Any], str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InstanceError.single(str(path), "", f"is not JSON: {error}", "give a load file") from error
    if isinstance(document, dict):
        key = next((key for key in KEYS if key in document), None)
        if key is None:
            found = ", ".join(map(str, list(document)[:6])) or "nothing"
            raise InstanceError.single(str(path), "logical_count", f"missing; the file has {found}", "add the key")
        return _from_lists(document[key], str(path), key), key
    return _from_lists(document, str(path), "top level"), "top level"


def _from_lists(value: object, file: str, key: str) -> NDArray[Any]:
    """Turn nested lists into an array after checking that they are regular and hold numbers only."""
    lengths: dict[int, int] = {}
    problems: list[Problem] = []

    def visit(node: object, depth: int, place: str) -> None:
        if not isinstance(node, list):
            if isinstance(node, bool) or not isinstance(node, (int, float)):
                problems.append(Problem(file, place, f"{str(node)[:40]!r} is not a number", "give a token count"))
            elif LARGEST_COUNT < node < np.inf:  # before NumPy, whose floats end sooner than Python's integers
                problems.append(Problem(file, place, "is larger than any token count", "give a token count"))
            elif depth != len(lengths):
                problems.append(Problem(file, place, "a number stands where a list is expected", "make rows equal"))
            return
        if lengths.setdefault(depth, len(node)) != len(node):
            message = f"has {len(node)} entries, earlier rows have {lengths[depth]}"
            problems.append(Problem(file, place, message, "make all rows equally long"))
            return
        for index, entry in enumerate(node):
            visit(entry, depth + 1, f"{place}[{index}]")

    if not isinstance(value, list):
        raise InstanceError.single(file, key, "is not a list", "give a list of layers, each a list of token counts")
    visit(value, 0, key)
    _raise_if_any(problems, file, key)
    return np.array(value, dtype=float)


def _read_npy(path: Path) -> tuple[NDArray[Any], str]:
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InstanceError.single(str(path), "", f"is not a plain array: {error}", "save a numeric array") from error
    if not isinstance(table, np.ndarray):
        raise InstanceError.single(str(path), "", "is an archive, not an array", "name it .npz")
    return table, "array"


def _read_npz(path: Path) -> tuple[NDArray[Any], str]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            key = next((key for key in KEYS if key in names), names[0] if len(names) == 1 else None)
            if key == "data":
                raise InstanceError.single(
                    str(path), key, "is a routing file, not loads", "give token counts an expert"
                )
            if key is None:
                message = f"has {len(names)} arrays ({', '.join(names[:6])}), none of them logical_count"
                raise InstanceError.single(str(path), "", message, "name the load array logical_count")
            return archive[key], key
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise InstanceError.single(str(path), "", f"is not an archive of arrays: {error}", "use numpy.savez") from error


def _read_csv(path: Path) -> tuple[NDArray[Any], str]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InstanceError.single(str(path), "", f"is not CSV: {error}", "give comma-separated text") from error
    if not rows:
        raise InstanceError.single(str(path), "", "is empty", "give one row a layer")
    header = [cell.strip().casefold() for cell in rows[0]]
    if {"layer", "expert"} <= set(header):
        return _long_form(rows, header, str(path)), "count"
    start = 0 if _is_number(rows[0][0]) and _is_number(rows[0][-1]) else 1
    problems: list[Problem] = []
    table = [
        [_cell(cell, str(path), f"row {number}, column {column}", problems) for column, cell in enumerate(row, 1)]
        for number, row in enumerate(rows[start:], start + 1)
    ]
    _raise_if_any(problems, str(path), "rows")
    return _from_lists(table, str(path), "rows"), "rows"


def _long_form(rows: list[list[str]], header: list[str], file: str) -> NDArray[np.float64]:
    """Build the table from rows of layer, expert and a count; repeated pairs (steps) are summed."""
    amount = next((name for name in ("count", "tokens", "load") if name in header), None)
    if amount is None:
        raise InstanceError.single(file, "count", "no such column", "add a column count beside layer and expert")
    columns = [header.index(name) for name in ("layer", "expert", amount)]
    problems: list[Problem] = []
    entries = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            problems.append(Problem(file, f"row {number}", f"has {len(row)} cells, the header {len(header)}"))
            continue
        entry = [_cell(row[column], file, f"row {number}, {header[column]}", problems) for column in columns]
        if any(
            not np.isfinite(index) or index < 0 or index != int(index) or index > MOST_EXPERTS for index in entry[:2]
        ):
            problems.append(
                Problem(file, f"row {number}", f"layer and expert must be whole numbers from 0 to {MOST_EXPERTS}")
            )
        entries.append(entry)
    _raise_if_any(problems, file, amount)
    if not entries:
        raise InstanceError.single(file, amount, "has no rows", "give one row for each layer and expert")
    layer, expert = (np.array([entry[index] for entry in entries], dtype=int) for index in (0, 1))
    table = np.zeros((layer.max() + 1, expert.max() + 1))
    np.add.at(table, (layer, expert), [entry[2] for entry in entries])
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cell(cell: str, file: str, place: str, problems: list[Problem]) -> float:
    if _is_number(cell):
        return float(cell)
    problems.append(Problem(file, place, f"{cell[:40]!r} is not a number", "give a token count"))
    return 0.0


def _checked(table: NDArray[Any], file: str, key: str) -> NDArray[np.float64]:
    """Check type, shape and values; sum steps."""
    if table.dtype.kind not in "iuf":
        raise InstanceError.single(file, key, f"holds {table.dtype}, not numbers", "give token counts")
    if table.ndim not in (2, 3) or 0 in table.shape:
        message = (
            f"has shape {list(table.shape)}, expected [layer, expert] or [step, layer, expert], none of them empty"
        )
        raise InstanceError.single(file, key, message, "give one row of token counts a layer")
    if max(table.shape[-2:]) > MOST_EXPERTS:
        message = f"has {table.shape[-2]} layers of {table.shape[-1]} experts, more than {MOST_EXPERTS}"
        raise InstanceError.single(file, key, message, "give one row of token counts a layer")
    bad = np.argwhere(~(np.isfinite(table) & (table >= 0) & (table <= LARGEST_COUNT)))
    problems = [
        Problem(
            file, f"{key}{''.join(f'[{index}]' for index in place)}", f"is {table[tuple(place)]}", "give a count >= 0"
        )
        for place in bad
    ]
    _raise_if_any(problems, file, key)
    if table.ndim == 3 and table.max() == 1 and file.endswith((".npy", ".npz")):
        message = "holds only 0 and 1: a placement pattern [device, layer, expert], not token counts"
        raise InstanceError.single(file, key, message, "give token counts")
    load = np.asarray(table, dtype=float)
    load = load.sum(axis=0) if load.ndim == 3 else load
    if not load.any():
        raise InstanceError.single(file, key, "is zero everywhere", "record with traffic running")
    _refuse_unreduced(load, file, key)
    return load


def _refuse_unreduced(load: NDArray[np.float64], file: str, key: str) -> None:
    """Refuse the dump of one rank: only one run of neighbouring experts was ever seen (sglang issue 5524)."""
    seen = np.flatnonzero(load.any(axis=0))
    first, last, experts = int(seen[0]), int(seen[-1]), load.shape[1]
    width = last - first + 1
    if experts >= UNREDUCED_EXPERTS and 2 <= width <= experts // 2 and len(seen) == width:
        message = f"only experts {first}-{last} of {experts} were seen: the counts of one rank, not of the model"
        raise InstanceError.single(file, key, message, "sum the files of all ranks; the others are missing")


def _raise_if_any(problems: list[Problem], file: str, key: str) -> None:
    if len(problems) > REPORTED:
        problems[REPORTED:] = [Problem(file, key, f"and {len(problems) - REPORTED} more of these")]
    if problems:
        raise InstanceError(problems)
