"""The terminal text of a plan."""

from __future__ import annotations

import re
from typing import Any

from report_samples import renamed

from planner.report.text import WIDTH, render_text


def line_with(text: str, start: str) -> str:
    """Give the first line that starts with ``start``, its gaps reduced to one space."""
    return next(re.sub(r" +", " ", line.strip()) for line in text.splitlines() if line.strip().startswith(start))


def test_headline_states_cost_bound_gap_judge_status_and_time(payload: dict[str, Any]) -> None:
    """The certificate comes first."""
    text = render_text(payload)
    folded = " ".join(text.split())
    assert "cost $396.00 an hour, $9,504.00 over 24 h, $1.25 per million output tokens proven bound" in folded
    assert line_with(text, "proven bound") == "proven bound $395.00 an hour"
    assert line_with(text, "gap").startswith("gap 0.253 %")
    assert line_with(text, "judge").endswith("3e-13")
    assert line_with(text, "status") == "status optimal; stopped after 12.3 s: the gap asked for was reached"
    assert line_with(text, "GPUs") == "GPUs 144 paid, 112 in use, 32 idle"


def test_rows_of_the_tables(payload: dict[str, Any]) -> None:
    """Layout, service, pool, money, placement and savings, each with its numbers."""
    text = render_text(payload)
    assert "decode-24gpu racks 2 x 24 1/24/24/1 11 180 sequences $132.00" in re.sub(r" +", " ", text)
    assert "decode-24gpu chat 80 - 49.3 ms 93.1 % 88.2 % 1.0125" in re.sub(r" +", " ", text)
    assert "racks gb200_nvl72 2 of 2 112 144 32 $2.75" in re.sub(r" +", " ", text)
    assert line_with(text, "idle GPUs") == "idle GPUs $2,112.00 22.2 %"
    assert line_with(text, "24x11") == "24x11 58 0.98770 0.98200 0.99800 1.0321 %"
    assert line_with(text, "arithmetic of racks") == "arithmetic of racks 1 % $0.000 $3.100"
    assert line_with(text, "TPOT of chat") == "TPOT of chat decode-24gpu"
    assert "document $27.08" in re.sub(r" +", " ", text)


def test_run_folder_closes_the_text_where_there_is_one(payload: dict[str, Any]) -> None:
    """The reader is told where the files are."""
    assert "Written to" not in render_text(payload)
    assert render_text(payload | {"run_dir": "outputs/run"}).splitlines()[-1].startswith("Written to outputs/run:")


def test_text_fits_its_width_without_colour_codes(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Names with mark-up and escape sequences of terminals are written as text, long ones folded."""
    name = "[red]very[/red] \x1b[31mlong " + "n" * 200
    renamed(payload, plan, name)
    text = render_text(payload)
    assert "\x1b" not in text
    assert "[red]very[/red]" in text
    tables = text.split("Deployments")[1].split("Written to")[0]
    assert max(len(line) for line in tables.splitlines()) <= WIDTH


def test_a_plan_that_stopped_early_says_so(payload: dict[str, Any]) -> None:
    """A plan that is not proven to the gap names why the search stopped."""
    text = render_text(payload | {"status": "feasible", "stop_reason": "time_limit", "gap": 0.3, "bound_usd": 6652.8})
    assert "feasible; stopped after 12.3 s: the time limit ran out" in text
    assert "costs more than 30 % less" in " ".join(text.split())


def test_a_dense_model_with_slack_has_no_empty_tables(payload: dict[str, Any]) -> None:
    """Tables without a row are left out."""
    payload["placement"], payload["binding"]["limits"] = [], []
    payload["decisions"]["pools"][0]["domains"] = 3
    text = render_text(payload)
    assert "Experts on GPUs" not in text
    assert "What binds" not in text
