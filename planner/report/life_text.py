"""The parts of the terminal text on what was really paid, and on the choice of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import life, reference, words
from planner.report.terminal import add_row, empty_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console
    from rich.table import Table

LAWS_BESIDE = 3
"""Columns of laws that fit beside each other."""


def print_reference(console: Console, payload: Mapping[str, Any]) -> None:
    """Print what was really paid beside the plans, and why they differ."""
    table = empty_table(reference.TITLE, reference.COLUMNS)
    for row in reference.rows(payload):
        add_row(table, *row)
    print_titled(console, table)
    for text in (reference.lead(payload), *(f"{name}: {text}" for name, text in reference.reasons(payload))):
        _print(console, text)
    console.print()


def print_lifecycle(console: Console, payload: Mapping[str, Any]) -> None:
    """Print what is trained and why, the members and what is chosen under each law."""
    console.print("What is trained, and why\n")
    warned = [f"Warning: {text}." for text in life.warnings(life.own_law(payload))]
    given = [f"{name}: {text}." for name, text in life.rests_on(payload)]
    _bullets(console, [*life.meaning(payload), *warned, *given])
    print_titled(console, _members(payload))
    _bullets(console, (f"{name} is out: {text}" for name, text in life.members_out(payload)))
    _print_laws(console, payload)
    _bullets(console, (f"No plan under law {name}: {text}." for name, text in life.reasons_without_plan(payload)))


def _print_laws(console: Console, payload: Mapping[str, Any]) -> None:
    """Print what is chosen under each law, a few laws beside each other."""
    columns, rows = life.law_table(payload)
    title = "The same case under each loss law"
    for first in range(1, len(columns), LAWS_BESIDE):
        part = slice(first, first + LAWS_BESIDE)
        table = empty_table(title, (columns[0], *columns[part]))
        for row in rows:
            add_row(table, row[0], *row[part])
        print_titled(console, table)
        title = ""  # the second table goes on under the same title


def print_titled(console: Console, table: Table) -> None:
    """Print a table under its title: the table itself would fold the title to its own width."""
    title, table.title = table.title, None
    console.print(*((title, table, "") if title else (table, "")), sep="\n")


def _members(payload: Mapping[str, Any]) -> Table:
    table = empty_table("Members: training, serving with rollouts, whole life", life.MEMBER_COLUMNS, left=2)
    for row in life.member_rows(payload):
        add_row(table, *row)
    return table


def _bullets(console: Console, texts: Iterable[str]) -> None:
    from rich.table import Table

    grid = Table.grid(padding=(0, 1))
    for text in texts:
        add_row(grid, "-", text)
    if grid.row_count:
        console.print(grid, "")


def _print(console: Console, text: str) -> None:
    console.print(words.clean(text))
