"""Copies dealt to the GPUs back and forth, largest first: the plain way to even out loads, without looking at sums.

The copies are those of EPLB (each further slot to the most tokens a copy); what differs is the packing, so the distance
to `eplb` is what packing by the sums so far is worth. Known from scheduling as snake or boustrophedon order.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.eplb import replicate
from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest


def zigzag_row(request: PlacementRequest, load: FloatArray) -> IntArray:
    """Map row of one layer, shape [slots_total]; a GPU takes no expert twice while another copy is left.

    Parameters
    ----------
    request
        GPUs and their slots.
    load
        Tokens by expert [expert].
    """
    slots = request.slots
    expert = replicate(load.astype(np.float32), int(slots.sum()))
    share = load / np.bincount(expert, minlength=len(load))
    left = list(expert[np.argsort(-share[expert], kind="stable")])
    held: list[list[int]] = [[] for _ in range(request.gpus)]
    row = np.full((request.gpus, request.slot_width), -1, dtype=np.int64)
    for position in range(request.slot_width):
        turn = np.flatnonzero(slots > position)
        for gpu in turn if position % 2 == 0 else turn[::-1]:
            chosen = next((at for at, name in enumerate(left) if name not in held[gpu]), 0)
            row[gpu, position] = left.pop(chosen)
            held[gpu].append(int(row[gpu, position]))
    return row.ravel()


class Zigzag:
    """Sorted copies, dealt first to last GPU and back."""

    name = "zigzag"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported."""
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place every layer by its loads, scenarios alike."""
        start = time.perf_counter()
        placed = np.tile(identity_row(request), (request.layers, 1))
        load = np.asarray(request.unit_mean_load, dtype=float).sum(axis=0)
        for layer in np.flatnonzero(~request.dense_layers):
            placed[layer] = zigzag_row(request, load[layer])
        return assess(request, placed, time.perf_counter() - start, self.name)
