"""Drawing, curves and sweeps as a browser shows them; screenshots lie in the tests' temporary folder."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any, Literal

import pytest
from browser_tools import ATTACK, MARKS, Opened, chromium
from report_samples import PAYLOAD
from view_samples import DRAWING, PLAN_WITH_MAP, RANKS, VIEWS, latency_sweep, scale_out_sweep

from planner.report.html import solve_part
from planner.report.several import page_of_parts
from planner.report.sweep_page import sweep_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = MARKS
DRAWN = "#topology-heat .heatmaplayer image"
MAPPED = "#sweep-plot .plot-container"
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages and their screenshots."""
    return tmp_path_factory.mktemp("views")


@pytest.fixture(scope="module")
def plan_page(browser: Browser, folder: Path) -> Opened:
    """Page of the sample plan with its views."""
    path = folder / "plan.html"
    path.write_text(page_of_parts([solve_part(PAYLOAD, PLAN_WITH_MAP, VIEWS)]), encoding="utf-8")
    return Opened(browser, path, DRAWN)


@pytest.fixture(scope="module")
def sweep_page(browser: Browser, folder: Path) -> Opened:
    """Page of the sample sweep."""
    path = folder / "sweep.html"
    path.write_text(page_of_parts([sweep_part(scale_out_sweep())]), encoding="utf-8")
    return Opened(browser, path, MAPPED)


@pytest.fixture(scope="module")
def all_page(browser: Browser, folder: Path) -> Opened:
    """One page of a plan, the same again and two sweeps."""
    plan = solve_part(PAYLOAD, PLAN_WITH_MAP, VIEWS)
    parts = [plan, plan, sweep_part(scale_out_sweep()), sweep_part(latency_sweep())]
    path = folder / "several.html"
    path.write_text(page_of_parts(parts), encoding="utf-8")
    return Opened(browser, path, "#r4-sweep-plot .plot-container")


def test_every_gpu_slot_and_link_is_drawn(plan_page: Opened) -> None:
    """24 GPUs of 11 slots in domains of 16: 24 cells, 24 ports, 264 slots, two ways out; a clean console."""
    page = plan_page.page
    assert page.locator("#topology-drawing .gpu").count() == RANKS
    assert page.locator("#topology-drawing .gpu path").count() == RANKS
    assert page.locator("#topology-drawing .gpu rect").count() == RANKS * (1 + 11)
    assert page.locator("#topology-drawing title").all_text_contents() == [
        "domain 1: 20.0 MB from outside",
        "domain 2: 10.0 MB from outside",
    ]
    assert plan_page.complaints == []
    assert plan_page.requests == [plan_page.address]


def test_the_slider_changes_the_layer_by_keyboard(plan_page: Opened) -> None:
    """In layer 0 all GPUs are alike; two steps right, odd GPUs carry 2 % more and even ones 2 % less."""
    page = plan_page.page
    page.locator("#topology-layer").focus()
    page.keyboard.press("Home")
    faces = page.locator("#topology-drawing .edge")
    assert faces.nth(0).get_attribute("fill") == faces.nth(1).get_attribute("fill")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#topology-value").inner_text() == "layer 2 of 0 to 2"
    assert faces.nth(0).get_attribute("fill") == "rgb(33,102,172)"
    assert faces.nth(1).get_attribute("fill") == "rgb(178,24,43)"


def test_a_gpu_tells_its_experts(plan_page: Opened) -> None:
    """By keyboard or tap: GPU 1 of layer 2 holds experts 13 to 23, of which a copy with another one has half."""
    page = plan_page.page
    page.locator("#topology-layer").fill("2")
    page.locator("#topology-drawing .gpu").first.focus()
    page.keyboard.press("ArrowRight")
    chosen = page.locator("#topology-chosen")
    assert chosen.locator("p").inner_text().startswith("GPU 1, layer 2: load 1.0200 of the mean; 1.00 MB arrive")
    assert [text.split(":")[0] for text in chosen.locator("span").all_inner_texts()] == [str(n) for n in range(13, 24)]
    page.locator("#topology-drawing .gpu").nth(5).click()
    assert chosen.locator("p").inner_text().startswith("GPU 5,")
    assert page.locator("#topology-drawing [aria-pressed=true]").count() == 1


def test_curves_and_front_are_drawn(plan_page: Opened) -> None:
    """Lines of step, read and cost, upright limits on both panels, a level one, and the plan's point on each."""
    page = plan_page.page
    assert page.locator("#figure-batch-0 .scatterlayer .trace").count() == 10
    assert page.locator("#figure-batch-0 .scatterlayer .point").count() == 2
    assert page.locator("#figure-front .scatterlayer .point").count() == 4


