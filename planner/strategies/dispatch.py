"""How the tokens of an expert spread over its copies: evenly, or to the nearest copy first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest


def copies_per_node(row: IntArray, request: PlacementRequest) -> IntArray:
    """Count the copies of each expert in each node, shape [expert, node], from one map row [slots_total]."""
    node = np.repeat(request.node_of_gpu, request.slot_width)
    held = row >= 0
    flat = np.bincount(row[held] * request.nodes + node[held], minlength=request.experts * request.nodes)
    return np.asarray(flat.reshape(request.experts, request.nodes), dtype=np.int64)


def copy_fraction(copies: IntArray, request: PlacementRequest) -> FloatArray:
    """Share of an expert's tokens that one copy of it in each node carries.

    Parameters
    ----------
    copies
        Copies of each expert in each node, shape [expert, node].
    request
        Gives the dispatch rule, the source shares s and the racks.

    Returns
    -------
    array, shape [expert, node]
        Even: 1 / n. Nearest: s_q / m_q for the own node, plus the sources of nodes without a copy over the copies of
        their rack, plus the sources of racks without a copy over all n copies (FORMULATIONS, placement). Meaningful
        where ``copies`` > 0.
    """
    total = np.maximum(copies.sum(axis=1, keepdims=True), 1)
    if request.dispatch == "even":
        return np.broadcast_to(1.0 / total, copies.shape).copy()
    share, rack = request.source_share, request.rack_of_node
    in_rack = np.zeros((len(copies), int(rack[-1]) + 1))
    np.add.at(in_rack.T, rack, copies.T)
    uncovered = np.where(copies == 0, share, 0.0)
    uncovered_in_rack = np.zeros_like(in_rack)
    np.add.at(uncovered_in_rack.T, rack, uncovered.T)
    own = share / np.maximum(copies, 1)
    near = uncovered_in_rack / np.maximum(in_rack, 1)
    far = np.where(in_rack == 0, uncovered_in_rack, 0.0).sum(axis=1, keepdims=True) / total
    return np.asarray(own + near[:, rack] + far)
