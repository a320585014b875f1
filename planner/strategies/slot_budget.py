"""Slots that differ from layer to layer under one budget, by `formulations.replica_budget`.

Every layer is placed with every number of slots worth having; the program then picks one for each layer. The table is a
list of placements, so nothing is placed again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, NoPlanFound
from planner.strategies.result import assess, gpu_load

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

    Place = Callable[[PlacementRequest], PlacementResult]

ENOUGH = 1e-4
"""A layer whose largest load is this close (relative) to its mean gets no further slot."""


@dataclass(frozen=True, eq=False)
class BudgetedPlacement:
    """A placement with its own number of slots in every layer.

    Attributes
    ----------
    request
        The request with the slots of the widest layer.
    result
        The map, shape [layer, GPUs x widest], rows of narrower layers filled up with -1; bounds hold for the slots that
        each layer has.
    slots_per_layer
        Slots a GPU, shape [layer]; 0 for dense layers.
    largest_load_sum
        Sum over layers of the largest GPU load / speed, mean over scenarios: tokens, proportional to seconds.
    bound
        No choice of slots from the table of placements has a smaller sum.
    uniform_load_sum
        The same with equal slots in all layers; where the budget does not divide by the layers, some have one more,
        drawn without a look at their loads (the mean over all draws).
    """

    request: PlacementRequest
    result: PlacementResult
    slots_per_layer: IntArray
    largest_load_sum: float
    bound: float
    uniform_load_sum: float


def place_with_budget(request: PlacementRequest, budget: int, place: Place) -> BudgetedPlacement:
    """Choose the slots of every layer, and place it.

    Parameters
    ----------
    request
        The request; of its slots only which GPUs have any matters. Every number of slots tried gets half of what is
        left of its time limit.
    budget
        Sum over layers of the slots a GPU may have.
    place
        Places a request, such as `planner.strategies.api.run` with a strategy.

    Raises
    ------
    NoPlanFound
        If the budget is below the fewest slots that hold every expert.
    InstanceError
        If no layer carries load.
    """
    start = time.perf_counter()
    layers = np.flatnonzero(~request.dense_layers)
    if not len(layers):
        raise InstanceError.single("slot budget", "load", "is zero in every layer")
    used = int((request.slots > 0).sum())
    fewest = -(-request.experts // used)
    if budget < fewest * len(layers):
        message = f"a budget of {budget} slots is less than {fewest} a GPU in each of {len(layers)} layers"
        raise NoPlanFound([f"{message}: give at least {fewest * len(layers)}"])
    table = _Table(request, layers, place, None if request.time_limit_s is None else start + request.time_limit_s)
    table.fill(fewest, budget)
    chosen, bound = table.choose(budget)
    return table.assemble(chosen, bound, table.uniform(budget), time.perf_counter() - start)


class _Table:
    """Placements and largest loads of every layer for rising slots; a layer stops where it is level."""

    def __init__(self, request: PlacementRequest, layers: IntArray, place: Place, deadline: float | None) -> None:
        self.request, self.layers, self.place, self.deadline = request, layers, place, deadline
        self.slots: list[int] = []
        self.results: list[dict[int, tuple[PlacementResult, int]]] = []
        self.largest = np.zeros((len(layers), 0))

    def fill(self, fewest: int, budget: int) -> None:
        """Place with ``fewest`` slots and more, as long as a layer gains and the budget could pay for it."""
        open_layers = np.arange(len(self.layers))
        slots = fewest
        most = min(budget - fewest * (len(self.layers) - 1), self.request.experts)
        while slots <= most and len(open_layers):
            part = self._with_slots(slots, open_layers)
            result = self.place(part)
            column = self.largest[:, -1].copy() if self.slots else np.full(len(self.layers), np.inf)
            reached = _largest(part, result.physical_to_logical_map)
            column[open_layers] = np.minimum(column[open_layers], reached)
            self.slots.append(slots)
            self.results.append({int(layer): (result, row) for row, layer in enumerate(open_layers)})
            self.largest = np.c_[self.largest, column]
            open_layers = open_layers[reached > self._level()[open_layers] * (1.0 + ENOUGH)]
            slots += 1

    def _with_slots(self, slots: int, which: IntArray) -> PlacementRequest:
        per_gpu = np.where(self.request.slots > 0, slots, 0)
        limit = None if self.deadline is None else max(0.0, self.deadline - time.perf_counter()) / 2.0
        load = self.request.load[:, self.layers[which]]
        return replace(self.request, load=load, slots_per_gpu=per_gpu, time_limit_s=limit)

    def _level(self) -> FloatArray:
        """Largest load if all GPUs were level, shape [layer of the table]."""
        total = np.asarray(self.request.load, dtype=float)[:, self.layers].sum(axis=2).mean(axis=0)
        return np.asarray(total / self.request.relative_speed.sum())

    def choose(self, budget: int) -> tuple[IntArray, float]:
        """Option of every layer by the program, and its bound on the sum of largest loads."""
        from formulations.replica_budget import ReplicaBudget, ReplicaBudgetProblem
        from planner.solver.highs import solve_pyomo
        from planner.solver.options import SolveOptions

        problem = ReplicaBudgetProblem(self.largest, np.array(self.slots), budget)
        built = ReplicaBudget().build(problem)
        options = SolveOptions(gap=1e-9, threads=1, seed=self.request.seed)
        solved = solve_pyomo(built.model, options).uninterrupted()
        slots = built.extract()
        option = np.searchsorted(self.slots, slots)
        # the fewest slots that reach the same load: a slot that gains nothing is left to the KV cache
        same = self.largest <= self.largest[np.arange(len(option)), option][:, None]
        return np.asarray(np.argmax(same, axis=1)), solved.bound

    def uniform(self, budget: int) -> float:
        """Sum of largest loads with equal slots, what the budget leaves over going to layers drawn blindly."""
        total = self.largest.sum(axis=0)
        return float(np.interp(budget / len(self.layers), self.slots, total))

    def assemble(self, chosen: IntArray, bound: float, uniform: float, seconds: float) -> BudgetedPlacement:
        """Put the chosen placements together."""
        layers, gpus = self.request.layers, self.request.gpus
        slots = np.zeros(layers, dtype=np.int64)
        slots[self.layers] = np.array(self.slots)[chosen]
        width = int(slots.max())
        rows = np.full((layers, gpus, width), -1, dtype=np.int64)
        bound_of, risk_bound = np.full(layers, np.nan), np.full(layers, np.nan)
        for layer, option in enumerate(chosen.tolist()):
            result, row = self.results[option][layer]
            own = result.physical_to_logical_map[row].reshape(gpus, -1)
            rows[self.layers[layer], :, : own.shape[1]] = own
            bound_of[self.layers[layer]] = result.bound[row]
            risk_bound[self.layers[layer]] = result.risk_bound[row]
        request = replace(self.request, slots_per_gpu=np.where(self.request.slots > 0, width, 0))
        results = [result for option in self.results for result, _ in option.values()]
        interrupted = any(result.interrupted for result in results)
        strategy = results[0].strategy
        whole = assess(request, rows.reshape(layers, -1), seconds, strategy, interrupted=interrupted)
        result = replace(whole, bound=bound_of, risk_bound=risk_bound)
        total = float(self.largest[np.arange(len(chosen)), chosen].sum())
        return BudgetedPlacement(request, result, slots, total, min(bound, total), uniform)


def _largest(request: PlacementRequest, rows: IntArray) -> FloatArray:
    """Largest load / speed of every layer, mean over scenarios, shape [layer]."""
    return np.asarray(_over_speed(request, rows).max(axis=2).mean(axis=0))


def _over_speed(request: PlacementRequest, rows: IntArray) -> FloatArray:
    """Load / speed of the GPUs in use, shape [scenario, layer, GPU in use]."""
    used = request.relative_speed > 0
    return np.asarray(gpu_load(rows, request.load, request.gpus, request)[..., used] / request.relative_speed[used])
