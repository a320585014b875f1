"""Programs around the compiled search: router groups on few nodes, packed inside by the search.

What was tried and left out: re-packing 4 to 6 GPUs around the fullest one by HiGHS, copies fixed or one copy moved. On
layers 43 and 45 of prefill_in4096 at 96 GPUs x 3 slots, where the search is stuck, 190 to 1,500 such programs of 5
to 42 ms found nothing in 8 s of CPU time each, while restarts of the compiled search in that time went from 0.8840 to
0.8888 and from 0.8366 to 0.8371. Programs over copy counts do help there (`planner.strategies.layer_proof`).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from formulations.base import refuse
from planner.strategies import bounds
from planner.strategies.local_search import LocalSearch
from planner.strategies.locality import MOST_GROUPS, Nodes, frontier, small_parts
from planner.strategies.result import assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.kernels.restricted import Bool
    from planner.strategies.locality import Locality
    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.proof import Refiner
    from planner.strategies.result import PlacementResult

COPY_MOVES = 200
"""Copies moved per layer inside the groups' nodes."""


class Matheuristic:
    """Soft node locality where router groups and nodes are given; the local search otherwise."""

    name = "matheuristic"

    def supports(self, request: PlacementRequest) -> str | None:
        """With groups and nodes: even dispatch, equal GPUs, full nodes, groups of equal size."""
        if not has_groups(request):
            return None
        if request.dispatch != "even":
            return "router groups are tied to nodes under even dispatch only"
        if request.equal_slots is None or not request.equal_speed:
            return "router groups are tied to nodes of equal GPUs only"
        if request.gpus % (request.gpus_per_node or 1):
            return f"{request.gpus} GPUs do not fill nodes of {request.gpus_per_node}"
        if request.experts % request.router_groups:
            return f"{request.experts} experts are no multiple of {request.router_groups} router groups"
        if request.router_groups > MOST_GROUPS:
            return f"{request.router_groups} router groups are more than {MOST_GROUPS}"
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Give every layer its groups' nodes and pack inside, the layers with the most to gain first.

        Raises
        ------
        FormulationError
            If the request is not supported.
        """
        refuse(self.supports(request))
        if not has_groups(request):
            return replace(LocalSearch().place(request), strategy=self.name)
        start = time.perf_counter()
        search = _GroupSearch(request)
        interrupted = False
        try:
            search.pack_all()
            search.improve_all(None if request.time_limit_s is None else start + request.time_limit_s)
        except KeyboardInterrupt:
            interrupted = True
        return assess(request, search.rows, time.perf_counter() - start, self.name, interrupted=interrupted)

    def refiner(self, request: PlacementRequest) -> Refiner | None:
        """Return what a proof may ask of the search: nothing where that would scatter the groups."""
        return None if has_groups(request) else LocalSearch().refiner(request)


def has_groups(request: PlacementRequest) -> bool:
    """Whether there are router groups to tie to nodes."""
    return request.router_groups > 1 and request.nodes > 1


class _GroupSearch:
    """Placements of all layers: whole groups on nodes first, then groups that share nodes where that pays."""

    def __init__(self, request: PlacementRequest) -> None:
        self.request = request
        self.nodes = Nodes(request.nodes, request.gpus // request.nodes, request.slot_width)
        self.node = request.node_of_gpu
        self.slots, self.pace = np.array(request.slots), request.relative_speed
        self.weight = np.ascontiguousarray(np.tensordot(request.scenario_probability, request.unit_mean_load, 1))
        self.bound = bounds.largest_load_lower_bound(self.weight, request.gpus, request.slots)
        self.rows = np.tile(identity_row(request), (request.layers, 1))
        self.steps: dict[int, list[Locality]] = {}

    def pack_all(self) -> None:
        """Give every layer the placement with the fewest pairs that needs no program."""
        for layer in np.flatnonzero(~self.request.dense_layers).tolist():
            self.steps[layer] = frontier(self.weight[layer], self.request.router_groups, self.nodes)
            strict = next((step for step in self.steps[layer] if all(number == 1 for _, number in step.parts)), None)
            if strict is not None:
                self._place(layer, strict, None)

    def improve_all(self, deadline: float | None) -> None:
        """Follow the step of each layer that keeps to the tolerance, worst layer first, until the deadline."""
        tolerance = 1.0 + self.request.locality_tolerance
        for layer in sorted(self.steps, key=lambda layer: -self.steps[layer][0].largest / self.bound[layer]):
            limit, groups = float(self.bound[layer]) * tolerance, self.request.router_groups
            for step in small_parts(self.weight[layer], groups, self.nodes, limit):
                left = None if deadline is None else deadline - time.perf_counter()
                if left is not None and left <= 0:
                    return
                if self._place(layer, step, left):
                    break

    def _place(self, layer: int, step: Locality, time_limit_s: float | None) -> bool:
        """Follow a step; ``False`` and no change where its program finds nothing."""
        from planner.strategies.group_nodes import copies_on_nodes

        groups, seed = self.request.router_groups, self.request.seed
        placed = copies_on_nodes(self.weight[layer], groups, step, self.nodes, seed, time_limit_s)
        if placed is not None:
            self.rows[layer] = self._pack(layer, placed, step.largest).ravel()
        return placed is not None

    def _pack(self, layer: int, placed: IntArray, largest: float) -> Int64:
        """Pack GPUs inside the nodes, every group kept to the nodes it has copies on."""
        from planner.strategies.kernels import packing, restricted
        from planner.strategies.kernels.compiled import random_state

        weight, count = self.weight[layer], placed.sum(axis=1)
        share = weight / count
        assign = restricted.pack_on_nodes(share, placed, self.node, self.slots, self.pace)
        allowed = self._allowed(placed)
        restricted.separate_allowed(assign, share, packing.loads_of(assign, share, self.pace), self.pace, allowed)
        target = max(largest, float(self.bound[layer])) / (1.0 - self.request.gap)
        random = random_state(self.request.seed, layer)
        restricted.improve_allowed(weight, assign, count, self.pace, allowed, target, COPY_MOVES, random)
        return assign

    def _allowed(self, placed: IntArray) -> Bool:
        """GPUs of the nodes that hold copies of each expert's group, shape [expert, gpu]."""
        groups = self.request.router_groups
        uses = placed.reshape(groups, -1, self.nodes.number).sum(axis=1) > 0
        return np.ascontiguousarray(np.repeat(uses, self.request.experts // groups, axis=0)[:, self.node])
