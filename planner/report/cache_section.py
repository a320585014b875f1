"""What a plan keeps of prompts that begin alike, as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.cache_text import WRITTEN
from planner.report.markup import Markup, element, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SENTENCE = (
    "KV of prefixes that come again: which tier holds it, what share of the uses it serves, and for how long holding "
    "a prefix there is cheaper than computing it again."
)


def cache(payload: Mapping[str, Any]) -> Markup:
    """Write where each kind of prefix is kept, what the tiers carry and what holding is worth; nothing without any."""
    kept = payload["decisions"].get("cache")
    if not kept or not kept["prefixes"]:
        return Markup("")
    columns = ("Prefix", "Of class", "Kept in", "Written on", "Tokens", "Comes again after", "Uses it serves", "Held")
    return section(
        "cache",
        "Prompts that begin alike",
        SENTENCE,
        table((*columns, "Fetch"), _holdings(kept), left=4),
        _tiers(kept),
        _hold_times(kept),
    )


def _holdings(kept: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for entry in kept["prefixes"]:
        again = words.duration(entry["reuse_interval_s"])
        named = (entry["prefix"], entry["demand"])
        shape = (f"{entry['tokens']:,}", again)
        for held in entry["kept"]:
            where = held["tier"] if held["share"] == 1.0 else f"{held['tier']} ({words.percent(held['share'])})"
            served = words.percent(held["hits_per_s"] / entry["uses_per_s"]) if entry["uses_per_s"] else words.NONE
            size, fetch = words.size(held["held_bytes"]), words.duration(held["fetch_s"])
            yield (*named, where, WRITTEN[held["write"]], *shape, served, size, fetch)
        if not entry["kept"]:
            yield (*named, "computed again", words.NONE, *shape, "0 %", words.NONE, words.NONE)


def _tiers(kept: Mapping[str, Any]) -> Markup:
    if not kept["tiers"]:
        return Markup("")
    rows = [
        (
            entry["tier"],
            f"{entry['devices']:,}" if entry["devices"] else "spare HBM",
            words.size(entry["held_bytes"]),
            words.size(entry["capacity_bytes"]),
            words.percent(entry["utilisation"]) if entry["devices"] else words.NONE,
            words.usd(entry["usd"]),
        )
        for entry in kept["tiers"]
    ]
    columns = ("Tier", "Devices", "Holds", "Of", "Bandwidth taken", "$ over the horizon")
    return joined([element("h3", "What the tiers carry"), table(columns, rows)])


def _hold_times(kept: Mapping[str, Any]) -> Markup:
    """Tabulate the longest hold that pays in each tier, and which tier is cheapest from when on."""
    rows = []
    for entry in kept["prefixes"]:
        starts = {stretch["tier"]: stretch["from_s"] for stretch in entry["cheapest_by_hold_time"]}
        rows += [
            (entry["prefix"], tier, words.duration(longest), words.duration(starts.get(tier)))
            for tier, longest in entry["break_even_hold_s"].items()
        ]
    if not rows:
        return Markup("")
    note = "By arithmetic alone, at the peak of the first pool's GPU, before queues and spare room."
    columns = ("Prefix", "Tier", "Pays up to a hold of", "Cheapest from a hold of")
    return joined([element("h3", "How long holding pays"), element("p", note), table(columns, rows, left=2)])
