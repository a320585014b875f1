"""What a sweep's rows say in words."""

from __future__ import annotations

import pytest
from view_samples import latency_sweep, row, scale_out_sweep

from planner.report import sweep_facts
from planner.report.sweep_facts import Sweep
from planner.report.sweep_figures import sweep_figures


def _sweep(spans: dict[tuple[float, str], int]) -> Sweep:
    rows = [row({"scale_out_ratio": r, "format": f}, 1.0, widest_domains=n) for (r, f), n in spans.items()]
    return Sweep("s", "S", rows, ("scale_out_ratio", "format"), {})


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ({(2.0, "a"): 1, (9.0, "a"): 1}, "never pays from scale_out_ratio 2 to 9"),
        ({(2.0, "a"): 2, (9.0, "a"): 2}, "pays at every point from scale_out_ratio 2 to 9"),
        ({(2.0, "a"): 2, (4.0, "a"): 2, (9.0, "a"): 1}, "it stops between 4 and 9 at format a."),
        (
            {(2.0, "a"): 2, (9.0, "a"): 1, (2.0, "b"): 1, (9.0, "b"): 1},
            "it stops between 2 and 9 at format a; it never pays at 1 other setting.",
        ),
        (
            {(2.0, "a"): 2, (9.0, "a"): 1, (2.0, "b"): 2, (9.0, "b"): 1},
            "it stops between 2 and 9 at format a and 1 more setting.",
        ),
        ({(2.0, "a"): 1, (9.0, "a"): 2}, "it starts between 2 and 9"),
        (
            {(2.0, "a"): 1, (2.0, "b"): 2},
            "never pays at 1 other setting, it always pays at 1 other setting.",
        ),
    ],
)
def test_where_spreading_turns(spans: dict[tuple[float, str], int], words: str) -> None:
    """The sentence names the two ratios between which the widest deployment shrinks to one domain, or says never."""
    assert words in sweep_facts.spread_sentence(_sweep(spans), "scale_out_ratio")


def test_points_without_a_plan_are_told() -> None:
    """A point that no plan meets says nothing about spreading, and is counted."""
    assert sweep_facts.spread_sentence(scale_out_sweep(), "scale_out_ratio").endswith(
        "1 point without a plan left out."
    )


def test_the_front_leaves_out_what_is_beaten() -> None:
    """Of 400, 300, 300 and 200 $ at 20, 30, 35 and 80 ms the second plan of 300 $ is slower at no gain."""
    line = sweep_facts.front(latency_sweep().rows, "worst_tpot_s")
    assert [(entry["worst_tpot_s"], entry["cost_usd"]) for entry in line] == [(0.02, 400), (0.03, 300), (0.08, 200)]
    bound, cost = sweep_figures(latency_sweep())["pareto"]["data"]
    assert cost["x"] == pytest.approx([20, 30, 80])
    assert bound["y"] == pytest.approx([396, 297, 198])


def test_keys_that_mean_something_are_found() -> None:
    """A time limit makes a front, a scale-out key a figure of domains; text values make neither."""
    assert sweep_facts.latency_key(latency_sweep()) == ("tpot_limit_ms", "worst_tpot_s")
    assert sweep_facts.scale_out_key(scale_out_sweep()) == "scale_out_ratio"
    assert sweep_facts.scale_out_key(latency_sweep()) is None
    assert set(sweep_figures(scale_out_sweep())) == {"spread", "tornado"}


def test_the_tornado_starts_at_the_base() -> None:
    """From 100 $: 60 is 40 to the left and 150 is 50 to the right; an end without a plan has no bar."""
    low, high = sweep_figures(scale_out_sweep())["tornado"]["data"]
    assert low["base"] == high["base"] == 100.0
    assert low["x"] == [-40.0, -10.0]
    assert high["x"] == [50.0, None]


def test_a_search_narrows_the_turn() -> None:
    """A break-even search on the number of domains gives the tighter bracket: 6 to 6.5 within 4 to 9."""
    sweep = _sweep({(4.0, "a"): 2, (9.0, "a"): 1})
    found = {"key": "scale_out_ratio", "watch": "widest_domains", "flips": True, "below": 6.0, "above": 6.5}
    narrowed = Sweep("s", "S", sweep.rows, sweep.keys, {"break_even": [found]})
    assert "narrows it to between 6 and 6.5." in sweep_facts.spread_sentence(narrowed, "scale_out_ratio")
