"""Plans that may lose any one GPU or node and still hold every expert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.coverage import check_slots, covered_start, domains_of
from planner.strategies.replan import Replanner, gather
from planner.strategies.result import identity_row

if TYPE_CHECKING:
    from planner.strategies.coverage import Survive
    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult


def surviving(request: PlacementRequest, survive: Survive) -> PlacementResult:
    """Place every expert in two domains at least, then balance without giving that up.

    Raises
    ------
    NoPlanFound
        Too few slots for it.
    """
    check_slots(request, survive)
    began = time.perf_counter()
    domain, slots = domains_of(request, survive), np.array(request.slots)
    mean = request.unit_mean_load.mean(axis=0)
    start = np.tile(identity_row(request), (request.layers, 1))
    for layer in np.flatnonzero(~request.dense_layers).tolist():
        start[layer] = covered_start(mean[layer], slots, domain).ravel()
    plan = Replanner(request, start, domain, least=2, free=True)
    deadline = None if request.time_limit_s is None else began + request.time_limit_s

    def one(layer: int) -> IntArray:
        late = deadline is not None and time.perf_counter() > deadline
        assign = start[layer].reshape(request.gpus, -1)
        return (assign if late else plan.search(layer, assign.copy(), assign.size)).ravel()

    return gather(plan, one, lambda layer: start[layer], began, f"survive_{survive}")
