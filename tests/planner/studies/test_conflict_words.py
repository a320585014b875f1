"""Infeasible cases say in words which limits cannot hold together."""

from __future__ import annotations

import pytest

from planner.errors import NoPlanFound
from planner.solver.options import SolveOptions
from planner.studies.api import open_serving_case
from planner.studies.conflict_words import in_words
from planner.studies.plan_case import plan_case


def test_no_row_name_is_shown() -> None:
    """Far more requests than two islands serve: demand and capacity in words, with what would be enough."""
    with pytest.raises(NoPlanFound) as refused:
        plan_case(open_serving_case("tiny_mixtral_island", ["demand.chat.requests_per_s=4000"]))
    text = "\n".join(refused.value.reasons)
    assert "[" not in text
    assert "these cannot hold together: prefill of chat, 4000 requests/s; what 1" in text
    assert "kinds of deployment in h100 can carry inside the limits" in text


def test_domains_are_named_and_unknown_rows_keep_their_names() -> None:
    """Rows of one kind are one text, in the order of the first."""
    instance = open_serving_case("tiny_mixtral_island")
    rows = ["packing[0].conserve[4]", "packing[0].cover[2]", "gpus_needed", "demand_met[decode,1]", "new_row[3]"]
    assert in_words(rows, instance, None) == [  # type: ignore[arg-type]  # tables are only asked about capacity
        "the cutting of the 2 domains of 8 GPUs in h100",
        "the GPUs that any plan was counted to need",
        "decode of document, 1 requests/s",
        "new_row[3]",
    ]


def test_a_sweep_says_what_is_needed_at_least() -> None:
    """Two islands are not enough, so at least three; twenty times the requests need about twenty times as many."""
    least = []
    for rate in (200, 4000):
        instance = open_serving_case("tiny_mixtral_island", [f"demand.chat.requests_per_s={rate}"])
        with pytest.raises(NoPlanFound) as refused:
            plan_case(instance, SolveOptions(repeatable=True, threads=1))
        (said,) = [reason for reason in refused.value.reasons if reason.startswith("at least")]
        least.append(int(said.split()[2]))
    assert least[0] >= 3
    assert 10 * least[0] < least[1] < 25 * least[0]
