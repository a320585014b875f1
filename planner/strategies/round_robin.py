"""Experts dealt to the GPUs in turn (vLLM ``round_robin``), so that neighbours in number sit on different GPUs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.problem import IntArray, PlacementRequest


def dealt_row(request: PlacementRequest) -> IntArray:
    """Map row dealt in turn, shape [slots_total]; each further pass over the experts starts one expert later."""
    slots, width = request.slots, request.slot_width
    row = np.full((request.gpus, width), -1, dtype=np.int64)
    dealt = 0
    for position in range(width):
        for gpu in np.flatnonzero(slots > position):
            row[gpu, position] = (dealt + dealt // request.experts) % request.experts
            dealt += 1
    return row.ravel()


class RoundRobin:
    """Expert e on GPU e modulo GPUs."""

    name = "round_robin"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported."""
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place without looking at the loads."""
        start = time.perf_counter()
        placed = np.tile(dealt_row(request), (request.layers, 1))
        placed[request.dense_layers] = identity_row(request)
        return assess(request, placed, time.perf_counter() - start, self.name)
