"""The search of one layer: packing, copy moves, annealing.

One load vector under the even split: greedy copy counts, longest-first packing, then copy moves each followed by a full
descent (three or more slots), or a search of the counts alone (two slots). Several scenarios, or nearest dispatch: the
same start on the mean load, then annealing of the scenario energy. Measurements: research notes on placement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.strategies import bounds

if TYPE_CHECKING:
    from planner.strategies.kernels.compiled import RandomState
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.kernels.scenarios import Layout
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
FEWEST_COUNT_MOVES = 30_000
"""Moves of the two-slot search, per slot and at least: 0.9 s of one core for 58 layers at 144 GPUs, 3 s at 256."""

COUNT_SCHEDULE = ((5, 0.03, 0.6), (8, 0.002, 0.4))
"""Doublings of the energy exponent, heat, share of the moves."""

COUNT_RESTART = 3
"""Times these moves in each turn of a search carried on: the best of several restarts beats one that is as long."""

REPAIR_MOVES = 100
REPAIR_TOLERANCE = 1e-6
"""Where keeping copies apart costs more than this against the pairing, copies are moved as with three slots."""

SCENARIO_MOVES = 5
"""Moves over several scenarios per slot and slot: 415 thousand a layer for 288 slots. Six DeepSeek-V3 workloads, mean
balance, seconds of one core: 0.9864, 9 s at 32 GPUs x 9; 0.950, 8 s at 72 x 4; 0.940, 17 s at 144 x 3."""

FEWEST_SCENARIO_MOVES, MOST_SCENARIO_MOVES = 10_000, 600_000

SCHEDULE = ((6, 0.01, 0.5), (8, 0.001, 0.5))
"""Doublings of the energy exponent, heat, share of the moves: broad first, then close to the largest load. A stage with
the 16th power before helps at 32 GPUs x 9 (0.9869) but costs 0.015 at 72 x 4."""

WEIGHED_ORDER = 1.0
"""Where probabilities or a tail are given, scenarios enter by their largest loads themselves, so that they count as
stated. Else they enter by the energy as it is, which looks to the worst: better in the mean too, and a good start for
a tail."""

SMALL = 64
"""Slots up to which the search over scenarios starts hot, several times: that takes no time and finds the optimum."""

HOT_SCHEDULE = ((2, 1.0, 0.5), (4, 0.3, 0.5), *SCHEDULE)
HOT_STARTS = 4

MEAN_POWER = 4
"""Copies are counted and packed for the power mean of the scenarios: an expert hot in one of them needs its copies."""
NEAREST_MOVES_PER_SLOT = 120
"""Moves under nearest dispatch with one scenario, where most moves change the split of two experts."""

DEEPER = 3
"""Times the moves of the turn before that a search carried on makes: a third of the time is spent on earlier turns."""


class LayerSearch:
    """Searches the layers of a request, each by itself and with random numbers of its own; safe to use from threads.

    An assignment is an int64 array [gpu, slot] as in `planner.strategies.kernels`.
    """

    def __init__(self, request: PlacementRequest) -> None:
        from planner.strategies.kernels import replicas

        self.request = request
        self.pace = request.relative_speed
        self.slots = np.array(request.slots)  # a copy: numba compiles read-only arrays anew
        self.weight = request.unit_mean_load
        self.mean = _power_mean(self.weight, request.scenario_probability)
        mean = np.tensordot(request.scenario_probability, self.weight, axes=1)
        bound = bounds.largest_load_lower_bound(mean, request.gpus, request.slots, request.speed)
        self.target = bound / (1.0 - request.gap)
        uniform = request.equal_slots is not None and request.equal_speed
        self.two_slots = uniform and request.equal_slots == 2
        self.failures = REPARTITION_FAILURES.get(request.slot_width, 0) if uniform else 0
        self.table = replicas.partition_table(request.slot_width if self.failures else 0)
        self.annealed = request.scenarios > 1 or (request.dispatch == "nearest" and request.nodes > 1)

    def pack(self, layer: int) -> Int64:
        """Pack by greedy counts, longest first, copies of an expert apart."""
        from planner.strategies.kernels import packing

        count = packing.greedy_counts(self.mean[layer], int(self.slots.sum()), int((self.slots > 0).sum()))
        return self._packed(layer, count)

    def _packed(self, layer: int, count: Int64) -> Int64:
        from planner.strategies.kernels import packing

        share = self.mean[layer] / count
        assign = packing.pack_longest_first(share, count, self.slots, self.pace)
        packing.separate_copies(assign, share, packing.loads_of(assign, share, self.pace), self.pace)
        return assign

    def excess(self, layer: int, assign: Int64) -> float:
        """Largest GPU load under the mean load and the even split, over the mean GPU load, less the target."""
        return self._largest(layer, assign) - float(self.target[layer])

    def _largest(self, layer: int, assign: Int64) -> float:
        from planner.strategies.kernels import packing

        share = self.mean[layer] / self._count(assign)
        return float(packing.loads_of(assign, share, self.pace).max())

    def _count(self, assign: Int64) -> Int64:
        return np.bincount(assign[assign >= 0], minlength=self.mean.shape[1])

    def improve(self, layer: int, packed: Int64) -> Int64:
        """Search on from a packing."""
        from planner.strategies.kernels.compiled import random_state

        random = random_state(self.request.seed, layer)
        single = self._improve_mean(layer, packed, float(self.target[layer]), random)
        return self._anneal(layer, single, 1, random_state(self.request.seed, layer)) if self.annealed else single

    def deepen(self, layer: int, assign: Int64, target: float, turn: int) -> Int64:
        """Search on for the ``turn``-th time (from 1), down to ``target``; return an assignment that is no worse."""
        from planner.strategies.kernels import replicas
        from planner.strategies.kernels.compiled import random_state

        random, factor = random_state(self.request.seed, layer, turn), DEEPER**turn
        if self.annealed:
            return self._anneal(layer, assign, factor, random)
        count, weight = self._count(assign), self.mean[layer]
        if self.two_slots:
            found = self._pair(layer, count, target, COUNT_RESTART, random)
            return found if self._largest(layer, found) <= self._largest(layer, assign) else assign
        moves = factor * (REPARTITIONED_MOVES + STUBBORN_MOVES if self.failures else COPY_MOVES)
        found = assign.copy()
        replicas.improve(weight, found, count, self.pace, self.table, target, moves, self.failures, random)
        return found

    def repack(self, layer: int, counts: IntArray) -> Int64:
        """Pack with given copy counts on equal GPUs; slots they leave empty get the hottest experts' copies."""
        from planner.strategies.kernels.compiled import random_state

        weight, count = self.mean[layer], counts.copy()
        while count.sum() < self.slots.sum():
            count[np.argmax(np.where(count < self.request.gpus, weight / count, -1.0))] += 1
        target, random = float(self.target[layer]), random_state(self.request.seed, layer)
        if self.two_slots:
            return self._pack_pairs(weight, count, target, random)
        return self._improve_mean(layer, self._packed(layer, count), target, random, stubborn=False)

    def _improve_mean(
        self, layer: int, packed: Int64, target: float, random: RandomState, *, stubborn: bool = True
    ) -> Int64:
        """Search under the mean load and the even split."""
        from planner.strategies.kernels import replicas

        assign, weight, count = packed.copy(), self.mean[layer], self._count(packed)
        if self.two_slots and stubborn:
            return self._pair(layer, count, target, 1, random)
        rough = self.annealed and self.slots.sum() > SMALL
        moves = 0 if rough else REPARTITIONED_MOVES if self.failures else COPY_MOVES
        search = self.pace, self.table, target
        largest = replicas.improve(weight, assign, count, *search, moves, self.failures, random)
        if stubborn and self.failures and moves and largest > target / (1.0 - STUBBORN_GAP):
            replicas.improve(weight, assign, count, *search, STUBBORN_MOVES, self.failures, random)
        return assign

    def _pair(self, layer: int, count: Int64, target: float, factor: int, random: RandomState) -> Int64:
        """Search the counts of two slots a GPU, then pack."""
        from planner.strategies.kernels import pairing

        weight, gpus = self.mean[layer], self.request.gpus
        moves = factor * max(COUNT_MOVES_PER_SLOT * 2 * gpus, FEWEST_COUNT_MOVES)
        for doublings, heat, share in COUNT_SCHEDULE:
            pairing.search_counts(weight, count, gpus, target, int(share * moves), heat, doublings, random)
        return self._pack_pairs(weight, count, target, random)

    def _pack_pairs(self, weight: FloatArray, count: Int64, target: float, random: RandomState) -> Int64:
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

    def _anneal(self, layer: int, start: Int64, factor: int, random: RandomState) -> Int64:
        """Search under the scenario energy from ``start``; return the assignment of least risk seen."""
        from planner.strategies.kernels import scenarios

        request = self.request
        seen = self.weight[:, layer].sum(axis=1) > 0
        weight = np.ascontiguousarray(self.weight[seen, layer])
        probability = request.scenario_probability[seen]
        probability = probability / probability.sum()
        weighed = request.cvar_weight > 0 or np.ptp(probability) > 0
        slots = int(self.slots.sum())
        moves = NEAREST_MOVES_PER_SLOT * slots
        if request.scenarios > 1:
            moves = min(max(SCENARIO_MOVES * slots**2, FEWEST_SCENARIO_MOVES), MOST_SCENARIO_MOVES)
        best, least = start, np.inf
        for turn in range(1 if slots > SMALL else HOT_STARTS):
            assign, reached = start.copy(), np.inf
            broad = not weighed or (request.cvar_weight > 0 and turn % 2 == 0)
            for doublings, heat, share in SCHEDULE if slots > SMALL else HOT_SCHEDULE:
                last = slots > SMALL and weighed and doublings == SCHEDULE[-1][0]
                order = 2.0**doublings if broad and not last else WEIGHED_ORDER
                risk = scenarios.Risk(probability, request.cvar_share, request.cvar_weight, order)
                layout = self._layout(doublings)
                reached = scenarios.anneal(weight, assign, layout, risk, int(factor * moves * share), heat, random)
            if reached < least:
                best, least = assign, reached
        return best

    def _layout(self, doublings: int) -> Layout:
        """Nodes and racks as the dispatch rule sees them: under the even split all GPUs are one node."""
        from planner.strategies.kernels import scenarios

        request, near = self.request, self.request.dispatch == "nearest"
        return scenarios.Layout(
            self.pace,
            self.slots,
            request.node_of_gpu if near else np.zeros(request.gpus, dtype=np.int64),
            request.rack_of_node if near else np.zeros(1, dtype=np.int64),
            request.source_share if near else np.ones(1),
            doublings,
        )


def _power_mean(weight: FloatArray, probability: FloatArray) -> FloatArray:
    """Power mean over scenarios of ``weight`` [scenario, layer, expert], shape [layer, expert]."""
    if len(weight) == 1:
        return np.ascontiguousarray(weight[0])
    return np.ascontiguousarray(np.tensordot(probability, weight**MEAN_POWER, axes=1) ** (1.0 / MEAN_POWER))
