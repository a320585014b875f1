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

REPARTITION_FAILURES = {2: 20, 3: 60}
"""Tries in a row without gain after which re-partitioning stops, by slots; with 4 slots a try costs too much."""

COUNT_MOVES_PER_SLOT = 40
"""Moves of the two-slot search per slot: 0.3 s for 58 layers at 144 GPUs, 1 s at 256."""

COUNT_HEAT = 0.05
REPAIR_MOVES = 100
REPAIR_TOLERANCE = 1e-6
"""Where keeping copies apart costs more than this against the pairing, copies are moved as with three slots."""

SCENARIO_MOVES_PER_SLOT = 350
SCENARIO_HEAT = 0.01
ENERGY_DOUBLINGS = 5
"""Energy exponent 32. Six DeepSeek-V3 workloads, balance on all six / on one left out, 32 GPUs: exponent 16
0.980 / 0.9285, 32 0.981 / 0.927, 64 0.982 / 0.927; 72 GPUs: 0.920 / 0.841, 0.930 / 0.845, 0.935 / 0.845."""
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
        """Mean over scenarios of the load, scaled to a mean GPU load of 1, shape [expert]."""
        return np.ascontiguousarray(self.weight[:, layer].mean(axis=0))

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
            replicas.improve(weight, assign, count, self.pace, self.table, target, moves, self.failures, random)
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
        layout = scenarios.Layout(
            self.pace,
            self.slots,
            request.node_of_gpu if near else np.zeros(request.gpus, dtype=np.int64),
            request.rack_of_node if near else np.zeros(1, dtype=np.int64),
            request.source_share if near else np.ones(1),
            ENERGY_DOUBLINGS,
        )
        seen = self.weight[:, layer].sum(axis=1) > 0
        weight = np.ascontiguousarray(self.weight[seen, layer])
        per_slot = SCENARIO_MOVES_PER_SLOT if request.scenarios > 1 else NEAREST_MOVES_PER_SLOT
        assign = start.copy()
        before = scenarios.new_state(weight, assign, layout).energy.sum()
        after = scenarios.anneal(
            weight, assign, layout, per_slot * int(self.slots.sum()), SCENARIO_HEAT, random_state(request.seed, layer)
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
