"""The page of a comparison, read as text and in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browser_tools import ATTACK, MARKS, Opened, chromium
from page_tools import tags_of, visible

from planner.report.compare_page import MEASURES, compare_page

if TYPE_CHECKING:
    from pathlib import Path


def row(case: str, strategy: str, rank: int | None, gap: float | None, note: str = "") -> dict[str, Any]:
    """One row as `planner.studies.compare.compare_strategies` returns it; without a rank it has no plan."""
    values = {
        "cost_usd": 100.0,
        "gpus_used": 8,
        "decode_step_s": 0.031,
        "balance_mean": 0.98,
        "remote_share": 0.25,
        "remote_token_share": 0.5,
        "remote_sends_per_token": 0.75,
        "moved_fraction": 0.4,
    }
    known = values if rank is not None else dict.fromkeys(values)
    return {"case": case, "strategy": strategy, "rank": rank, **known, "gap": gap, "seconds": 1.5, "note": note}


ROWS = [
    row("one", "search", 1, 0.0),
    row("one", "index_order", 2, 0.02),
    row("one", "exact", None, None, "too many binaries"),
    row("two", "search", 1, 0.01),
    row("two", "exact", 2, 0.03),
    row("two", "index_order", 3, 0.04),
]


def test_strategies_are_ranked_on_each_case_and_over_all() -> None:
    """Mean gap of 0 and 1 % is 0.5 %; plans on both cases come before one on a single case; a refusal says why."""
    page = compare_page(ROWS)
    text = visible(page)
    assert tags_of(page)
    assert "3 strategies on 2 cases. search is first on 2 of 2." in text
    assert "search 2 of 2 2 1.00 0.50 1.00 index_order 2 of 2 0 2.50 3.00 4.00 exact 1 of 2 0 2.00 3.00 3.00" in text
    assert "2 index_order $100.00 2.00 31.00 0.9800 0.250 0.500 0.75 0.40 1.5" in text
    assert "exact: too many binaries" in text


def test_one_case_has_no_summary_over_all() -> None:
    """With a single case its own table says it all; without a plan there is nothing to draw."""
    assert "Over all cases" not in visible(compare_page(ROWS[:3]))
    assert "The same drawn" not in visible(compare_page([ROWS[2]]))


def test_names_are_escaped() -> None:
    """A case, a strategy or a note named like a script is text."""
    assert "<script>alert" not in compare_page([row(ATTACK, ATTACK, 1, 0.0, ATTACK)])


@pytest.mark.browser
@MARKS[1]
def test_a_browser_draws_it_quietly_at_both_widths(tmp_path: Path) -> None:
    """Seven figures of six marks, no request, no complaint, no sideways scroll, hostile names as texts."""
    path = tmp_path / "compared.html"
    path.write_text(compare_page([*ROWS, row(ATTACK, ATTACK, 1, 0.0, ATTACK)]), encoding="utf-8")
    with chromium() as browser:
        opened = Opened(browser, path, "#figure-moved_fraction .plot-container")
        for measure in MEASURES:
            assert opened.page.locator(f"#figure-{measure.key} .scatterlayer .point").count() == 6
        for width in (1280, 390):
            opened.page.set_viewport_size({"width": width, "height": 900})
            opened.page.wait_for_timeout(300)
            assert opened.page.evaluate("document.documentElement.scrollWidth") == width
            opened.page.screenshot(path=tmp_path / f"compared-{width}.png", full_page=True)
        assert opened.page.locator("main img").count() == 0
        assert opened.complaints == []
        assert opened.requests == [opened.address]
