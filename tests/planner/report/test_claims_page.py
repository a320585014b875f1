"""The ledger's page: whole, quiet, escaped, with every claim, figure and equation on it."""

from __future__ import annotations

import copy
import json
import re
from html import escape
from typing import Any

import pytest
from page_tools import tags_of, visible

from planner.report.claims_page import render_claims
from planner.report.claims_said import EXHIBITS, FIGURES
from planner.report.claims_text import shown, shown_flip
from planner.studies.claims.ledger import recompute
from planner.studies.claims.pictures import pictures

SOME = ("C1", "C4", "C26", "C32")
ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def entries() -> list[dict[str, Any]]:
    """Four claims, recomputed: one with a flip, one slip, one of large numbers, one with an exhibit."""
    return recompute(SOME)


@pytest.fixture(scope="module")
def series() -> dict[str, Any]:
    """Series of all figures but the placements."""
    return pictures(None)


@pytest.fixture(scope="module")
def page(entries: list[dict[str, Any]], series: dict[str, Any]) -> str:
    """Page of the four claims."""
    return render_claims(entries, series)


def test_the_page_is_whole_and_asks_for_nothing(page: str) -> None:
    """Every element is closed, names are unique, and nothing comes from elsewhere: the policy forbids it."""
    tags = tags_of(page)
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    links = [value for _, attributes in tags for key, value in attributes.items() if key in ("src", "href")]
    assert links == ["data:,"]
    policy = next(attributes["content"] for _, attributes in tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_every_figure_has_its_sentence_and_equation(page: str, series: dict[str, Any]) -> None:
    """One sentence a figure, which screen readers hear too, and the equation beside it."""
    tags, text = tags_of(page), visible(page)
    heard = {attributes["id"]: attributes["aria-label"] for _, attributes in tags if attributes.get("role") == "img"}
    for name, said in (FIGURES | EXHIBITS).items():
        assert (f"figure-{name}" in heard) is (name in series)
        if name in series:
            assert heard[f"figure-{name}"] == said.sentence
            assert escape(said.equation) in text
            assert said.sentence.count(".") - len(re.findall(r"\d\.\d", said.sentence)) == 1


def test_claims_show_what_the_ledger_says(page: str, entries: list[dict[str, Any]]) -> None:
    """Statement, verdict, equation, why, inputs and figures of each claim, and what would flip it."""
    text = visible(page)
    for entry in entries:
        for part in ("id", "statement", "verdict", "equation", "why", "quantity"):
            assert escape(str(entry[part])) in text
        assert all(escape(row["name"]) in text for row in (*entry["inputs"], *entry["figures"]))
        assert escape(shown_flip(entry["flip"])) in text
    assert "1 ROUNDED, 1 ASSUMES, 1 SLIP, 1 QUALITATIVE" in text


def test_figures_are_data(page: str, series: dict[str, Any]) -> None:
    """The block of figures is JSON with one plotly document a figure."""
    block = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    drawn = json.loads(block[1])
    assert set(drawn) == set(series)
    assert all(document["data"] for document in drawn.values())


def test_hostile_texts_are_texts(entries: list[dict[str, Any]], series: dict[str, Any]) -> None:
    """A statement, an input or a source named like a script is escaped."""
    hostile = copy.deepcopy(entries)
    for entry in hostile:
        entry |= {"statement": ATTACK, "equation": ATTACK, "why": ATTACK, "unit": ATTACK}
        for row in (*entry["inputs"], *entry["figures"]):
            row["name"] = row["unit"] = ATTACK
    page = render_claims(hostile, series)
    assert ATTACK not in page
    assert not [tag for tag, _ in tags_of(page) if tag == "img"]


def test_a_failed_line_is_said(entries: list[dict[str, Any]]) -> None:
    """An acceptance line that does not come out stands in the claim and in the page's first lines."""
    failed = copy.deepcopy(entries)
    failed[0]["acceptance"][0] |= {"holds": False, "text": "a figure: 1 against 2"}
    text = visible(render_claims(failed, {}))
    assert "a figure: 1 against 2" in text
    assert "1 of" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        ("input", "input"),
        (0.0, "0"),
        (2.592e14, "259.2 T"),
        (1.3e9, "1.3 B"),
        (2.59e21, "2,590,000,000,000,000,000,000"),
        (5440.5, "5,440"),
        (1.165e-3, "0.001165"),
        (1.2e-12, "1.2e-12"),
    ],
)
def test_values_are_written_for_people(value: object, text: str) -> None:
    """Large counts in M, B and T, small numbers with an exponent, answers in words."""
    assert shown(value) == text
