"""The parts of the report on the choice of a model and its tokens, as text and as a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from life_samples import life_documents, renamed_life
from page_tools import tags_of, visible

from planner.report import facts, life
from planner.report.figures import figures
from planner.report.html import render_html
from planner.report.terminal import WIDTH
from planner.report.text import render_text

if TYPE_CHECKING:
    from collections.abc import Callable

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def _text(payload: dict[str, Any], _plan: dict[str, Any]) -> str:
    return re.sub(r"\s+", " ", render_text(payload))


def _page(payload: dict[str, Any], plan: dict[str, Any]) -> str:
    return visible(render_html(payload, plan)).replace("&#x27;", "'")


@pytest.fixture(params=[_text, _page], ids=["text", "page"])
def shown(request: pytest.FixtureRequest) -> Callable[[dict[str, Any], dict[str, Any]], str]:
    """Either renderer, its white space reduced."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """Payload and plan of the sample, free to change."""
    return life_documents()


def test_the_headline_is_the_whole_life(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """8 million $ are not divided by the hours; 1.92 million over 8,000 h of serving are 240 $ an hour."""
    text, page = _text(*documents), _page(*documents)
    assert "cost $8,000,000 for the whole life: pre-training, RL and 8,000 h of serving" in text
    assert "proven bound $7,996,000 for the whole life" in text
    assert "spent on pre-training 73.0 %, RL with its rollouts 3.0 %, serving 24.0 % ($240.00 an hour)" in text
    assert "Cost $8,000,000 whole life pre-training, RL and 8,000 h of serving; $3.16 per million output tokens" in page
    assert "Proven bound $7,996,000 whole life" in page
    assert "$1,000.00 an hour" not in text + page


def test_the_choice_is_explained(shown: Callable[..., str], documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Member, tokens, over-training, decode penalty, equal spend, bracket, price and warning, in plain numbers."""
    text = shown(*documents)
    for sentence in (
        "small: 20.0 B active of 400 B parameters, on 30.0 T tokens and 500 B RL tokens",
        "Over-training: 75.0 times the rule of 20 tokens an active parameter, 6.00 times what law hoffmann calls "
        "optimal for its 50.0 B effective parameters.",
        "Decode penalty that the plan implies: 2.20.",
        "leads to medium: $9.000 M, 12.5 % more than this plan.",
        "If only training counted: large, $4.500 M. If only serving and rollouts counted: small, at least $1.996 M.",
        "Together $6.496 M: no plan costs less than that.",
        "50.0 B parameters: law hoffmann was fitted between 57.0 M and 16.2 B; extrapolated",
        "that of 36.6 B active parameters at sparsity 18.3, trained on 14.8 T tokens",
        "16.4 % of peak used: $1.71 for 1e18 FLOP",
    ):
        assert sentence in text


