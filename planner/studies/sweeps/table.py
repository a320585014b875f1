"""Rows of a sweep: one JSON line a finished point while it runs, Parquet and CSV at the end.

A row is flushed to the disk before it counts, so a kill at any moment loses at most the points in flight. A lock that
the system drops with its process keeps two runs off one folder.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from planner.documents import json_ready
from planner.errors import InstanceError, Problem
from planner.files import write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

ROWS, PARQUET, CSV, LOCK = "points.jsonl", "points.parquet", "points.csv", ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this run.

    Raises
    ------
    InstanceError
        If another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "wait for it, or name another --out"
            raise InstanceError.single(str(folder), "--out", "another sweep is writing here", remedy) from None
        yield


class Rows:
    """The JSON lines of one sweep, appended to as points finish."""

    def __init__(self, folder: Path, made_from: str) -> None:
        self.path = folder / ROWS
        self.made_from = made_from

    def finished(self) -> list[dict[str, Any]]:
        """Read the rows so far; a last line cut short is dropped.

        Raises
        ------
        InstanceError
            If a line is no row of a sweep, or was made from another case, other settings or other options.
        """
        if not self.path.exists():
            return []
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            raise InstanceError.single(str(self.path), "", "is no table of a sweep", "name another --out") from None
        rows = [_row(line) for line in lines]
        if rows and rows[-1] is None:
            del rows[-1], lines[-1]
        problems = [
            Problem(str(self.path), f"line {number}", fault, "resume the sweep that made it, or name another --out")
            for number, row in enumerate(rows, 1)
            if (fault := self._fault(row))
        ]
        if problems:
            raise InstanceError(problems)
        write_text(self.path, "".join(line + "\n" for line in lines))
        return [row for row in rows if row is not None]

    def _fault(self, row: dict[str, Any] | None) -> str:
        if row is None or not isinstance(row.get("point"), dict) or "status" not in row:
            return "is no row of a sweep"
        return "" if row.get("made_from") == self.made_from else "was made from another case, settings or options"

    def append(self, row: dict[str, Any]) -> None:
        """Add a row and see it onto the disk; the error of a full one names the table."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(json_ready(row | {"made_from": self.made_from})) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            error.filename = error.filename or str(self.path)
            raise


def peek(folder: Path) -> list[dict[str, Any]]:
    """Read the rows that a folder holds now, also while a sweep writes there; nothing is changed or checked."""
    try:
        lines = (folder / ROWS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [row for line in lines if (row := _row(line)) is not None]


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with one column for each key that varies; lists become text."""
    rest = {key: value for key, value in row.items() if key not in ("point", "made_from", "reasons")}
    point: dict[str, Any] = row["point"]
    return point | rest | {"reasons": "; ".join(row.get("reasons") or [])}


def write_tables(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write the rows as Parquet and CSV, whole or not at all; return the Parquet file."""
    import pyarrow.csv
    import pyarrow.parquet

    table = arrow_table([flat(row) for row in rows])
    for name, write in ((CSV, pyarrow.csv.write_csv), (PARQUET, pyarrow.parquet.write_table)):
        draft = folder / f".{name}.{os.getpid()}"
        try:
            write(table, draft)
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)
    return folder / PARQUET


def arrow_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Build an Arrow table; a column whose values are of several kinds becomes text."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        elif len(kinds) > 1 or kinds & {list, dict}:
            values = [
                None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values
            ]
        columns[name] = pa.array(values)
    return pa.table(columns)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Read a Parquet table of a sweep.

    Raises
    ------
    InstanceError
        If the file is cut short or no Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
        return rows
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        remedy = f"resume the sweep: {ROWS} beside it holds the rows"
        raise InstanceError.single(str(path), "", f"is cut short or no Parquet table: {reason}", remedy) from error
