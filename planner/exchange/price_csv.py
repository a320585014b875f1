"""Price tables from a CSV that lists many models: a row a model, tier and band of context lengths.

Columns: model, tier, context_band, input_usd_per_mtok, output_usd_per_mtok; and, where they are known,
cache_read_usd_per_mtok, cache_write_usd_per_mtok (5 minutes), cache_write_long_ttl_usd_per_mtok (1 hour), speed_note.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.instance.loading import validate
from planner.instance.price_table import PriceTable

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = ("model", "tier", "context_band", "input_usd_per_mtok", "output_usd_per_mtok")
_PRICES = (
    "input_usd_per_mtok",
    "output_usd_per_mtok",
    "cache_read_usd_per_mtok",
    "cache_write_usd_per_mtok",
    "cache_write_long_ttl_usd_per_mtok",
)
_SHORT_HOURS, _LONG_HOURS = 5 / 60, 1.0
_ABOVE = re.compile(r">\s*(\d+)\s*([kM])")
_SHORT_CONTEXT = re.compile(r"(all|<)|$")
_BANDS = "all, <=200k input or >200k input"
_TOKENS = {"k": 1_000, "M": 1_000_000}
_SPEED = re.compile(r"up to ([\d.]+)x")
_STORAGE = re.compile(r"storage ([\d.]+) USD per 1M tokens per hour")

Row = dict[str, Any]


def read_price_csv(path: Path, model: str | None, machine: dict[str, Any]) -> PriceTable:
    """Read the prices of one model.

    Parameters
    ----------
    path
        The CSV.
    model
        Which model; may be left out where the file has one.
    machine
        Table ``machine`` of the price table.

    Raises
    ------
    InstanceError
        With every problem: columns that are missing, prices that are no positive number, an unknown model, a band of
        contexts that is not understood, two different prices for the same thing.
    """
    rows = _rows(path)
    names = list(dict.fromkeys(row["model"] for row in rows))
    if model is None and len(names) != 1:
        raise InstanceError.single(str(path), "--model", f"{len(names)} models", f"one of {_listed(names)}")
    chosen = names[0] if model is None else model
    own = [row for row in rows if row["model"] == chosen]
    if not own:
        raise InstanceError.single(str(path), "--model", f"no model {chosen!r}", f"one of {_listed(names)}")
    return validate(PriceTable, _table(chosen, own, str(path)) | {"machine": machine}, f"{path}: {chosen}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _rows(path: Path) -> list[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise InstanceError.single(str(path), "", "is not text", "give a CSV file") from error
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise InstanceError(Problem(str(path), name, "column is missing", "add the column") for name in missing)
    problems: list[Problem] = []
    rows = [_row(path, number, raw, problems) for number, raw in enumerate(reader, 2)]
    if problems:
        raise InstanceError(problems)
    if not rows:
        raise InstanceError.single(str(path), "", "has no row", "give prices")
    return rows


def _row(path: Path, line: int, raw: dict[str, str | None], problems: list[Problem]) -> Row:
    row: Row = {key: (value or "").strip() for key, value in raw.items() if isinstance(key, str)} | {"line": line}
    for name in _PRICES:
        text = row.get(name, "")
        try:
            price = float(text) if text else None
        except ValueError:
            problems.append(
                Problem(str(path), f"line {line}: {name}", f"{text!r} is no number", "USD per million tokens")
            )
            continue
        if price is not None and not (math.isfinite(price) and price >= 0):
            problems.append(Problem(str(path), f"line {line}: {name}", f"is {text}", "give a price of 0 or more"))
        row[name] = price or None  # a price of 0 is no price: nothing follows from what is given away
    return row


def _table(model: str, rows: list[Row], file: str) -> dict[str, Any]:
    standard = [row for row in rows if row["tier"] == "standard"]
    above = [row for row in standard if _ABOVE.match(row["context_band"])]
    base = [row for row in standard if _SHORT_CONTEXT.match(row["context_band"])]
    _refuse_bands([row for row in standard if row not in above and row not in base], file)
    _refuse_contradictions([base, above], file)
    if not base:
        raise InstanceError.single(file, "tier", f"{model} has no standard tier", "give its standard prices")
    first = base[0]
    table: dict[str, Any] = {
        "name": model,
        "title": model,
        "typical_context_tokens": 4000,
        "input_usd_per_mtok": first["input_usd_per_mtok"],
        "output_usd_per_mtok": first["output_usd_per_mtok"],
        "cached_input_usd_per_mtok": first.get("cache_read_usd_per_mtok"),
        "sources": {
            "prices": "; ".join(dict.fromkeys(row.get("source") or file for row in rows)),
            "typical_context_tokens": "assumption: a usual chat request",
        },
    }
    table |= _long_context(above) | _writes(first) | _storage(rows) | _fast(rows, first)
    return {key: value for key, value in table.items() if value is not None}


def _refuse_bands(strange: list[Row], file: str) -> None:
    if strange:
        raise InstanceError(
            Problem(file, f"line {row['line']}: context_band", f"{row['context_band']!r} is no band", _BANDS)
            for row in strange
        )


def _refuse_contradictions(bands: list[list[Row]], file: str) -> None:
    """Refuse two different prices of a model below its step, two above it, and two steps: which holds is not told."""
    problems = []
    for rows in bands:
        for row in rows[1:]:
            names = ["context_band", *_PRICES] if _ABOVE.match(row["context_band"]) else list(_PRICES)
            differs = next((name for name in names if row.get(name) != rows[0].get(name)), None)
            if differs is not None:
                message = f"differs from line {rows[0]['line']}: {rows[0].get(differs)} and {row.get(differs)}"
                problems.append(Problem(file, f"line {row['line']}: {differs}", message, "keep one of the two rows"))
    if problems:
        raise InstanceError(problems)


def _long_context(above: list[Row]) -> dict[str, Any]:
    if not above:
        return {}
    found = _ABOVE.match(above[0]["context_band"])
    prices = {name: above[0][name] for name in ("input_usd_per_mtok", "output_usd_per_mtok") if above[0][name]}
    return {"long_context": {"threshold_tokens": int(found[1]) * _TOKENS[found[2]] if found else 0} | prices}


def _writes(row: Row) -> dict[str, Any]:
    short, long = row.get("cache_write_usd_per_mtok"), row.get("cache_write_long_ttl_usd_per_mtok")
    if not short or not long or long <= short:
        return {}
    hours = {"short_hours": _SHORT_HOURS, "long_hours": _LONG_HOURS}
    return {"cache_writes": {"short_usd_per_mtok": short, "long_usd_per_mtok": long} | hours, "storage_tier": "hbm"}


def _storage(rows: list[Row]) -> dict[str, Any]:
    for row in rows:
        if found := _STORAGE.search(row.get("speed_note", "")):
            return {"storage_usd_per_mtok_hour": float(found[1]), "storage_tier": "hbm"}
    return {}


def _fast(rows: list[Row], standard: Row) -> dict[str, Any]:
    """Read the dearest fast tier that says how much faster it is."""
    fast = [row for row in rows if row["tier"] in ("fast", "ultrafast") and row["output_usd_per_mtok"]]
    for row in sorted(fast, key=lambda entry: -entry["output_usd_per_mtok"]):
        speed = _SPEED.search(row.get("speed_note", ""))
        ratio = row["output_usd_per_mtok"] / standard["output_usd_per_mtok"]
        if speed and ratio > 1 and float(speed[1]) > 1:
            return {"fast_mode": {"price_ratio": ratio, "speed_ratio": float(speed[1])}}
    return {}
