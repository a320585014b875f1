"""Fixtures of the report tests: the sample plan, free to change."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from report_samples import PAYLOAD, PLAN


@pytest.fixture
def payload() -> dict[str, Any]:
    """Document of the plan, free to change."""
    return copy.deepcopy(PAYLOAD)


@pytest.fixture
def plan() -> dict[str, Any]:
    """Decisions of the plan, free to change."""
    return copy.deepcopy(PLAN)
