"""Loads in delimited text: one row a layer, or rows of layer, expert and count."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.arrays import raise_if_any, to_array
from planner.exchange.load_checks import MOST_EXPERTS, RawLoad

if TYPE_CHECKING:
    from numpy.typing import NDArray

AMOUNTS = ("count", "counts", "tokens", "load", "activations")
LAYERS = ("layer", "layer_id", "layer_idx", "moe_layer")
EXPERTS = ("expert", "expert_id", "expert_idx")


def read_delimited(text: str, file: str) -> RawLoad:
    """Read text with commas, semicolons, tabs or blanks between the cells; lines that begin with # are left out.

    Raises
    ------
    InstanceError
        If rows differ in length or a cell is not a number.
    """
    try:
        rows = _rows(text)
    except csv.Error as error:
        raise InstanceError.single(file, "", f"is not CSV: {error}", "give comma-separated text") from error
    if not rows:
        raise InstanceError.single(file, "", "is empty", "give one row a layer")
    header = [cell.strip().casefold() for cell in rows[0]]
    if set(LAYERS) & set(header) and set(EXPERTS) & set(header):
        return RawLoad(long_form(rows, header, file), "count", "CSV of layer, expert, count")
    start = 0 if is_number(rows[0][-1]) and (is_number(rows[0][0]) or _names_layer(rows[0][0])) else 1
    named = all(_names_layer(row[0]) for row in rows[start:]) or (header[0] in (*LAYERS, "") and start == 1)
    body = [row[1:] if named and len(row) > 1 else row for row in rows[start:]]
    problems: list[Problem] = []
    table = [
        [_cell(cell, file, f"row {number}, column {column}", problems) for column, cell in enumerate(row, 1)]
        for number, row in enumerate(body, start + 1)
    ]
    raise_if_any(problems, file, "rows")
    return RawLoad(to_array(table, file, "rows"), "rows", "CSV, one row a layer")


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    delimiter = next((mark for mark in (";", "\t", ",") if lines and mark in lines[0]), None)
    if delimiter is None:
        return [line.split() for line in lines]
    rows = csv.reader((line.rstrip(delimiter) if delimiter == "\t" else line for line in lines), delimiter=delimiter)
    return [row for row in rows if any(cell.strip() for cell in row)]


def _names_layer(cell: str) -> bool:
    return re.fullmatch(r"\s*layers?[ _.]?\d+\s*", cell, re.IGNORECASE) is not None


def long_form(rows: list[list[str]], header: list[str], file: str) -> NDArray[np.float64]:
    """Build the table from rows of layer, expert and a count; repeated pairs (steps) are summed."""
    names = [next((name for name in group if name in header), None) for group in (LAYERS, EXPERTS, AMOUNTS)]
    if None in names:
        raise InstanceError.single(file, "count", "no such column", "add a column count beside layer and expert")
    columns = [header.index(str(name)) for name in names]
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
            message = f"layer and expert must be whole numbers from 0 to {MOST_EXPERTS}"
            problems.append(Problem(file, f"row {number}", message))
        entries.append(entry)
    raise_if_any(problems, file, str(names[2]))
    if not entries:
        raise InstanceError.single(file, str(names[2]), "has no rows", "give one row for each layer and expert")
    layer, expert = (np.array([entry[index] for entry in entries], dtype=int) for index in (0, 1))
    table = np.zeros((layer.max() + 1, expert.max() + 1))
    np.add.at(table, (layer, expert), [entry[2] for entry in entries])
    return table


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cell(cell: str, file: str, place: str, problems: list[Problem]) -> float:
    if is_number(cell):
        return float(cell)
    problems.append(Problem(file, place, f"{cell[:40]!r} is not a number", "give a token count"))
    return 0.0
