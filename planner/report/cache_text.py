"""What a plan keeps of prompts that begin alike, as tables of the terminal text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.terminal import add_row, empty_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

WRITTEN = {"first_use": "1st use", "second_use": "2nd use"}


def prefixes(payload: Mapping[str, Any]) -> Table:
    """Tabulate each kind of prefix, where it is kept, and what that hits; no rows without prefixes."""
    columns = ("prefix", "of class", "kept in", "written on", "tokens", "reuse", "hits", "held", "fetch")
    table = empty_table("Prompts that begin alike, and where their KV is kept", columns, left=4)
    for entry in (payload["decisions"].get("cache") or {}).get("prefixes", []):
        reuse = words.duration(entry["reuse_interval_s"])
        for held in entry["kept"]:
            share = held["hits_per_s"] / entry["uses_per_s"]
            where = held["tier"] if held["share"] == 1.0 else f"{held['tier']} ({words.percent(held['share'])})"
            cells = (words.percent(share), f"{words.size(held['held_bytes'])}", words.duration(held["fetch_s"]))
            written = WRITTEN[held["write"]]
            add_row(table, entry["prefix"], entry["demand"], where, written, f"{entry['tokens']:,}", reuse, *cells)
        if not entry["kept"]:
            where = ("computed", words.NONE, f"{entry['tokens']:,}", reuse, "0 %", words.NONE, words.NONE)
            add_row(table, entry["prefix"], entry["demand"], *where)
    return table


def tiers(payload: Mapping[str, Any]) -> Table:
    """Tabulate the tiers in use: devices, room taken, bandwidth taken, dollars over the horizon."""
    table = empty_table("Where prefixes lie", ("tier", "devices", "holds", "of", "bandwidth taken", "$"))
    for entry in (payload["decisions"].get("cache") or {}).get("tiers", []):
        add_row(
            table,
            entry["tier"],
            f"{entry['devices']:,}" if entry["devices"] else "spare HBM",
            words.size(entry["held_bytes"]),
            words.size(entry["capacity_bytes"]),
            words.percent(entry["utilisation"]) if entry["devices"] else words.NONE,
            words.usd(entry["usd"]),
        )
    return table
