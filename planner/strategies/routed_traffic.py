"""Where the tokens of a map go: distinct GPUs, nodes and racks per token, exactly from recorded routing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.strategies.result import mean_over
from planner.strategies.routing import serving_chance, unit_table

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.routing import TokenRouting, UnitTable

CELLS = 4_000_000
"""Numbers of the largest intermediate table: 32 MB."""

MOST_PAIRS = 64
"""Nodes up to which the JSON holds the sends from each to each."""


@dataclass(frozen=True, eq=False)
class Traffic:
    """Sends per token of every layer; all-NaN rows are dense layers.

    Attributes
    ----------
    units
        What the unit axes stand for.
    distinct
        Distinct units a token is sent to, its own among them, shape [layer, level].
    sends
        Sends a token into each unit from outside it, once per token and unit (engines that de-duplicate), shape
        [layer, unit].
    assignments
        The same, once for each expert (engines that do not), shape [layer, unit].
    node_sends
        Sends a token from each node to each, shape [node, node], mean over layers; zero on the diagonal.
    top_k
        Experts a token chooses.
    """

    units: UnitTable
    distinct: FloatArray
    sends: FloatArray
    assignments: FloatArray
    node_sends: FloatArray
    top_k: int

    def per_level(self, per_unit: FloatArray) -> FloatArray:
        """Sum over the units of each level, mean over layers, shape [level]."""
        mean = mean_over(per_unit, axis=0)
        total = np.bincount(self.units.level_of_unit, weights=mean, minlength=len(self.units.levels))
        return np.asarray(total, dtype=float)

    @property
    def destinations_per_token(self) -> float:
        """Distinct GPUs a token is sent to, its own among them, mean over layers."""
        return float(mean_over(self.distinct[:, 0]))


def routed_traffic(request: PlacementRequest, physical_to_logical_map: IntArray, routing: TokenRouting) -> Traffic:
    """Count where recorded tokens go under a map.

    A token visits unit u with the chance 1 - product over its experts of (1 - chance of the expert in u): exact, with
    copies the expectation over the random choice of copy, which engines draw for each expert on its own.
    """
    units = unit_table(request)
    count, levels = len(units.level_of_unit), len(units.levels)
    distinct = np.full((request.layers, levels), np.nan)
    sends, assignments = np.full((2, request.layers, count), np.nan)
    pairs = np.zeros((request.nodes, request.nodes))
    for layer, (row, tokens) in enumerate(zip(physical_to_logical_map, routing.layers, strict=True)):
        if tokens is None:
            continue
        chance = serving_chance(request, row, units)
        visited = _visits(chance, tokens)
        weight = units.source[:, None] * units.remote
        distinct[layer] = np.bincount(units.level_of_unit, weights=units.source @ visited, minlength=levels)
        sends[layer] = (weight * visited).sum(axis=0)
        share = np.bincount(tokens.ravel(), minlength=request.experts) / len(tokens)
        assignments[layer] = (weight * np.einsum("e,reu->ru", share, chance)).sum(axis=0)
        pairs += _node_pairs(request, units, visited)
    recorded = sum(tokens is not None for tokens in routing.layers)
    return Traffic(units, distinct, sends, assignments, pairs / max(recorded, 1), routing.top_k)


def estimated_traffic(request: PlacementRequest, physical_to_logical_map: IntArray, top_k: int) -> Traffic:
    """Estimate where tokens go without recorded routing, from the mean load of the scenarios.

    ``top_k`` independent draws: a token visits unit u with the chance 1 - (1 - q_u)^top_k, q_u the share of the load
    there. Real tokens draw distinct, correlated experts.
    """
    units = unit_table(request)
    distinct = np.full((request.layers, len(units.levels)), np.nan)
    sends, assignments = np.full((2, request.layers, len(units.level_of_unit)), np.nan)
    pairs = np.zeros((request.nodes, request.nodes))
    layers = np.flatnonzero(~request.dense_layers).tolist()
    mean = request.unit_mean_load.mean(axis=0)
    weight = units.source[:, None] * units.remote
    for layer in layers:
        chance = serving_chance(request, physical_to_logical_map[layer], units)
        share = np.einsum("e,reu->ru", mean[layer] / mean[layer].sum(), chance)
        visited = 1.0 - (1.0 - np.minimum(share, 1.0)) ** top_k
        distinct[layer] = np.bincount(units.level_of_unit, weights=units.source @ visited, minlength=len(units.levels))
        sends[layer] = (weight * visited).sum(axis=0)
        assignments[layer] = top_k * (weight * share).sum(axis=0)
        pairs += _node_pairs(request, units, visited)
    return Traffic(units, distinct, sends, assignments, pairs / max(len(layers), 1), top_k)


def _visits(chance: FloatArray, tokens: IntArray) -> FloatArray:
    """Mean over tokens of the chance to visit each unit, shape [class, unit]; ``chance`` [class, expert, unit]."""
    total = np.zeros((chance.shape[0], chance.shape[2]))
    size = max(CELLS // (chance.shape[2] * tokens.shape[1]), 1)
    for source, of_expert in enumerate(1.0 - chance):
        for begin in range(0, len(tokens), size):
            total[source] += (1.0 - of_expert[tokens[begin : begin + size]].prod(axis=1)).sum(axis=0)
    return total / len(tokens)


def _node_pairs(request: PlacementRequest, units: UnitTable, visited: FloatArray) -> FloatArray:
    """Count the sends a token from each node to each other, shape [node, node]; ``visited`` is [class, unit]."""
    if "node" not in units.levels:
        return np.zeros((1, 1))
    to_node = visited[:, units.level_of_unit == units.levels.index("node")]
    pairs = request.source_share[:, None] * to_node
    np.fill_diagonal(pairs, 0.0)
    return pairs


def traffic_report(
    traffic: Traffic, bytes_per_layer: float | None = None, *, deduplicate: bool = True
) -> dict[str, Any]:
    """Sum up traffic as JSON: levels, and the ports of nodes and racks with what arrives there.

    Parameters
    ----------
    traffic
        From `routed_traffic`.
    bytes_per_layer
        Bytes of all tokens of a step sent once, dispatch and combine, in one layer; ``None``: no bytes are reported.
    deduplicate
        Whether a token is sent once per unit, or once per expert.
    """
    units = traffic.units
    sent, assigned = traffic.per_level(traffic.sends), traffic.per_level(traffic.assignments)
    distinct = mean_over(traffic.distinct, axis=0)
    levels = {
        name: {
            "units": int((units.level_of_unit == level).sum()),
            "destinations_per_token": float(distinct[level]),
            "remote_destinations_per_token": float(sent[level]),
            "remote_assignments_per_token": float(assigned[level]),
            "remote_share": float(assigned[level]) / traffic.top_k,
        }
        for level, name in enumerate(units.levels)
    }
    carried = traffic.sends if deduplicate else traffic.assignments
    total = None if bytes_per_layer is None else np.nansum(carried, axis=0) * bytes_per_layer
    nodes = len(traffic.node_sends)
    pairs = traffic.node_sends.tolist() if 1 < nodes <= MOST_PAIRS else None
    return {
        "deduplicated": deduplicate,
        "levels": levels,
        "links": _links(traffic, carried, total),
        "node_to_node_sends_per_token": pairs,
    }


def _links(traffic: Traffic, carried: FloatArray, total_bytes: FloatArray | None) -> list[dict[str, Any]]:
    """Port of every unit: sends a token that arrive (mean over layers), and bytes a step over all layers."""
    units, mean = traffic.units, mean_over(carried, axis=0)
    first = np.searchsorted(units.level_of_unit, np.arange(len(units.levels)))
    return [
        {
            "level": units.levels[level],
            "index": int(unit - first[level]),
            "sends_per_token": float(mean[unit]),
            "bytes_per_step": None if total_bytes is None else float(total_bytes[unit]),
        }
        for unit, level in enumerate(units.level_of_unit.tolist())
        if units.gpus_in_unit[unit] > 0
    ]
