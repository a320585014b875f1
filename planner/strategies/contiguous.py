"""Slots numbered 0, 1, 2, ... modulo the experts: what engines do when nothing is asked (vLLM ``linear``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.problem import PlacementRequest


class Contiguous:
    """Neighbouring experts share a GPU; the redundant slots repeat the first experts."""

    name = "contiguous"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported."""
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place without looking at the loads."""
        start = time.perf_counter()
        placed = np.tile(identity_row(request), (request.layers, 1))
        return assess(request, placed, time.perf_counter() - start, self.name)
