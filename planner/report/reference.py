"""A plan beside what somebody really paid, in sentences and rows; shared by the terminal text and the HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.markup import Markup, section, table, terms

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "Beside what was really paid"
COLUMNS = ("What", "Cost", "Of what was paid", "Proven bound", "GPUs in use")


def lead(payload: Mapping[str, Any]) -> str:
    """Say in a sentence how the plan, and the plan under the other calibration, compare with what was paid."""
    own, *others = payload["reference"]["plans"]
    text = f"This plan costs {words.share(own['ratio'])} of what was really paid over {_horizon(payload)}"
    text += f" (calibration {own['calibration']})"
    for other in others:
        text += f"; planned with calibration {other['calibration']} it would cost {words.share(other['ratio'])}"
    return f"{text}."


def reasons(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why the costs differ, how many GPUs the money pays for, and who says what was paid."""
    reference = payload["reference"]
    entries = [("Why they differ", " ".join(reference["note"].split()))]
    prices = {pool["usd_per_gpu_hour"] for pool in payload["decisions"]["pools"]}
    if len(prices) == 1:
        price = prices.pop()
        gpus = reference["cost_usd"] / payload["horizon_hours"] / price
        entries.append(("What was paid rents", f"{gpus:,.0f} GPUs at the plan's {words.usd(price)} a GPU-hour"))
    return [*entries, ("Source", reference["source"])]


def rows(payload: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of what was paid and of each plan, as ``COLUMNS`` says."""
    reference = payload["reference"]
    plans = reference["plans"]
    costs = words.usd_column([reference["cost_usd"], *(entry["cost_usd"] for entry in plans)])
    bounds = words.usd_column(entry["bound_usd"] for entry in plans)
    result: list[tuple[str, ...]] = [("really paid", costs[0], words.percent(1.0), words.NONE, words.NONE)]
    for number, (entry, cost, bound) in enumerate(zip(plans, costs[1:], bounds, strict=True)):
        what = "this plan" if number == 0 else "planned"
        name = f"{what}, calibration {entry['calibration']}: {entry['title']}"
        result.append((name, cost, words.percent(entry["ratio"]), bound, f"{entry['gpus_used']:,}"))
    return result


def beside_reference(payload: Mapping[str, Any]) -> Markup:
    """Write the section of the page; nothing where the case names no reference."""
    if not payload.get("reference"):
        return Markup("")
    columns = (COLUMNS[0], f"$ over {_horizon(payload)}", *COLUMNS[2:])
    return section("reference", TITLE, lead(payload), table(columns, rows(payload)), terms(reasons(payload)))


def _horizon(payload: Mapping[str, Any]) -> str:
    return f"{words.number(payload['horizon_hours'])} h"
