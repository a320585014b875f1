"""The runs of a page set against each other: what each costs, proves, uses and reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import facts, words
from planner.report.markup import Markup, element, section, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.report.html import Part

COLUMNS = ("Cost an hour", "Proven bound", "Gap", "GPUs paid / used", "Worst TTFT", "Worst TPOT", "Calibration")
SENTENCE = (
    "Plans of this page side by side. Costs compare where demand, horizon and calibration are the same. Worst TTFT and "
    "TPOT are the longest that any class waits; each class has its own limit."
)

_NAME = "display:inline-block;min-width:10rem;white-space:normal"
"""Long titles break, so that the columns behind them stay in sight."""


def headline(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Write a plan's line of the table, a cell for each of `COLUMNS`."""
    gpus, served = facts.total_gpus(payload), facts.service_rows(payload)
    return (
        words.usd(facts.per_hour(payload, payload["cost_usd"])),
        words.usd(facts.per_hour(payload, payload["bound_usd"])),
        words.share(payload["gap"]),
        f"{gpus['paid']:,} / {gpus['used']:,}",
        words.duration(max((row.ttft_s for row in served if row.ttft_s is not None), default=None)),
        words.duration(max((row.tpot_s for row in served if row.tpot_s is not None), default=None)),
        str(payload["assumptions"]["calibration"]["name"]),
    )


def side_by_side(parts: Sequence[Part]) -> Markup:
    """Tabulate the plans among the parts; nothing where there are not two to compare."""
    rows = [
        (element("a", f"{number}. {part.title}", href=f"#run{number}", style=_NAME), *part.headline)
        for number, part in enumerate(parts, 1)
        if part.headline
    ]
    if len(rows) < 2:
        return Markup("")
    return section("compared", "Side by side", SENTENCE, table(("Run", *COLUMNS), rows))
