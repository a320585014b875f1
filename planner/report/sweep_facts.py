"""What the rows of a sweep say: keys that vary, fronts, and where spreading experts over domains stops paying."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.report import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

LATENCIES = {"tpot": "worst_tpot_s", "ttft": "worst_ttft_s"}
MOST_GROUPS_TOLD = 6
MOST_LINES = 6


@dataclass(frozen=True)
class Sweep:
    """A sweep as it is drawn.

    Attributes
    ----------
    name, title
        Of the sweep file.
    rows
        Flat rows: keys that vary and columns of the answer.
    keys
        Names of the keys that vary.
    summary
        The sweep's own document: ``description, case, points, done, failed, tornado, break_even``; may be empty.
    """

    name: str
    title: str
    rows: Sequence[Row]
    keys: tuple[str, ...]
    summary: Mapping[str, Any]

    @property
    def solved(self) -> list[Row]:
        """Rows with a plan."""
        return [row for row in self.rows if row["cost_usd"] is not None]


def short(key: str) -> str:
    """Last two parts of a key: enough to know it by."""
    return ".".join(key.split(".")[-2:])


def shown(value: object) -> str:
    """Write a value of a key; an absent one is the case's own."""
    if value is None:
        return "as it is"
    if isinstance(value, float):
        return words.number(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def groups(rows: Sequence[Row], keys: Sequence[str]) -> dict[str, list[Row]]:
    """Rows with the same values of ``keys``, by what these are; one group without a name where there are no keys."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        name = ", ".join(f"{short(key)} {shown(row.get(key))}" for key in keys)
        found.setdefault(name, []).append(row)
    return found


def latency_key(sweep: Sweep) -> tuple[str, str] | None:
    """Key of a sweep that is a time limit, and the column of the time reached; None where there is none."""
    for key in sweep.keys:
        for part, column in LATENCIES.items():
            if part in key:
                return key, column
    return None


def scale_out_key(sweep: Sweep) -> str | None:
    """Key of a sweep that says how much slower the links between domains are, or how fast."""
    return next((key for key in sweep.keys if "scale_out" in key and _numbers(sweep, key)), None)


def _numbers(sweep: Sweep, key: str) -> bool:
    return all(isinstance(row.get(key), (int, float)) for row in sweep.rows if row.get(key) is not None)


def front(rows: Sequence[Row], column: str) -> list[Row]:
    """Rows that no other beats in both time and cost, from quick to cheap."""
    kept: list[Row] = []
    known = [row for row in rows if row["cost_usd"] is not None and row[column] is not None]
    for row in sorted(known, key=lambda entry: (entry[column], entry["cost_usd"])):
        if not kept or row["cost_usd"] < kept[-1]["cost_usd"]:
            kept.append(row)
    return kept


def spread_sentence(sweep: Sweep, key: str) -> str:
    """Say between which values of ``key`` plans stop spreading experts over domains, or that they never do.

    ``widest_domains`` of a row is the number of domains that the widest stage of a deployment spans.
    """
    others = [name for name in sweep.keys if name != key]
    turns: dict[str, list[str]] = {}
    wide = narrow = 0
    known = [row for row in sweep.solved if isinstance(row.get(key), (int, float))]
    for name, rows in groups(known, others).items():
        line = sorted(rows, key=lambda row: row[key])
        spans = [row["widest_domains"] > 1 for row in line]
        wide, narrow = wide + all(spans), narrow + (not any(spans))
        for low, high, before, after in zip(line, line[1:], spans, spans[1:], strict=False):
            if before != after:
                verb = "stops" if before else "starts"
                turns.setdefault(f"{verb} between {shown(low[key])} and {shown(high[key])}", []).append(name)
    if not known:
        return "No point has a plan, so nothing is known of spreading experts over domains."
    values = [row[key] for row in known]
    place = f"{short(key)} {shown(min(values))} to {shown(max(values))}"
    without = len(sweep.rows) - len(sweep.solved)
    rest = f" {words.counted(without, 'point')} without a plan left out." if without else ""
    said = f"{_verdict(turns, wide, narrow, place)}{_narrowed(sweep, key)}{rest}"
    return f"Spreading the experts of a deployment over several domains {said}"


def _narrowed(sweep: Sweep, key: str) -> str:
    """Add what a break-even search on the same key found."""
    for entry in sweep.summary.get("break_even") or ():
        if entry["key"] == key and entry["watch"] == "widest_domains" and entry["flips"]:
            ends = f"{shown(entry['below'])} and {shown(entry['above'])}"
            return f" A search with the other keys as the case has them narrows it to between {ends}."
    return ""


def _verdict(turns: Mapping[str, Sequence[str]], wide: int, narrow: int, place: str) -> str:
    if not turns and not wide:
        return f"never pays from {place}: the cheapest plan keeps every deployment inside one domain at every point."
    if not turns and not narrow:
        return f"pays at every point from {place}."
    told = "; ".join(f"{turn}{_places(names)}" for turn, names in list(turns.items())[:MOST_GROUPS_TOLD])
    rest = f"; and {len(turns) - MOST_GROUPS_TOLD} more turns" if len(turns) > MOST_GROUPS_TOLD else ""
    settings = [words.counted(count, "other setting") for count in (narrow, wide)]
    steady = [f"it never pays at {settings[0]}" if narrow else "", f"it always pays at {settings[1]}" if wide else ""]
    also = ", ".join(part for part in steady if part)
    return f"turns within {place}: it {told}{rest}{'; ' + also if also else ''}." if turns else f"varies: {also}."


def _places(names: Sequence[str]) -> str:
    """Name the settings at which a turn was seen: the first, and how many more."""
    if not names[0]:
        return ""
    return f" at {names[0]}" + (f" and {words.counted(len(names) - 1, 'more setting')}" if len(names) > 1 else "")
