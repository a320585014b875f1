"""The part of the report on what was really paid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from life_samples import paid_documents
from page_tools import visible

from planner.report.html import render_html
from planner.report.text import render_text


def _both() -> tuple[str, str]:
    payload, plan = paid_documents()
    return re.sub(r"\s+", " ", render_text(payload)), visible(render_html(payload, plan))


def test_both_plans_stand_beside_what_was_paid() -> None:
    """Costs over the day, shares of what was paid and GPUs of 11,880 $, of 80 % and of 25 % of them."""
    for text in _both():
        assert "really paid $11,880 100.0 % - -" in text
        assert re.search(r"this plan, calibration .*\$9,504 80.0 % \$9,480.00 112", text)
        assert re.search(r"planned, calibration .*\$2,970 25.0 % \$2,970.00 40", text)
        assert "This plan costs 80 % of what was really paid over 24 h (calibration hand_set)" in text
        assert "planned with calibration floor it would cost 25 %." in text


def test_the_reason_is_given_with_its_source() -> None:
    """The note without its line breaks, the GPUs that the bill rents (11,880 $ over 24 h at 2.75 $), who says so."""
    for text in _both():
        assert "The floor profile hides all traffic; the hand values charge launches." in text
        assert re.search(r"What was paid rents:? 180 GPUs at the plan.{1,6}s \$2.75 a GPU-hour", text)
        assert re.search(r"Source:? a bill of 2026", text)


def test_it_comes_before_the_demand() -> None:
    """A reader sees it near the top, after the cost."""
    for text, after in zip(_both(), ("Demand, and the longest times", "What is served, and how fast"), strict=True):
        assert text.index("Beside what was really paid") < text.index(after)


def test_pools_at_several_prices_rent_no_single_number(payload: dict[str, Any]) -> None:
    """With two prices the bill is not turned into GPUs."""
    paid, _ = paid_documents()
    pools = paid["decisions"]["pools"]
    pools.append(pools[0] | {"pool": "other", "usd_per_gpu_hour": 5.0})
    assert "What was paid rents" not in render_text(paid)
    assert "really paid" not in render_text(payload)


@pytest.mark.parametrize("missing", [None, {}])
def test_no_reference_no_section(payload: dict[str, Any], plan: dict[str, Any], missing: object) -> None:
    """An empty entry is as good as none."""
    payload["reference"] = missing
    assert "really paid" not in render_text(payload)
    assert "really paid" not in render_html(payload, plan)
