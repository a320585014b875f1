"""Our search: packing, swaps, copy moves and annealing in compiled code, layer by layer.

One load vector under the even split: greedy copy counts, longest-first packing, then copy moves each followed by a full
descent (three or more slots), or a search of the counts alone (two slots). Several scenarios, or nearest dispatch: the
same start on the mean load, then annealing of the scenario energy. Measurements: research notes on placement.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies import bounds
from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.kernels.compiled import RandomState
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

COPY_MOVES = 300
"""Copies moved per layer, each with a full descent: 0.3 s for 58 layers at 64 GPUs x 5 slots, balance 0.9996."""

REPARTITIONED_MOVES = 100
"""The same where GPUs are also re-partitioned after each: 0.999 at 128 GPUs x 3 slots in about a second."""

STUBBORN_MOVES = 900
"""Further moves for layers that are then still ``STUBBORN_GAP`` from their bound, such as most at 96 GPUs x 3 slots."""

STUBBORN_GAP = 2e-3

REPARTITION_FAILURES = {2: 20, 3: 60}
"""Tries in a row without gain after which re-partitioning stops, by slots; with 4 slots a try costs too much."""

COUNT_MOVES_PER_SLOT = 40
"""Moves of the two-slot search per slot: 0.3 s for 58 layers at 144 GPUs, 1 s at 256."""

COUNT_HEAT = 0.05
REPAIR_MOVES = 100
REPAIR_TOLERANCE = 1e-6
"""Where keeping copies apart costs more than this against the pairing, copies are moved as with three slots."""

SCENARIO_MOVES = 3
"""Moves over several scenarios per slot and slot: 250 thousand a layer for 288 slots, 560 thousand for 432. Six
DeepSeek-V3 workloads, balance, seconds: 0.986, 5 s at 32 GPUs x 9; 0.950, 5 s at 72 x 4; 0.940, 16 s at 144 x 3."""

MOST_SCENARIO_MOVES = 600_000

SCHEDULE = ((6, 0.01), (8, 0.001))
"""Doublings of the energy exponent and heat of each half of the moves: broad first, then close to the largest load."""

MEAN_POWER = 4
"""Copies are counted and packed for the power mean of the scenarios: an expert hot in one of them needs its copies."""
NEAREST_MOVES_PER_SLOT = 120
"""Moves under nearest dispatch with one scenario, where most moves change the split of two experts."""


class LocalSearch:
    """The default strategy."""

    name = "local_search"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported."""
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Pack every layer, then improve the layers furthest from their bound first until the time limit or Ctrl-C."""
        start = time.perf_counter()
        search = _Search(request)
        interrupted = False
        try:
            search.pack_all()
            search.improve_all(None if request.time_limit_s is None else start + request.time_limit_s)
        except KeyboardInterrupt:
            interrupted = True
        return assess(request, search.map_rows(), time.perf_counter() - start, self.name, interrupted=interrupted)

    def repacking(self, request: PlacementRequest) -> Callable[[int, IntArray], IntArray]:
        """Return a function that packs a layer anew with given copy counts, shape [expert]; it returns a map row."""
        search = _Search(request)
        return lambda layer, counts: search.pack_counts(layer, counts).ravel()


class _Search:
    """The placements of all layers while they are improved."""

    def __init__(self, request: PlacementRequest) -> None:
        from planner.strategies.kernels import replicas

        self.request = request
        self.pace = request.relative_speed
        self.slots = np.array(request.slots)  # a copy: numba compiles read-only arrays anew
        self.layers = np.flatnonzero(~request.dense_layers)
        self.weight = request.unit_mean_load
        self.target = _target(request)
        self.placed: dict[int, Int64] = {}
        uniform = request.equal_slots is not None and request.equal_speed
        self.two_slots = uniform and request.equal_slots == 2
        self.failures = REPARTITION_FAILURES.get(request.slot_width, 0) if uniform else 0
        self.table = replicas.partition_table(request.slot_width if self.failures else 0)
        self.annealed = request.scenarios > 1 or (request.dispatch == "nearest" and request.nodes > 1)

    def pack_all(self) -> None:
        """Give every layer a valid placement by greedy counts, longest-first packing and separation of copies."""
        from planner.strategies.kernels import packing

        active = int((self.slots > 0).sum())
        for layer in self.layers.tolist():
            mean = self.mean_weight(layer)
            count = packing.greedy_counts(mean, int(self.slots.sum()), active)
            share = mean / count
            assign = packing.pack_longest_first(share, count, self.slots, self.pace)
            packing.separate_copies(assign, share, packing.loads_of(assign, share, self.pace), self.pace)
            self.placed[layer] = assign

    def improve_all(self, deadline: float | None) -> None:
        """Improve the layers, worst first; the map of a layer changes only once its search has ended."""
        excess = [self.largest(layer) - self.target[layer] for layer in self.layers.tolist()]
        for layer in self.layers[np.argsort(-np.array(excess), kind="stable")].tolist():
            if deadline is not None and time.perf_counter() > deadline:
                return
            single = self.improve_mean(layer)
            self.placed[layer] = self.anneal(layer, single) if self.annealed else single

    def mean_weight(self, layer: int) -> FloatArray:
        """Power mean over scenarios of the load over the mean GPU load, shape [expert]."""
        weight = self.weight[:, layer]
        power = 1 if len(weight) == 1 else MEAN_POWER
        return np.ascontiguousarray((weight**power).mean(axis=0) ** (1.0 / power))

    def largest(self, layer: int) -> float:
        """Largest GPU load of a layer under the mean load and the even split, over the mean GPU load."""
        from planner.strategies.kernels import packing

        assign, mean = self.placed[layer], self.mean_weight(layer)
        count = np.bincount(assign[assign >= 0], minlength=len(mean))
        return float(packing.loads_of(assign, mean / count, self.pace).max())

    def improve_mean(self, layer: int) -> Int64:
        """Search under the mean load and the even split, from the packing of the layer."""
        from planner.strategies.kernels import pairing, replicas
        from planner.strategies.kernels.compiled import random_state

        assign, weight, target = self.placed[layer].copy(), self.mean_weight(layer), float(self.target[layer])
        count = np.bincount(assign[assign >= 0], minlength=len(weight))
        random = random_state(self.request.seed, layer)
        if not self.two_slots:
            moves = 0 if self.annealed else REPARTITIONED_MOVES if self.failures else COPY_MOVES
            search = self.pace, self.table, target
            largest = replicas.improve(weight, assign, count, *search, moves, self.failures, random)
            if self.failures and moves and largest > target / (1.0 - STUBBORN_GAP):
                replicas.improve(weight, assign, count, *search, STUBBORN_MOVES, self.failures, random)
            return assign
        gpus = self.request.gpus
        pairing.search_counts(weight, count, gpus, target, COUNT_MOVES_PER_SLOT * 2 * gpus, COUNT_HEAT, random)
        return self.pack_pairs(weight, count, target, random)

    def pack_pairs(self, weight: FloatArray, count: Int64, target: float, random: RandomState) -> Int64:
        """Pack two slots a GPU by pairing; where keeping copies apart costs something, move copies too."""
        from planner.strategies.kernels import packing, pairing, replicas

        assign = pairing.pack_pairs(weight, count, self.request.gpus)
        share = weight / count
        load = packing.loads_of(assign, share, self.pace)
        paired_largest = load.max()
        packing.separate_copies(assign, share, load, self.pace)
        moves = REPAIR_MOVES if load.max() > paired_largest * (1.0 + REPAIR_TOLERANCE) else 0
        replicas.improve(weight, assign, count, self.pace, self.table, target, moves, self.failures, random)
        return assign

    def pack_counts(self, layer: int, counts: IntArray) -> Int64:
        """Pack a layer with given copy counts on equal GPUs; slots they leave empty get the hottest experts' copies."""
        from planner.strategies.kernels import packing, replicas
        from planner.strategies.kernels.compiled import random_state

        weight, count = self.mean_weight(layer), counts.copy()
        while count.sum() < self.slots.sum():
            count[np.argmax(np.where(count < self.request.gpus, weight / count, -1.0))] += 1
        target, random = float(self.target[layer]), random_state(self.request.seed, layer)
        if self.two_slots:
            return self.pack_pairs(weight, count, target, random)
        share = weight / count
        assign = packing.pack_longest_first(share, count, self.slots, self.pace)
        packing.separate_copies(assign, share, packing.loads_of(assign, share, self.pace), self.pace)
        moves = REPARTITIONED_MOVES if self.failures else COPY_MOVES
        replicas.improve(weight, assign, count, self.pace, self.table, target, moves, self.failures, random)
        return assign

    def anneal(self, layer: int, start: Int64) -> Int64:
        """Search under the scenario energy from ``start``."""
        from planner.strategies.kernels import scenarios
        from planner.strategies.kernels.compiled import random_state

        request = self.request
        near = request.dispatch == "nearest"
        seen = self.weight[:, layer].sum(axis=1) > 0
        weight = np.ascontiguousarray(self.weight[seen, layer])
        slots, random = int(self.slots.sum()), random_state(request.seed, layer)
        moves = NEAREST_MOVES_PER_SLOT * slots
        if request.scenarios > 1:
            moves = min(SCENARIO_MOVES * slots**2, MOST_SCENARIO_MOVES)
        assign = start.copy()
        for doublings, heat in SCHEDULE:
            layout = scenarios.Layout(
                self.pace,
                self.slots,
                request.node_of_gpu if near else np.zeros(request.gpus, dtype=np.int64),
                request.rack_of_node if near else np.zeros(1, dtype=np.int64),
                request.source_share if near else np.ones(1),
                doublings,
            )
            scenarios.anneal(weight, assign, layout, moves // len(SCHEDULE), heat, random)
        before, after = (
            scenarios.new_state(weight, placed, layout).load.max(axis=0).sum() for placed in (start, assign)
        )
        return assign if after <= before else start

    def map_rows(self) -> IntArray:
        """Map of all layers, shape [layer, slots_total]; layers not reached and dense layers are numbered through."""
        rows = np.tile(identity_row(self.request), (self.request.layers, 1))
        for layer, assign in self.placed.items():
            rows[layer] = assign.ravel()
        return rows


def _target(request: PlacementRequest) -> FloatArray:
    """Largest load over mean load of each layer that is good enough: the bound over 1 - gap, shape [layer]."""
    mean = request.unit_mean_load.mean(axis=0)
    bound = bounds.largest_load_lower_bound(mean, request.gpus, request.slots, request.speed)
    return np.asarray(bound / (1.0 - request.gap))
