"""Figures derived from a plan's document."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InstanceError
from planner.report import facts


def test_cost_of_a_million_output_tokens(payload: dict[str, Any]) -> None:
    """396 $ an hour over 88 requests/s of 1,000 tokens: 316.8 million tokens an hour, 1.25 $ a million."""
    assert facts.per_hour(payload, payload["cost_usd"]) == pytest.approx(396.0)
    assert facts.usd_per_million_output_tokens(payload) == pytest.approx(1.25)


def test_no_demand_has_no_cost_per_token(payload: dict[str, Any]) -> None:
    """Without a request there is nothing to divide by."""
    for entry in payload["demand"]:
        entry["requests_per_s"] = 0.0
    assert facts.usd_per_million_output_tokens(payload) is None


def test_deployments_and_idle_gpus_add_up_to_the_cost(payload: dict[str, Any]) -> None:
    """64 GPUs of prefill, 48 of decode and 32 idle at 2.75 $ are 396 $ an hour."""
    assert facts.deployment_usd_per_hour(payload) == {"prefill-8gpu": 176.0, "decode-24gpu": 132.0}
    assert sum(facts.deployment_usd_per_hour(payload).values()) + 32 * 2.75 == 396.0
    payload["breakdown_usd"] = {"idle": 2112.0, "prefill": 4224.0, "decode": 3168.0}
    assert [name for name, _, _ in facts.breakdown(payload)] == ["prefill", "decode", "idle"]
    assert [part for _, _, part in facts.breakdown(payload)] == pytest.approx([4 / 9, 3 / 9, 2 / 9])


def test_overlap_hides_its_share_of_the_shorter_part() -> None:
    """10 ms of communication beside 40 ms of the rest at one third: 3.33 ms; turned round the same."""
    spent = {"attention": 0.04, "all_reduce": 0.004, "all_to_all": 0.006}
    assert facts.hidden_s(spent, 1 / 3) == pytest.approx(0.01 / 3)
    assert facts.hidden_s({"attention": 0.01, "all_reduce": 0.04, "all_to_all": 0.0}, 1 / 3) == pytest.approx(0.01 / 3)


def test_a_class_shows_its_slowest_deployment(payload: dict[str, Any]) -> None:
    """The longest of the times that any deployment gives it, beside the limit."""
    slow = payload["decisions"]["deployments"][1] | {"name": "decode-2", "tpot_s": {"chat": 0.04999, "document": 0.01}}
    payload["decisions"]["deployments"].append(slow)
    chat, document = facts.class_rows(payload)
    assert (chat.tpot_s, chat.tpot_limit_s, chat.ttft_s) == (0.04999, 0.05, 1.28)
    assert document.tpot_s == 0.0493


def test_limits_are_grouped(payload: dict[str, Any]) -> None:
    """A limit that two deployments meet is listed once."""
    payload["binding"]["limits"].append({"deployment": "prefill-8gpu", "limit": "TPOT of chat"})
    assert facts.binding_limits(payload)["TPOT of chat"] == ["decode-24gpu", "prefill-8gpu"]
    assert facts.binding_limits(payload)["domains of racks"] == ["2 of 2 in use"]
    payload["decisions"]["pools"][0]["domains"] = 3
    assert "domains of racks" not in facts.binding_limits(payload)


def test_every_missing_key_is_named(payload: dict[str, Any]) -> None:
    """A document of another version is refused with all that it lacks."""
    del payload["demand"], payload["assumptions"]
    with pytest.raises(InstanceError) as caught:
        facts.check_payload(payload, "manifest.json")
    assert [problem.key for problem in caught.value.problems] == ["result.demand", "result.assumptions"]
