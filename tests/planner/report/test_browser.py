"""The HTML page as a browser shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from browser_tools import ATTACK, MARKS, Opened, chromium
from life_samples import life_documents, renamed_life
from playwright.sync_api import expect
from report_samples import PAYLOAD, PLAN, renamed

from planner.report.html import write_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with chromium() as opened:
        yield opened


def open_page(browser: Browser, path: Path) -> Opened:
    """Open a page and wait for its figures."""
    page = Opened(browser, path, "body")
    page.page.locator(".plot .legend").nth(2).wait_for()
    return page


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Page of the sample plan on a laptop in daylight."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, PAYLOAD, PLAN)
    return open_page(browser, path)


def brightness(page: Page, selector: str, key: str) -> int:
    """Sum of red, green and blue of a computed style, 0 to 765."""
    text = page.eval_on_selector(selector, f"element => getComputedStyle(element).{key}")
    return sum(int(part) for part in text.removeprefix("rgb(").removesuffix(")").split(","))


def test_page_draws_quietly_and_asks_for_nothing(opened: Opened) -> None:
    """Three figures, a clean console, no request but the page itself."""
    assert opened.page.locator("#figure-step-decode .bars .point").count() == 5
    assert opened.page.locator("#figure-balance .scatterlayer .point").count() == 2 * 58
    assert opened.complaints == []
    assert opened.requests == [opened.address]


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_nothing_sticks_out(opened: Opened, width: int) -> None:
    """On a phone, a tablet and a laptop only tables scroll sideways, never the page."""
    opened.page.set_viewport_size({"width": width, "height": 800})
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize(("scheme", "letters"), [("dark", "rgb(230, 233, 239)"), ("light", "rgb(27, 31, 39)")])
def test_colours_follow_the_reader(opened: Opened, scheme: Literal["dark", "light"], letters: str) -> None:
    """Page and figures change at once when the reader turns the lights off or on, and stay easy to read."""
    opened.page.emulate_media(color_scheme=scheme)
    expect(opened.page.locator("#figure-step-decode .xtick text").first).to_have_css("fill", letters)
    ground = brightness(opened.page, "body", "backgroundColor")
    assert (ground > 600) is (scheme == "light")
    assert abs(ground - brightness(opened.page, "#figure-balance .legendtext", "fill")) > 400


def test_a_hostile_name_does_not_run(
    browser: Browser, payload: dict[str, Any], plan: dict[str, Any], tmp_path: Path
) -> None:
    """A case, class or deployment named like a script is shown as text, in tables and figures."""
    renamed(payload, plan, ATTACK)
    write_report(tmp_path / "report.html", payload, plan)
    opened = open_page(browser, tmp_path / "report.html")
    assert opened.complaints == []
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("h1").inner_text() == ATTACK
    assert opened.page.locator("#figure-step-prefill .ytick text").text_content() == ATTACK


@pytest.fixture(scope="module")
def life(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Page of a plan that also chooses its model."""
    path = tmp_path_factory.mktemp("report") / "life.html"
    write_report(path, *life_documents())
    return open_page(browser, path)


def test_members_are_drawn_quietly(life: Opened) -> None:
    """Three members with training and a plan or a bound are six bars with a length; the chosen one is marked."""
    assert life.complaints == []
    assert life.requests == [life.address]
    paths = life.page.locator("#figure-members .bars .point path").evaluate_all(
        "all => all.map(one => one.getBBox().width)"
    )
    assert sum(width > 0 for width in paths) == 6
    assert life.page.locator("#figure-members .bartext").all_text_contents() == ["chosen"]
    ends = life.page.locator("#figure-members .textpoint").all_text_contents()
    assert [text.strip() for text in ends] == ["$8.000 M", "$9.000 M", "\u2265 $9.500 M"]


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_no_table_of_members_or_laws_sticks_out(life: Opened, width: int) -> None:
    """The page of a lifecycle fits a phone, a tablet and a laptop; the ends of all bars stay inside the figure."""
    life.page.set_viewport_size({"width": width, "height": 800})
    life.page.wait_for_timeout(300)
    assert life.page.evaluate("document.documentElement.scrollWidth") == width
    edge = life.page.locator("#figure-members").evaluate("one => one.getBoundingClientRect().right")
    ends = life.page.locator("#figure-members .textpoint").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(ends) <= edge


def test_hostile_members_and_notes_do_not_run(browser: Browser, tmp_path: Path) -> None:
    """Members, laws, reasons and notes named like scripts are texts in tables and figure."""
    payload, plan = life_documents()
    renamed_life(payload, ATTACK)
    write_report(tmp_path / "report.html", payload, plan)
    opened = open_page(browser, tmp_path / "report.html")
    assert opened.complaints == []
    assert opened.page.locator("img").count() == 0
    assert opened.page.locator("#figure-members .ytick text").all_text_contents().count(ATTACK) == 1