def test_the_filter_keeps_rows_with_all_words(sweep_page: Opened) -> None:
    """Seven points, one without a plan; "16,384 optimal" are two of them, and an empty box brings all back."""
    page = sweep_page.page
    box = page.get_by_label("Filter")
    box.fill("16,384 optimal")
    assert page.locator("#points tbody tr:visible").count() == 2
    assert page.locator("#points-count").inner_text() == "2 of 7 rows"
    box.fill("")
    assert page.locator("#points tbody tr:visible").count() == 7


def test_the_map_becomes_lines(sweep_page: Opened) -> None:
    """Two keys make a map; with one key there are a line of cost and a line of its bound."""
    page = sweep_page.page
    assert page.locator("#sweep-plot .heatmaplayer image").count() == 1
    page.get_by_label("Down", exact=True).select_option(label="nothing: lines")
    page.locator("#sweep-plot .scatterlayer .trace").nth(1).wait_for()
    assert page.locator("#sweep-plot .scatterlayer .trace").count() == 2
    assert "at document_tokens 2,048" in page.locator("#sweep-caption").inner_text()
    page.get_by_label("Down", exact=True).select_option(label="document_tokens")
    page.locator("#sweep-plot .heatmaplayer image").wait_for()
    assert sweep_page.complaints == []
    assert sweep_page.requests == [sweep_page.address]


def test_several_runs_share_one_page(all_page: Opened) -> None:
    """Two drawings and two sweeps with names of their own, one h1, and no level of heading left out."""
    page = all_page.page
    assert page.locator(".drawing svg").count() == 2
    assert page.locator("#r4-figure-pareto, #figure-r4-pareto").count() == 1
    assert all_page.complaints == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(one => Number(one.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["plan_page", "sweep_page", "all_page"])
def test_pages_fit_and_can_be_read(
    request: pytest.FixtureRequest, folder: Path, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    """No sideways scroll at either width, and every text stands out from its ground by at least 4.5 to 1."""
    opened: Opened = request.getfixturevalue(name)
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(400)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(FAINT) == []
    page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)


FAINT = """
() => {
  const parts = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const rgb = parts(getComputedStyle(at).backgroundColor);
      if (rgb.length === 3 || rgb[3] === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = "h1,h2,h3,h4,p,th,td,li,label,output,summary,figcaption,dt,dd,.card div,.chips span,a,option,.badge";
  for (const one of document.querySelectorAll(texts)) {
    if (!one.offsetParent || !one.textContent.trim()) continue;
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) faint.push(`${one.tagName} ${one.className}: ${one.textContent.slice(0, 40)}`);
  }
  return [...new Set(faint)].slice(0, 10);
}
"""


def test_controls_have_names_and_figures_have_texts(all_page: Opened) -> None:
    """Every box, list and slider has a label; every figure and every GPU says what it shows."""
    page = all_page.page
    unnamed = "[...document.querySelectorAll('input,select')].filter(one => !one.labels.length).length"
    assert page.evaluate(unnamed) == 0
    silent = "[...document.querySelectorAll('.plot,.gpu')].filter(one => !one.getAttribute('aria-label')).length"
    assert page.evaluate(silent) == 0


def test_the_largest_page_is_light_and_quick(all_page: Opened) -> None:
    """Four runs weigh under 8 MB, and are loaded and drawn with under 3 s of the machine's time."""
    page = all_page.page
    assert (page.evaluate("document.documentElement.outerHTML.length")) < 8_000_000
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.reload()
    page.locator("#r4-sweep-plot .plot-container").wait_for()
    spent = {entry["name"]: entry["value"] for entry in session.send("Performance.getMetrics")["metrics"]}
    assert spent["TaskDuration"] < 3.0


def test_hostile_names_stay_texts(browser: Browser, folder: Path) -> None:
    """Deployments, keys, values, layouts and reasons named like scripts are shown, in tables, menus and figures."""
    views: dict[str, Any] = copy.deepcopy(VIEWS)
    for entry in (views["curves"][0], views["fronts"][0]):
        entry["deployment"] = ATTACK
    views["drawings"] = [DRAWING | {"name": ATTACK}]
    views["fronts"][0]["layout"] = [ATTACK] * 3
    views["fronts"][0]["limits_s"] = {ATTACK: 0.05}
    sweep = scale_out_sweep()
    rows = [entry | {"layout": ATTACK, "reasons": ATTACK, ATTACK: ATTACK} for entry in sweep.rows]
    told = {"case": ATTACK, "description": ATTACK}
    hostile = type(sweep)(ATTACK, ATTACK, rows, (*sweep.keys, ATTACK), told)
    path = folder / "hostile.html"
    parts = [solve_part(PAYLOAD, PLAN_WITH_MAP, views), sweep_part(hostile)]
    path.write_text(page_of_parts(parts), encoding="utf-8")
    opened = Opened(browser, path, "#r2-sweep-plot .plot-container")
    assert opened.complaints == []
    assert opened.page.locator("main img").count() == 0
    assert opened.page.locator("#run2 h2").first.inner_text() == ATTACK
    assert ATTACK in opened.page.locator("#r1-topology-deployment").inner_text()