def test_members_show_costs_bounds_and_reasons(
    shown: Callable[..., str], documents: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """A plan's cost is a number, a bound is marked as one, a member that is out has its reason."""
    text = shown(*documents)
    assert "small chosen 20.0 B 400 B 30.0 T $6.000 M $2.000 M $8.000 M" in text
    assert "medium planned 36.6 B 671 B 14.8 T $5.000 M $4.000 M $9.000 M" in text
    assert "large bound only 60.0 B 1.20 T 9.40 T $4.500 M ≥ $5.000 M ≥ $9.500 M" in text
    assert "little out 1.00 B 20.0 B - - - -" in text
    assert "no number of tokens brings it to loss 1.8515" in text


def test_laws_stand_side_by_side(shown: Callable[..., str], documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """The case's own law comes first and is marked; a law without a plan says why."""
    text = shown(*documents)
    assert "Under law hoffmann (this case) besiroglu sardana" in text
    assert "Trained small no plan small" in text
    assert "Proven bound $7.996 M - $7.996 M" in text
    assert "Spent on RL 3.0 % - 3.0 %" in text
    assert "Serving over training 0.316 - 0.316" in text
    assert "Tokens over the law's optimum 6.00 x - 6.00 x" in text
    assert "Regret of equal spend 12.5 % - 0 %" in text
    assert "Range of the law extrapolated - extrapolated" in text
    assert "small: no tokens; large: no fleet" in text


def test_no_plan_under_any_other_law_still_makes_a_table(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """With no law that has a plan the table has the one row that says so."""
    payload, _ = documents
    payload["lifecycle"]["laws"] = payload["lifecycle"]["laws"][:1]
    assert life.law_table(payload) == (["Under law", "besiroglu"], [["Trained", "no plan"]])
    assert "The same case under each loss law" in render_text(payload)


def test_sentences_follow_the_rollouts_and_the_rule(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """No rollouts, rollouts at another price, the same member by the rule, a rule without a plan: each is said."""
    payload, _ = documents
    law = payload["lifecycle"]["laws"][1]
    assert "priced with the same number" in life.meaning(payload)[1]
    law["decode_penalty_of_rollouts"] = 2.5
    assert "priced with 2.50" in life.meaning(payload)[1]
    law["decode_penalty_of_rollouts"] = None
    assert life.meaning(payload)[1].endswith("a FLOP of training.")
    law["equal_spend"] = {"member": "small", "cost_usd": 8.0e6, "regret": 0.0}
    assert "nothing is lost" in life.meaning(payload)[2]
    law["equal_spend"] = {"member": "large", "cost_usd": None, "regret": None}
    assert life.meaning(payload)[2].endswith("leads to large, which has no plan.")
    law["chosen"] = False
    assert life.meaning(payload) == []


def test_the_money_goes_in_the_order_of_a_life(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Training first, idle GPUs last; no hourly rate for what is over before the first request."""
    names = [name for name, _, _ in facts.breakdown(documents[0])]
    assert names == ["pretraining", "rl_training", "rl_generation", "prefill", "decode", "idle"]
    text, page = _text(*documents), _page(*documents)
    assert "part $ of the whole life share" in text
    assert "pre-training $5,840,000 73.0 %" in text
    assert "Part $ of the whole life Share pre-training $5,840,000 73.0 %" in page
    assert "rollouts of RL $80,000 1.0 % prefill $1,000,000 12.5 %" in page


def test_bars_are_the_members_with_a_bound(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Training and serving of three members in millions; each bar has a plan or a bound, the chosen one is marked."""
    training, planned, bound, ends = figures(documents[0])["members"]["data"]
    assert training["y"] == ["small", "medium", "large"]
    assert training["x"] == pytest.approx([6.0, 5.0, 4.5])
    assert training["text"] == ["<b>chosen</b>", "", ""]
    assert planned["x"] == [2.0, 4.0, None]
    assert bound["x"] == [None, None, 5.0]
    assert [text.strip() for text in ends["text"]] == ["$8.000 M", "$9.000 M", "≥ $9.500 M"]


def test_hostile_texts_stay_texts(documents: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """No element and no control sequence comes from a name, a reason or a source."""
    payload, plan = documents
    renamed_life(payload, ATTACK)
    tags = tags_of(render_html(payload, plan))
    assert [tag for tag, _ in tags].count("script") == 4
    assert "img" not in [tag for tag, _ in tags]
    assert not [attrs for _, attrs in tags if any(name.startswith("on") for name in attrs)]
    renamed_life(payload, "[red]x[/red]\x1b[31m " + "n" * 150)
    text = render_text(payload)
    assert "\x1b" not in text
    assert "[red]" in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_a_serving_plan_has_none_of_it(payload: dict[str, Any], plan: dict[str, Any]) -> None:
    """Without a choice of model the page and the text do not mention one."""
    for text in (_text(payload, plan), _page(payload, plan)):
        assert "whole life" not in text
        assert "What is trained" not in text
