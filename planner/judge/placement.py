"""Busiest over mean GPU load of an expert map, straight from the map and the loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.plan import Deployment


def map_problems(expert_map: Sequence[Sequence[int]], deployment: Deployment, load: NDArray[np.float64]) -> list[str]:
    """Say what is wrong with a map: layers, width, ids, experts that are missing. ``load`` is [layer, expert]."""
    layers, experts = load.shape
    width = deployment.expert_parallel * deployment.slots_per_gpu
    if len(expert_map) != layers:
        return [f"map {deployment.map_key}: {len(expert_map)} layers, the model has {layers} MoE layers"]
    problems = []
    for layer, row in enumerate(expert_map):
        held = set(row)
        if len(row) != width:
            problems.append(f"map {deployment.map_key}, layer {layer}: {len(row)} slots, expected {width}")
        elif not held <= set(range(experts)):
            problems.append(f"map {deployment.map_key}, layer {layer}: expert ids outside 0..{experts - 1}")
        elif len(held) < experts:
            missing = sorted(set(range(experts)) - held)
            problems.append(f"map {deployment.map_key}, layer {layer}: experts without a slot: {missing[:5]}")
    return problems


def imbalance_of_map(expert_map: Sequence[Sequence[int]], slots_per_gpu: int, load: NDArray[np.float64]) -> list[float]:
    """Busiest rank's load over the mean, a layer each; the tokens of an expert split evenly over its copies."""
    result = []
    for row, shares in zip(expert_map, load, strict=True):
        slots = np.asarray(row, dtype=np.int64)
        copies = np.bincount(slots, minlength=len(shares))
        per_slot = shares[slots] / copies[slots]
        per_rank = per_slot.reshape(-1, slots_per_gpu).sum(axis=1)
        result.append(float(per_rank.max() / per_rank.mean()))
    return result
