"""The ledger's page as a browser shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from playwright.sync_api import expect, sync_playwright

from planner.report.claims_page import render_claims
from planner.report.claims_said import EXHIBITS, FIGURES
from planner.studies.claims.ledger import CLAIMS, recompute
from planner.studies.claims.pictures import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = Path("/usr/bin/chromium")
SOME = ("C1", "C4", "C13", "C23", "C26", "C32")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium"),
]


class Opened:
    """The page with all that it complained about or asked for."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page, self.address = page, path.as_uri()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.address)
        page.locator("#figure-kv .bars").wait_for()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Page of six claims on a laptop in daylight."""
    path = tmp_path_factory.mktemp("claims") / "claims.html"
    crossing = CLAIMS["C13"]
    path.write_text(render_claims(recompute(SOME), pictures(crossing.compute(crossing.values()))), encoding="utf-8")
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
        yield Opened(context.new_page(), path)
        browser.close()


def test_ten_figures_are_drawn_quietly(opened: Opened) -> None:
    """Six figures and four exhibits hold lines or bars; a clean console, no request but the page itself."""
    for name in (*FIGURES, *EXHIBITS):
        shapes = opened.page.locator(f"#figure-{name} :is(.js-line, .bars .point path, .points path)")
        assert shapes.count() >= 3, name
        widths = shapes.evaluate_all("all => all.map(one => one.getBBox().width + one.getBBox().height)")
        assert all(width > 0 for width in widths), name
    assert opened.complaints == []
    assert opened.requests == [opened.address]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_nothing_sticks_out(opened: Opened, width: int, scheme: Literal["light", "dark"], tmp_path: Path) -> None:
    """Phone, tablet and laptop, day and night, all claims open: only tables scroll sideways, never the page."""
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.locator("details.claim").evaluate_all("all => all.forEach(one => { one.open = true; })")
    page.wait_for_timeout(400)
    page.screenshot(path=tmp_path / f"claims-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.locator("details.claim").evaluate_all("all => all.forEach(one => { one.open = false; })")
    edges = page.locator(".plot .legendtext, .plot .bartext").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().right)"
    )
    assert max(edges) <= width
    assert opened.complaints == []


@pytest.mark.parametrize(("scheme", "ground"), [("dark", "rgb(18, 21, 27)"), ("light", "rgb(245, 246, 248)")])
def test_colours_follow_the_reader(opened: Opened, scheme: Literal["light", "dark"], ground: str) -> None:
    """Page and axis names change at once when the lights go off or on."""
    opened.page.emulate_media(color_scheme=scheme)
    expect(opened.page.locator("body")).to_have_css("background-color", ground)
    letters = {"dark": "rgb(230, 233, 239)", "light": "rgb(27, 31, 39)"}[scheme]
    expect(opened.page.locator("#figure-batch .xtick text").first).to_have_css("fill", letters)


def test_the_filter_shows_one_verdict(opened: Opened) -> None:
    """Choosing SLIP leaves the slips; all brings every claim back; a keyboard will do."""
    page = opened.page
    shown = page.locator("details.claim:visible")
    assert shown.count() == len(SOME)
    page.locator("#show-SLIP").check()
    ids: list[Any] = shown.evaluate_all("all => all.map(one => one.id)")
    assert ids == ["C4", "C13"]
    page.locator("#show-SLIP").press("ArrowRight")
    assert page.locator(".ledger-filter input:checked").get_attribute("id") != "show-SLIP"
    page.locator("#show-all").check()
    assert shown.count() == len(SOME)


def test_a_claim_opens_on_a_click(opened: Opened) -> None:
    """Folded at first; open it shows equation, inputs, figures and the flip."""
    claim = opened.page.locator("#C4")
    equation = claim.locator(".inside .equation")
    assert not equation.is_visible()
    claim.locator("summary").click()
    assert equation.inner_text() == CLAIMS["C4"].equation
    assert claim.locator("dt", has_text="Flips").is_visible()
    assert claim.locator("table").count() == 2
    claim.locator("summary").click()
    assert not equation.is_visible()
