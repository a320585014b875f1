"""Change only the layers that gain most, or none; layers that lost experts must change."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import NoPlanFound
from planner.strategies.moves import moved_slots
from planner.strategies.replan import Replanner, gather
from planner.strategies.result import assess
from planner.strategies.running_map import layer_seconds_share, still_valid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult


def unmoved(request: PlacementRequest, running: IntArray) -> PlacementResult:
    """Keep the running map; layers that cannot stay get their smallest repair."""
    began = time.perf_counter()
    plan = Replanner(request, running)
    valid = still_valid(request, running)

    def one(layer: int) -> IntArray:
        return running[layer] if valid[layer] else plan.row(layer, plan.start(layer))

    return gather(plan, one, one, began, "running")


def limited(request: PlacementRequest, running: IntArray, planned: PlacementResult, most: int) -> PlacementResult:
    """Change at most ``most`` layers, those that gain most time.

    Raises
    ------
    NoPlanFound
        If more layers than that cannot stay as they are.
    """
    rows, forced = most_changed(request, running, planned.physical_to_logical_map, most)
    if len(forced) > most:
        named = ", ".join(map(str, forced[:5])) + (" and more" if len(forced) > 5 else "")
        raise NoPlanFound(
            [f"{len(forced)} layers must change (experts lost or other slots: {named}), {most} may: raise the limit"]
        )
    result = assess(request, rows, planned.seconds, planned.strategy, interrupted=planned.interrupted)
    return replace(result, bound=np.maximum(planned.bound, result.balance))


def most_changed(
    request: PlacementRequest, running: IntArray, planned: IntArray, most: int
) -> tuple[IntArray, Sequence[int]]:
    """Keep the running rows of all but the ``most`` layers that gain most time.

    Layers add up (they run one after another), so the best choice of that many layers is those with the largest gain.

    Returns
    -------
    rows, shape [layer, slots_total]
        The map.
    forced
        Layers that cannot stay, such as those that lost an expert; they count among the ``most``.
    """
    valid = still_valid(request, running) & ~request.dense_layers
    forced = np.flatnonzero(~valid & ~request.dense_layers).tolist()
    rows = planned.copy()
    if not valid.any():
        return rows, forced
    kept = planned.copy()
    kept[valid] = running[valid]
    gain = layer_seconds_share(request, kept) - layer_seconds_share(request, planned)
    moved = moved_slots(running, planned, request.gpus)
    order = [int(layer) for layer in np.argsort(-gain, kind="stable") if valid[layer]]
    chosen = {layer for layer in order[: max(most - len(forced), 0)] if gain[layer] > 0 and moved[layer]}
    for layer in order:
        if layer not in chosen:
            rows[layer] = running[layer]
    return rows, forced
