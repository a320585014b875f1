"""Another planner's answers for measured rows: a CSV with id, status, ttft_ms, tpot_ms."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("id", "status", "ttft_ms", "tpot_ms")
ANSWERED = "answered"
REPORTED = 10


def read_predictions(path: Path) -> dict[str, tuple[float, float]]:
    """Read identity -> (TTFT, TPOT) in seconds of the rows that were answered.

    Raises
    ------
    InstanceError
        If the file cannot be read, lacks a column, or an answered row has no positive numbers.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error}", "check the path") from error
    table = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        remedy = f"columns are {', '.join(COLUMNS)}"
        raise InstanceError([Problem(str(path), name, "column is missing", remedy) for name in missing])
    answers: dict[str, tuple[float, float]] = {}
    problems: list[Problem] = []
    for line, row in enumerate(table, start=2):
        if (row["status"] or "").strip() != ANSWERED:
            continue
        pair = tuple(_seconds(row[key]) for key in ("ttft_ms", "tpot_ms"))
        if any(math.isnan(value) for value in pair):
            problems.append(Problem(str(path), f"line {line}", "answered without positive latencies", "mend the row"))
        answers[(row["id"] or "").strip()] = (pair[0], pair[1])
    if problems:
        raise InstanceError(problems[:REPORTED])
    return answers


def _seconds(text: str | None) -> float:
    try:
        value = float(text or "nan") / 1e3
    except ValueError:
        return float("nan")
    return value if 0 < value < math.inf else float("nan")
