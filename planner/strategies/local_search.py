"""Our search, the default strategy: every layer by `planner.strategies.layer_search`, several layers at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.layer_search import LayerSearch
from planner.strategies.parallel import default_workers, map_ordered
from planner.strategies.result import PlacementResult, assess, identity_row

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Int64
    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.proof import Progress, Refiner


class LocalSearch:
    """Packing, swaps, copy moves and annealing in compiled code."""

    name = "local_search"

    def supports(self, request: PlacementRequest) -> str | None:
        """Every request is supported."""
        return None

    def place(self, request: PlacementRequest, progress: Progress | None = None) -> PlacementResult:
        """Pack every layer, then improve the layers furthest from their bound first until the time limit or Ctrl-C.

        ``progress`` is told how many layers are improved.
        """
        start = time.perf_counter()
        work = _Layers(request, progress or (lambda *_: None))
        interrupted = False
        try:
            work.pack_all()
            work.improve_all(None if request.time_limit_s is None else start + request.time_limit_s)
        except KeyboardInterrupt:
            interrupted = True
        return assess(request, work.map_rows(), time.perf_counter() - start, self.name, interrupted=interrupted)

    def refiner(self, request: PlacementRequest) -> Refiner:
        """Return what a proof may ask of the search."""
        return _Refiner(LayerSearch(request))


class _Refiner:
    """The search of one layer in map rows, for a proof that knows better bounds and counts."""

    def __init__(self, search: LayerSearch) -> None:
        self._search = search

    def repack(self, layer: int, counts: IntArray) -> IntArray:
        """Pack a layer anew with given copy counts, shape [expert]; return its map row."""
        return self._search.repack(layer, counts).ravel()

    def deepen(self, layer: int, row: IntArray, target: float, turn: int) -> IntArray:
        """Search on from a map row down to ``target`` (largest over mean load), the longer the later the turn."""
        assign = row.reshape(self._search.request.gpus, -1)
        return self._search.deepen(layer, assign, target, turn).ravel()


class _Layers:
    """The assignments of all layers while they are improved."""

    def __init__(self, request: PlacementRequest, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.search = LayerSearch(request)
        self.layers = np.flatnonzero(~request.dense_layers).tolist()
        self.workers = request.workers or default_workers()
        self.placed: dict[int, Int64] = {}

    def pack_all(self) -> None:
        """Give every layer a valid placement."""
        for layer, assign in zip(self.layers, map_ordered(self.search.pack, self.layers, self.workers), strict=True):
            self.placed[layer] = assign

    def improve_all(self, deadline: float | None) -> None:
        """Improve the layers, worst first; the map of a layer changes only once its search has ended."""

        def improve(layer: int) -> None:
            if deadline is None or time.perf_counter() <= deadline:
                self.placed[layer] = self.search.improve(layer, self.placed[layer])

        excess = {layer: self.search.excess(layer, self.placed[layer]) for layer in self.layers}
        worst_first = sorted(self.layers, key=lambda layer: -excess[layer])
        for done, _ in enumerate(map_ordered(improve, worst_first, self.workers), start=1):
            self.progress("search", done, len(self.layers))

    def map_rows(self) -> IntArray:
        """Map of all layers, shape [layer, slots_total]; layers not reached and dense layers are numbered through."""
        rows = np.tile(identity_row(self.request), (self.request.layers, 1))
        for layer, assign in self.placed.items():
            rows[layer] = assign.ravel()
        return rows
