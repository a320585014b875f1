"""Plan from a running map with moves priced in seconds: each layer moves as much as pays before the next plan."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.migration import in_rounds, round_seconds
from planner.strategies.moves import list_moves
from planner.strategies.replan import Replanner, gather
from planner.strategies.running_map import layer_seconds_share

if TYPE_CHECKING:
    from planner.strategies.migration import Links
    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

LADDER = (0.02, 0.05, 0.15, 0.5)
"""Budgets tried, as fractions of a layer's slots; each search starts from the plan of the smaller budget."""


def priced(request: PlacementRequest, running: IntArray, links: Links, remaining_s: float) -> PlacementResult:
    """Choose for every layer the budget with the largest time saved less time moving.

    Time saved is the layer's part of ``remaining_s``; layers run, and migrate, one after another, so they add up and
    the best choice is made layer by layer. What a migration costs once is not in it (see
    `planner.strategies.migration.Verdict`).
    """
    began = time.perf_counter()
    plan = Replanner(request, running)
    starts = np.tile(-1, (request.layers, request.gpus * request.slot_width))
    for layer in plan.moe_layers:
        starts[layer] = plan.row(layer, plan.start(layer))
    before = layer_seconds_share(request, starts)
    deadline = None if request.time_limit_s is None else began + request.time_limit_s

    def one(layer: int) -> IntArray:
        best = current = starts[layer].reshape(request.gpus, -1).copy()
        base, value = plan.largest(layer, current), -_cost(plan, layer, current, links)
        scale = remaining_s * before[layer] / before.sum() / base if base > 0 else 0.0
        for share in LADDER:
            if deadline is not None and time.perf_counter() > deadline:
                break
            budget = max(int(share * int(request.slots.sum())), plan.moved(layer, current))
            current = plan.search(layer, current, budget)
            net = scale * (base - plan.largest(layer, current)) - _cost(plan, layer, current, links)
            if net > value:
                best, value = current, net
        return plan.row(layer, best)

    return gather(plan, one, lambda layer: starts[layer], began, "priced_replan")


def _cost(plan: Replanner, layer: int, assign: IntArray, links: Links) -> float:
    """Time of a layer's moves [s]."""
    near = np.arange(plan.request.gpus) // links.domain_gpus
    moves = list_moves(plan.blocks[layer], assign, np.asarray(plan.request.slots > 0), near, layer)
    return round_seconds(in_rounds(moves), links) if moves else 0.0
