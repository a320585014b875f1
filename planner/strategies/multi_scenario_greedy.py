"""The multi-scenario greedy, a baseline: the idea of FlashLB (vllm-project/vllm-ascend, pull request 3042) in our code.

Each redundant slot goes to the expert whose load per copy falls most by it, summed over the scenarios. Then the copies,
by their load in all scenarios longest first, go one by one to the GPU whose largest load in any scenario stays least,
never two copies of an expert on one GPU where that can be helped. No choice is revisited; links and speeds are ignored.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

TIE = 1e-6
"""Weight of the sum over scenarios where the largest load ties."""


def count_copies(load: FloatArray, total_slots: int, gpus: int) -> IntArray:
    """Count the copies of each expert, shape [expert], by the summed fall of ``load`` [scenario, expert] per copy."""
    total = load.sum(axis=0)
    count = np.ones(len(total), dtype=np.int64)
    for _ in range(total_slots - len(total)):
        gain = total / (count * (count + 1.0))
        # with more slots than experts times GPUs some expert has to be doubled on a GPU
        count[np.argmax(np.where(count < gpus, gain, gain - 1e9))] += 1
    return count


def pack_copies(load: FloatArray, count: IntArray, slots: IntArray) -> IntArray:
    """Pack copies longest first.

    Parameters
    ----------
    load
        Shape [scenario, expert], to scale 1 where it is the mean load of a GPU.
    count
        Copies, shape [expert].
    slots
        Shape [gpu].

    Returns
    -------
    array, shape [gpu, most slots]
        Expert of each slot, -1 where a GPU has fewer.
    """
    share = load / count
    reached = np.zeros((len(load), len(slots)))
    filled = np.zeros(len(slots), dtype=np.int64)
    assign = np.full((len(slots), int(slots.max())), -1, dtype=np.int64)
    for expert in np.argsort(-share.sum(axis=0), kind="stable"):
        held = np.zeros(len(slots), dtype=bool)
        for _ in range(count[expert]):
            after = reached + share[:, expert, None]
            value = after.max(axis=0) + TIE * after.sum(axis=0) + np.where(held, 1e9, 0.0)
            gpu = int(np.argmin(np.where(filled < slots, value, np.inf)))
            assign[gpu, filled[gpu]] = expert
            reached[:, gpu] = after[:, gpu]
            filled[gpu] += 1
            held[gpu] = True
    return assign


class MultiScenarioGreedy:
    """Copies by summed gain, packing by the worst scenario."""

    name = "multi_scenario_greedy"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported; speeds, links and the dispatch rule are not looked at."""
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place every layer."""
        start = time.perf_counter()
        rows = np.tile(identity_row(request), (request.layers, 1))
        probability = request.scenario_probability[:, None]
        unit_load, slots = request.unit_mean_load, request.slots
        for layer in np.flatnonzero(~request.dense_layers):
            load = unit_load[:, layer]
            count = count_copies(load * probability, int(slots.sum()), int((slots > 0).sum()))
            rows[layer] = pack_copies(load, count, slots).ravel()
        return assess(request, rows, time.perf_counter() - start, self.name)
