"""Plan from a running map: spend a budget of moved slots where it lowers the largest GPU load most."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.bounds import largest_load_lower_bound
from planner.strategies.carry_over import carry_over
from planner.strategies.moves import held_before, in_place, interchangeable, relabel
from planner.strategies.parallel import default_workers, map_ordered
from planner.strategies.result import assess, identity_row
from planner.strategies.risk import risk
from planner.strategies.running_map import still_valid

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.kernels.changes import Ground
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

    RowOf = Callable[[int], IntArray]
    """Map row, shape [slots_total], of a layer."""

MOVES_PER_SLOT = 600
MOST_MOVES = 600_000
"""Moves of the search a layer: 172,800 for 288 slots, 0.17 s. From decode_in1000out1000 to prefill_in4096 at 32 GPUs
with 5 % moved: balance 0.948 with 100 thousand moves, 0.9515 with 150 thousand, 0.953 with 400 thousand."""

FEWEST_MOVES = 40_000
"""Layers of few slots are searched again from the start until this many moves are made: small ones trap a search."""

SCHEDULE = ((3, 0.1), (4, 0.1), (5, 0.1), (6, 0.1), (7, 0.1), (8, 0.1))
"""Doublings of the energy exponent and heat of each part of the moves: broad first, then close to the largest load."""

SETTLE_TRIES = 20_000


@dataclass(eq=False)
class Replanner:
    """The running map and the request, layer by layer.

    Parameters
    ----------
    request
        Loads and GPUs now; GPUs without slots are out of service.
    running
        Running map, shape [layer, slots before], rank-major; the slots a GPU had may differ from those it has.
    domain, least
        Domain of each GPU, shape [gpu], and how many must hold a copy of every expert (`planner.strategies.coverage`).
    """

    request: PlacementRequest
    running: IntArray
    domain: IntArray | None = None
    least: int = 1
    free: bool = False
    """Whether moves count for nothing."""
    blocks: IntArray = field(init=False)
    """Running map, shape [layer, gpu, slot before]."""

    def __post_init__(self) -> None:
        self.blocks = self.running.reshape(self.request.layers, self.request.gpus, -1)

    @property
    def moe_layers(self) -> list[int]:
        """Layers with load."""
        return [int(layer) for layer in np.flatnonzero(~self.request.dense_layers)]

    def weight(self, layer: int) -> FloatArray:
        """Return the loads of the scenarios that see the layer, over the mean GPU load, shape [scenario, expert]."""
        weight = self.request.unit_mean_load[:, layer]
        return np.ascontiguousarray(weight[weight.sum(axis=1) > 0])

    def probability(self, layer: int) -> FloatArray:
        """Probability of the scenarios that see the layer, shape [scenario]."""
        seen = self.request.unit_mean_load[:, layer].sum(axis=1) > 0
        chance = self.request.scenario_probability[seen]
        return np.asarray(chance / chance.sum())

    def risk(self, layer: int, largest: FloatArray) -> float:
        """Weigh the scenarios that see the layer as the request does (mean and CVaR); ``largest`` [scenario]."""
        values = np.full(self.request.scenarios, np.nan)
        values[self.request.unit_mean_load[:, layer].sum(axis=1) > 0] = largest
        return float(risk(values, self.request))

    def start(self, layer: int) -> Int64:
        """Take over the running placement of a layer as far as it still holds, shape [gpu, slot]."""
        return carry_over(
            self.blocks[layer], np.array(self.request.slots), self.probability(layer) @ self.weight(layer)
        )

    def moved(self, layer: int, assign: IntArray) -> int:
        """Count the moved slots of a layer."""
        home = held_before(self.blocks[layer], self.request.experts)
        gpu, slot = np.nonzero(assign >= 0)
        return int((~home[gpu, assign[gpu, slot]]).sum())

    def ground(self, layer: int, doublings: int) -> Ground:
        """Put together what the kernels need to know."""
        from planner.strategies.kernels.changes import Ground

        request = self.request
        near = request.dispatch == "nearest" and request.nodes > 1
        return Ground(
            self.weight(layer),
            self.probability(layer),
            request.relative_speed,
            np.array(request.slots),
            np.array(request.node_of_gpu) if near else np.zeros(request.gpus, dtype=np.int64),
            np.array(request.rack_of_node) if near else np.zeros(1, dtype=np.int64),
            np.array(request.source_share) if near else np.ones(1),
            held_before(self.blocks[layer], request.experts) | self.free,
            np.ascontiguousarray(self.blocks[layer]),
            np.zeros(request.gpus, dtype=np.int64) if self.domain is None else np.array(self.domain),
            self.least,
            doublings,
        )

    def search(self, layer: int, start: Int64, budget: int) -> Int64:
        """Search a layer from ``start`` with at most ``budget`` moved slots; no worse than a start that keeps to it."""
        from planner.strategies.kernels import bounded_moves
        from planner.strategies.kernels.compiled import random_state

        random = random_state(self.request.seed, layer)
        moves = min(MOVES_PER_SLOT * int(self.request.slots.sum()), MOST_MOVES)
        best, least = start, self.largest(layer, start)
        for _ in range(-(-FEWEST_MOVES // moves)):
            if least <= self.enough(layer) and self.moved(layer, best) <= budget:
                break
            assign = start.copy()
            for doublings, heat in SCHEDULE:
                ground = self.ground(layer, doublings)
                bounded_moves.anneal(assign, ground, budget, moves // len(SCHEDULE), heat, random)
            if (reached := self.largest(layer, assign)) < least:
                best, least = assign, reached
        return best

    def enough(self, layer: int) -> float:
        """Largest load that is good enough, in the unit of `largest`: that of the bounds over 1 - gap."""
        request = self.request
        bound = largest_load_lower_bound(self.weight(layer), request.gpus, request.slots, request.speed)
        return self.risk(layer, bound) / (1.0 - request.gap)

    def largest(self, layer: int, assign: Int64) -> float:
        """Largest GPU load over the mean, over scenarios as `risk` weighs them."""
        from planner.strategies.kernels.changes import open_books

        return self.risk(layer, open_books(assign.copy(), self.ground(layer, 0)).load.max(axis=0))

    def settle(self, layer: int, planned: IntArray) -> IntArray:
        """Relabel a planned layer and move slots back where that costs no load (nor can cost traffic), [gpu, slot]."""
        from planner.strategies.kernels import bounded_moves
        from planner.strategies.kernels.compiled import random_state

        assign = relabel(self.blocks[layer], planned, interchangeable(self.request))
        if self.request.traffic is None and (self.request.slots == (assign >= 0).sum(axis=1)).all():
            before, kept = self.largest(layer, assign), assign.copy()
            random = random_state(self.request.seed, layer)
            bounded_moves.settle(assign, self.ground(layer, SCHEDULE[-1][0]), SETTLE_TRIES, random)
            assign = assign if self.largest(layer, assign) <= before else kept
        return assign

    def row(self, layer: int, assign: IntArray) -> IntArray:
        """Map row of a layer, kept experts in their slots."""
        return in_place(self.blocks[layer], assign).ravel()


def budgeted(request: PlacementRequest, running: IntArray, max_moved: float) -> PlacementResult:
    """Plan with at most ``max_moved`` of a layer's slots moved, or as many as a layer needs to hold every expert.

    Parameters
    ----------
    max_moved
        Fraction of the slots of a layer; 0 gives the smallest repair of a map that lost GPUs.
    """
    began = time.perf_counter()
    plan = Replanner(request, running)
    allowed = int(max_moved * int(request.slots.sum()) * (1.0 + 1e-12))
    deadline = None if request.time_limit_s is None else began + request.time_limit_s

    def one(layer: int) -> IntArray:
        start = plan.start(layer)
        budget = max(allowed, plan.moved(layer, start))
        late = deadline is not None and time.perf_counter() > deadline
        return plan.row(layer, start if late or budget == 0 else plan.search(layer, start, budget))

    return gather(plan, one, lambda layer: plan.row(layer, plan.start(layer)), began, "replan")


def settled(request: PlacementRequest, running: IntArray, planned: PlacementResult) -> PlacementResult:
    """Give the blocks of a plan to the GPUs so that the fewest slots move, and move back what costs no load."""
    began = time.perf_counter()
    plan = Replanner(request, running)
    blocks = planned.physical_to_logical_map.reshape(request.layers, request.gpus, -1)

    def one(layer: int) -> IntArray:
        return plan.row(layer, plan.settle(layer, blocks[layer]))

    result = gather(plan, one, lambda layer: blocks[layer].ravel(), began, planned.strategy)
    bound = np.maximum(planned.bound, result.balance)
    return replace(
        result,
        bound=bound,
        seconds=result.seconds + planned.seconds,
        interrupted=result.interrupted or planned.interrupted,
    )


def gather(plan: Replanner, one: RowOf, fallback: RowOf, began: float, name: str) -> PlacementResult:
    """Plan all layers side by side; after Ctrl-C ``fallback`` gives the rows of those not reached.

    Dense layers keep their running row where it still fits.
    """
    request, interrupted = plan.request, False
    rows = np.tile(identity_row(request), (request.layers, 1))
    kept = request.dense_layers & still_valid(request, plan.running)
    rows[kept] = plan.running[kept] if kept.any() else rows[kept]
    left = list(plan.moe_layers)
    try:
        for row in map_ordered(one, plan.moe_layers, default_workers()):
            rows[left.pop(0)] = row
    except KeyboardInterrupt:
        interrupted = True
        for layer in left:
            rows[layer] = fallback(layer)
    return assess(request, rows, time.perf_counter() - began, name, interrupted=interrupted)
