"""The data that figures are drawn from."""

from __future__ import annotations

from typing import Any

import pytest

from planner.report.figures import figures


def test_bars_are_the_terms_in_milliseconds(payload: dict[str, Any]) -> None:
    """Each bar adds up to its terms: 52 ms a decode step, 214 ms a prefill batch; zero terms are left out."""
    drawn = figures(payload)
    decode, prefill = drawn["step-decode"]["data"], drawn["step-prefill"]["data"]
    assert sum(bar["x"][0] for bar in decode) == pytest.approx(52.0)
    assert sum(bar["x"][0] for bar in prefill) == pytest.approx(214.0)
    assert [bar["name"] for bar in decode] == [
        *("attention", "dense layers and head", "experts", "dispatch and combine", "fixed overhead")
    ]
    assert drawn["step-decode"]["layout"]["xaxis"]["title"]["text"].endswith("ms")


def test_mixed_deployments_are_decode_steps(payload: dict[str, Any]) -> None:
    """A deployment of both phases reports the terms of its decode step."""
    payload["decisions"]["deployments"][0]["phase"] = "both"
    drawn = figures(payload)
    assert "step-prefill" not in drawn
    assert drawn["step-decode"]["data"][0]["y"] == ["prefill-8gpu", "decode-24gpu"]


def test_balance_shows_every_layer_under_its_bound(payload: dict[str, Any]) -> None:
    """Two maps give two panels of bound and marks; the axis reaches below the worst layer and up to 1."""
    drawn = figures(payload)["balance"]
    bound, reached = drawn["data"][2:]
    assert bound["y"] == [0.998] * 58
    assert reached["y"][0] == 0.9877
    assert len(reached["y"]) == 58
    low, high = drawn["layout"]["yaxis2"]["range"]
    assert low < min(reached["y"])
    assert high > 1.0


def test_a_single_rank_has_no_balance(payload: dict[str, Any]) -> None:
    """One rank holds everything: there is nothing to draw, nor where a model is dense."""
    payload["placement"] = [payload["placement"][0] | {"map": "1x256"}]
    assert "balance" not in figures(payload)
    payload["placement"] = []
    assert "balance" not in figures(payload)


def test_names_reach_plotly_escaped(payload: dict[str, Any]) -> None:
    """Plotly reads tags in its texts, so names come escaped."""
    payload["decisions"]["deployments"][1]["name"] = "<b>&</b>"
    assert figures(payload)["step-decode"]["data"][0]["y"] == ["&lt;b&gt;&amp;&lt;/b&gt;"]
