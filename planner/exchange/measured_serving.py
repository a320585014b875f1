"""Read measured serving rows (columns as in ``measured_serving.csv``): every row is used or counted with its reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from planner.exchange.measured.parse import parse_row
from planner.exchange.measured.plausible import implausible
from planner.exchange.measured.row import Measured, MeasuredRow, SkippedRow
from planner.exchange.measured.table import read_table

if TYPE_CHECKING:
    from pathlib import Path


def read_measured_serving(path: Path) -> Measured:
    """Read a table of measured rows.

    A row that is unclear, impossible or about an unknown model or accelerator is left out and counted under its reason;
    nothing is repaired silently.

    Raises
    ------
    InstanceError
        If the file as a whole is no such table: unreadable, not CSV, columns missing.
    """
    rows: list[MeasuredRow] = []
    skipped: dict[str, list[str]] = {}
    notes: Counter[str] = Counter()
    seen: set[str] = set()
    unsure: list[MeasuredRow] = []
    for position, cells in enumerate(read_table(path), start=2):
        identity = cells.get("id") or f"row {position}"
        try:
            row = parse_row(cells, position, notes)
            if row.identity in seen:
                raise SkippedRow("id occurs twice")
            reason = implausible(row)
            if reason:
                raise SkippedRow(reason)
        except SkippedRow as reason_of_row:
            if reason_of_row.row is not None:
                unsure.append(reason_of_row.row)
            skipped.setdefault(str(reason_of_row), []).append(identity)
            continue
        seen.add(row.identity)
        rows.append(row)
    return Measured(str(path), tuple(rows), skipped, notes, tuple(unsure))
