"""What a map makes the network carry, with tokens that start evenly on all GPUs in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.dispatch import copies_per_node
from planner.strategies.result import gpu_load

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest


def remote_share(request: PlacementRequest, physical_to_logical_map: IntArray) -> float | None:
    """Share of token-expert assignments that leave their node, over all scenarios and layers; ``None`` without nodes.

    Even dispatch: sum_e w_e sum_r s_r (1 - m_er / n_e) / sum w. Nearest: only tokens of nodes without a copy leave.
    """
    if request.gpus_per_node is None:
        return None
    load = np.asarray(request.load, dtype=float)
    remote = 0.0
    for layer, row in enumerate(physical_to_logical_map):
        copies = copies_per_node(row, request)
        total = np.maximum(copies.sum(axis=1, keepdims=True), 1)
        local = (copies > 0).astype(float) if request.dispatch == "nearest" else copies / total
        remote += float((load[:, layer] @ ((1.0 - local) @ request.source_share)).sum())
    return remote / float(load.sum())


def destinations_per_token(request: PlacementRequest, physical_to_logical_map: IntArray, top_k: int) -> FloatArray:
    """Return the expected distinct GPUs a token is sent to, shape [scenario, layer]; NaN for dense layers.

    ``top_k`` independent draws hit GPU g with its share of the load q_g: sum_g 1 - (1 - q_g)^top_k. Real tokens draw
    distinct experts, which spread a little more.
    """
    load = gpu_load(physical_to_logical_map, request.load, request.gpus, request)
    total = load.sum(axis=2, keepdims=True)
    share = load / np.where(total > 0, total, 1.0)
    expected = (1.0 - (1.0 - share) ** top_k).sum(axis=2)
    return np.asarray(np.where(total[..., 0] > 0, expected, np.nan))
