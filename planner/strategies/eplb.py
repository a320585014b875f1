"""The published EPLB heuristic, as the baseline to beat (described in deepseek-ai/EPLB, README of 2025-03-24).

Global policy: hand out the redundant slots one by one to the expert with the most tokens per copy, then put the copies,
largest first, on the least loaded GPU with a free slot. Hierarchical policy: first the router groups are packed on the
nodes, an equal number on each, then every node does the same with its own experts, slots and GPUs. Sums run in float32
as there, so that near ties fall the same way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from formulations.base import refuse
from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.problem import IntArray, PlacementRequest

Float32Array = npt.NDArray[np.float32]


def pack_equally(weight: Float32Array, bins: int) -> IntArray:
    """Order of the items after packing an equal number in each bin, largest first; shape [bin, items per bin]."""
    per_bin = len(weight) // bins
    packed = np.full((bins, per_bin), -1, dtype=np.int64)
    if per_bin == 1:
        packed[:, 0] = np.arange(bins)
        return packed
    filled = np.zeros(bins, dtype=np.int64)
    total = np.zeros(bins, dtype=np.float32)
    for item in np.argsort(-weight, kind="stable"):
        target = int(np.argmin(np.where(filled < per_bin, total, np.inf)))
        packed[target, filled[target]] = item
        filled[target] += 1
        total[target] += weight[item]
    return packed


def replicate(weight: Float32Array, slots: int) -> IntArray:
    """Expert of each copy, shape [slots]: all experts once, then every further slot to the most tokens per copy."""
    copies = np.ones(len(weight), dtype=np.int64)
    extra = np.empty(slots - len(weight), dtype=np.int64)
    for slot in range(len(extra)):
        extra[slot] = np.argmax(weight / copies.astype(np.float32))
        copies[extra[slot]] += 1
    return np.concatenate([np.arange(len(weight)), extra])


def place_node(weight: Float32Array, slots: int, gpus: int) -> IntArray:
    """Local expert of each slot of one node, shape [slots]."""
    expert = replicate(weight, slots)
    share = weight / np.bincount(expert, minlength=len(weight)).astype(np.float32)
    return expert[pack_equally(share[expert].astype(np.float32), gpus).ravel()]


def place_layer(weight: Float32Array, slots: int, groups: int, nodes: int, gpus: int) -> IntArray:
    """Expert of each slot of one layer, shape [slots]; global where ``groups`` does not divide by ``nodes``."""
    if groups % nodes:
        groups, nodes = 1, 1
    group_size = len(weight) // groups
    order = pack_equally(weight.reshape(groups, group_size).sum(axis=1, dtype=np.float32), nodes)
    row = []
    for node_groups in order:
        experts = (node_groups[:, None] * group_size + np.arange(group_size)).ravel()
        row.append(experts[place_node(weight[experts], slots // nodes, gpus // nodes)])
    return np.concatenate(row)


class Eplb:
    """Greedy replication and packing of one load vector, the sum of scenarios alike; blind to links and speeds."""

    name = "eplb"

    def supports(self, request: PlacementRequest) -> str | None:
        """EPLB needs equal slots, nodes of equal size and groups of equal size."""
        if request.equal_slots is None:
            return "EPLB needs the same number of slots on every GPU"
        if request.nodes > 1 and request.gpus % (request.gpus_per_node or 1):
            return f"EPLB needs full nodes: {request.gpus} GPUs are no multiple of {request.gpus_per_node}"
        if request.experts % request.router_groups:
            return f"EPLB needs experts ({request.experts}) to be a multiple of router groups ({request.router_groups})"
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place every layer as EPLB does.

        Raises
        ------
        FormulationError
            If the request is not supported.
        """
        refuse(self.supports(request))
        start = time.perf_counter()
        placed = np.tile(identity_row(request), (request.layers, 1))
        # each workload counts alike, however long it was recorded: EPLB does better so (0.844 against 0.830)
        loads = np.asarray(request.load, dtype=float) if request.scenarios == 1 else request.unit_mean_load
        weight: Float32Array = loads.sum(axis=0).astype(np.float32)
        for layer in np.flatnonzero(~request.dense_layers):
            placed[layer] = place_layer(
                weight[layer], placed.shape[1], request.router_groups, request.nodes, request.gpus
            )
        return assess(request, placed, time.perf_counter() - start, self.name)
