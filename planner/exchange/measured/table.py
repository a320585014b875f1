"""The raw table: a CSV with the columns of ``measured_*.csv``; a file that is none is refused as a whole."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("model", "hardware", "engine", "batch_or_concurrency", "isl", "osl")
"""Columns without which no row says what was measured."""
MEASURED = ("ttft_ms", "tpot_ms", "out_tok_s_per_gpu", "in_tok_s_per_gpu")
"""At least one of these must be there."""
SHAPE = ("tp", "ep", "parallelism")
"""At least one of these must be there."""
LARGEST_FILE_BYTES = 200_000_000
MOST_COLUMNS = 500


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file; keys are the header's names, stripped and in lower case.

    Raises
    ------
    InstanceError
        If the file cannot be read, is no CSV text, is empty, has a column twice, or lacks columns; all at once.
    """
    text = _text(path)
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lstrip("\ufeff").lower() for name in next(lines, [])]
        rows = [line for line in lines if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise InstanceError.single(str(path), "", f"is not CSV: {error}", "give a comma-separated table") from error
    problems = _problems(str(path), header)
    if not problems and not rows:
        problems = [Problem(str(path), "", "has a header and no rows", "give a table with measured rows")]
    if problems:
        raise InstanceError(problems)
    return [_as_dict(header, line) for line in rows]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise InstanceError.single(str(path), "", "is larger than 200 MB", "give a table of measured rows")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise InstanceError.single(str(path), "", "is not UTF-8 text", "give a comma-separated table") from error


def _problems(file: str, header: list[str]) -> list[Problem]:
    if len(header) < 2 or len(header) > MOST_COLUMNS:
        return [Problem(file, "", "is not a comma-separated table", f"give columns {', '.join(NEEDED)} and more")]
    problems = [
        Problem(file, name, "column is missing", "columns are those of measured_serving.csv")
        for name in NEEDED
        if name not in header
    ]
    problems += [
        Problem(file, any_of[0], "column is missing", f"give one of {', '.join(any_of)}")
        for any_of in (MEASURED, SHAPE)
        if not any(name in header for name in any_of)
    ]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    return problems + [Problem(file, name, "column occurs twice", "keep one") for name in twice]


def _as_dict(header: list[str], line: list[str]) -> dict[str, str]:
    cells = {name: cell.strip() for name, cell in zip(header, line, strict=False)}
    cells["_cells"] = str(len(line) - len(header))
    return cells


def number(cells: dict[str, str], key: str) -> float | None:
    """Return the number of a cell; None where it is empty or absent.

    Raises
    ------
    ValueError
        If the cell holds something else than a number; ``nan`` and ``inf`` are numbers here and judged later.
    """
    text = cells.get(key, "")
    if not text:
        return None
    if not re.fullmatch(
        r"[-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf(?:inity)?)", text, re.I
    ):
        raise ValueError(text)
    return float(text)
