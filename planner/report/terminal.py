"""Tables of the terminal text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from planner.report import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

WIDTH = 80
"""Columns of the text: what every terminal has."""


def empty_table(title: str, columns: Iterable[str], left: int = 1) -> Table:
    """Make an empty table; the first ``left`` columns are text, the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(words.clean(column), justify="left" if index < left else "right", overflow="fold")
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row, cleaned of control characters."""
    table.add_row(*(words.clean(cell) for cell in cells))


def printed(table: Table, width: int = WIDTH) -> str:
    """Text of a table between empty lines, no colour codes, at most ``width`` columns a line."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(file=stream, width=width, color_system=None, markup=False, emoji=False, highlight=False)
    console.print(table)
    return "\n".join(["", *(line.rstrip() for line in stream.getvalue().splitlines()), ""])
