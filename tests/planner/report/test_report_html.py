"""The HTML page of a plan, read as text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from page_tools import tags_of, visible
from report_samples import renamed

from planner.instance.resolve import load_calibration
from planner.report.html import render_html, solve_part, write_report
from planner.report.markup import Markup, element
from planner.report.several import page_of_parts

if TYPE_CHECKING:
    from pathlib import Path

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def test_page_is_one_file_with_plotly_once(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Nothing is loaded from elsewhere; the policy of the page forbids it too."""
    page = render_html(payload, plan)
    tags = tags_of(page)
    assert not [attrs for _, attrs in tags if (attrs.get("src") or attrs.get("href") or "data:,") != "data:,"]
    assert [tag for tag, attrs in tags if tag == "script" and "type" not in attrs] == ["script"] * 2
    policy = next(attrs["content"] for tag, attrs in tags if tag == "meta" and "http-equiv" in attrs)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_sections_and_their_numbers(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """The first minute and the details are all there."""
    text = visible(render_html(payload, plan))
    for heading in (
        *(
            "What is served, and how fast",
            "Where the money goes",
            "What holds the cost up",
            "What to buy or loosen next",
        ),
        *("Deployments", "Where it runs", "Where the time of a step goes", "How evenly the experts are spread"),
        *("What this rests on", "How it was found"),
    ):
        assert heading in text
    assert "Cost $396.00 per hour $9,504.00 over 24 h; $1.25 per million output tokens" in text
    assert "prefill $176.00 $4,224.00 44.4 %" in text
    assert "Proven: no plan made of the choices offered costs more than 0.253 % less." in text
    assert "document $27.08" in text
    assert "Hand values, not fitted (hand_set)" in text
    assert "highspy 1.16.0, pyomo 6.10.1" in text


def test_stage_time_of_the_step_table(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Decode: 52 ms of terms less 0.33 of 8 ms hidden is 49.36 ms."""
    text = visible(render_html(payload, plan))
    assert "decode-24gpu 180 sequences 20.00 5.00 14.00 0.00 8.00 5.00 -2.64 49.36" in text


def test_a_domain_bar_holds_all_its_gpus(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """A rack of 72 with 24 + 4 x 8 GPUs in use shows 16 idle; the widths add up to 100 %."""
    page = render_html(payload, plan)
    assert "2 domains of racks: 72 GPUs each, 16 idle" in page
    bar = page.split("16 idle</div>")[1].split("</div>")[0]
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", bar)]
    assert len(widths) == 6
    assert sum(widths) == pytest.approx(100.0, abs=0.01)
    assert 'title="idle: 16 GPUs"' in bar


def test_names_are_escaped_everywhere(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """No element is born from a name, wherever it is written."""
    before = sorted(tag for tag, _ in tags_of(render_html(payload, plan)))
    renamed(payload, plan, ATTACK)
    page = render_html(payload, plan)
    after = sorted(tag for tag, _ in tags_of(page))
    assert after.count("script") == before.count("script")
    assert "img" not in after
    assert not [attrs for _, attrs in tags_of(page) if any(name.startswith("on") for name in attrs)]
    assert "alert(1)" in visible(page.replace("&lt;", "(").replace("&gt;", ")"))


def test_a_dense_model_without_limits_in_sight(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """No experts, no binding limit, unlimited domains, a time limit: the page still says what it knows."""
    payload["placement"], payload["binding"] = (
        [],
        {"limits": [], "one_more_unit": [], "usd_of_one_more_request_per_s": {}},
    )
    payload["assumptions"]["model"]["moe_layers"] = 0
    payload["decisions"]["pools"][0]["domains"] = None
    payload |= {"status": "feasible", "stop_reason": "time_limit"}
    text = visible(render_html(payload, plan))
    assert "The search stopped because the time limit ran out." in text
    assert "No limit is met within 2 %." in text
    assert "How evenly the experts are spread" not in text
    assert "2 of 2" not in text


def test_report_appears_whole(payload: dict[str, Any], plan: dict[str, Any], tmp_path: Path) -> None:
    """The file holds the page and nothing is left beside it."""
    write_report(tmp_path / "report.html", payload, plan)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(payload, plan)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_only_markup_passes_unescaped() -> None:
    """Text and attribute values are escaped, markup is not escaped twice."""
    inner = element("b", "1 < 2")
    assert element("p", inner, " & ", 3, title='"x"') == '<p title="&quot;x&quot;"><b>1 &lt; 2</b> &amp; 3</p>'
    assert element("br") == "<br>"
    assert isinstance(inner, Markup)


def test_the_error_on_rows_left_out_stands_beside_baselines(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Published figures of the fitted profile: 13.1 / 10.3 % of aggregated TPOT, hand values 17.2 / 14.1, per group."""
    scored = load_calibration("fitted").model_dump(mode="json")
    payload["assumptions"]["calibration"] |= {"bands": scored["bands"], "left_out": scored["left_out"]}
    text = visible(render_html(payload, plan))
    assert "aggregated this model 2,104 13.1 / 10.3 32.2 / 23.8 13.3 / 9.9" in text
    assert "aggregated hand values 2,104 17.2 / 14.1 37.8 / 30.0 18.5 / 14.0" in text
    assert "rows that aiconfigurator answered aiconfigurator 215 24.9 / 15.8" in text
    assert "kimi-k2.5 b200 vllm 71 11.2 / 12.1" in text


def test_a_profile_without_scores_says_so(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Hand-set values were never scored: the page says that the error is unknown, and shows no error table."""
    text = visible(render_html(payload, plan))
    assert "The calibration hand_set was not scored against measurements: its error is unknown." in text
    assert "Error on rows it was not fitted to" not in text


def _cache() -> dict[str, Any]:
    held = {"tier": "flash", "write": "second_use", "share": 0.5, "hits_per_s": 20.0, "held_bytes": 2e12}
    shape = {"demand": "chat", "tokens": 4000, "reuse_interval_s": 300.0, "uses_per_s": 80.0}
    times = {
        "break_even_hold_s": {"flash": 7200.0},
        "cheapest_by_hold_time": [{"tier": "flash", "from_s": 40.0}, {"tier": "computed", "from_s": 7200.0}],
    }
    entry = {"prefix": "tools", **shape, "kept": [held | {"fetch_s": 0.25}], **times}
    tier = {"tier": "flash", "devices": 8, "held_bytes": 2e12, "capacity_bytes": 8e12, "utilisation": 0.75, "usd": 1.6}
    return {"prefixes": [entry, entry | {"prefix": ATTACK, "kept": []}], "tiers": [tier]}


def test_prefix_caches_have_a_section(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Half of a prefix on flash serves 20 of 80 uses; one that is not kept is computed again; names are escaped."""
    assert "Prompts that begin alike" not in visible(render_html(payload, plan))
    payload["decisions"]["cache"] = _cache()
    page = render_html(payload, plan)
    text = visible(page)
    assert tags_of(page)
    assert "tools chat flash (50.0 %) 2nd use 4,000 300 s 25.0 % 2 TB 250 ms" in text
    assert "chat computed again - 4,000 300 s 0 %" in text
    assert "flash 8 2 TB 8 TB 75.0 % $1.60" in text
    assert "tools flash 7,200 s 40 s" in text
    assert "<script>alert(1)" not in page


def test_plans_of_one_page_stand_side_by_side(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """$396 an hour against a bound of $395, 144 GPUs, worst TTFT 4.95 s and TPOT 49.3 ms, once a plan; none for one."""
    part = solve_part(payload, plan, {})
    assert "Side by side" not in visible(page_of_parts([part]))
    text = visible(page_of_parts([part, part]))
    line = "$396.00 $395.00 0.253 % 144 / "
    assert text.count(line) == 2
    assert text.count("4.95 s 49.3 ms hand_set") == 2
