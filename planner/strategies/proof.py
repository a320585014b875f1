"""Prove more about a placement: raise the bound of its open layers, and let the proof improve what the search found."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.strategies import risk
from planner.strategies.bounds import ROUNDING, companion_shape, scenario_imbalance_bound
from planner.strategies.parallel import default_workers, map_ordered
from planner.strategies.result import assess, gpu_load, imbalance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from planner.strategies.layer_proof import LayerProof
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

    Progress = Callable[[str, int, int], None]
    """Told what is being done, layers done, and layers in all."""

FINEST = 1e-4
"""Smallest relative gap the linear programs are driven to."""

INTEGER_GAP = 1e-3
"""Smallest relative gap the integer programs are driven to: 0.1 s for most layers of 144 GPUs x 2 slots."""

LONGEST_S = 10.0
"""Most seconds of one integer program."""

SHARES = 3.0
"""Times its fair share of the time left that one integer program may take; most take much less."""


LINEAR_SHARE = 0.25
"""Share of the time that the linear programs may take where search and integer programs follow: most need far less."""

FIRST_SEARCH_SHARE = 0.4
"""Share of the time left after the linear programs that goes into search before the integer programs start."""

INTEGER_SHARE = 0.5
"""Share of the time left then that integer programs may take; in the rest the search goes on."""

MOST_FRUITLESS = 4
"""Layers in a row that integer programs leave as they were, after which no further one is asked."""

MOST_TURNS = 7
"""Most turns of search, each three times as long as the one before."""


class Refiner(Protocol):
    """A search that a proof can ask for more; map rows have the shape [slots_total]."""

    def repack(self, layer: int, counts: IntArray) -> IntArray:
        """Map row of a layer packed anew with given copy counts, shape [expert]."""
        ...

    def deepen(self, layer: int, row: IntArray, target: float, turn: int) -> IntArray:
        """Map row no worse than ``row``, searched down to ``target`` (largest over mean load), longer with each turn.

        Turns count from 1.
        """
        ...


@dataclass(frozen=True)
class Effort:
    """How much may be spent on proof."""

    gap: float
    """Layers are proven until 1 - balance / bound is at most this."""
    deadline: float | None = None
    """Value of `time.perf_counter` after which no further program starts."""
    integer: bool = False
    """Whether integer programs follow where linear ones leave a gap; they need a deadline."""


def prove(
    request: PlacementRequest,
    result: PlacementResult,
    effort: Effort,
    refiner: Refiner | None = None,
    progress: Progress | None = None,
) -> PlacementResult:
    """Raise the bounds of the layers whose gap is open, those with the largest gap first.

    Parameters
    ----------
    request, result
        What was asked and answered.
    effort
        How far and how long.
    refiner
        Where given, the time is shared with further search, and the map takes over better copy counts that an integer
        program finds (one scenario only).
    progress
        Called before every layer.

    Returns
    -------
    PlacementResult
        Where the companion bound does not apply (unequal GPUs, nearest dispatch, one slot) only the search goes on;
        ``result`` itself if there is none. After Ctrl-C what was reached until then, marked ``interrupted``.
    """
    shape = companion_shape(request.slots, request.relative_speed) if request.dispatch == "even" else None
    if shape is None and (refiner is None or not effort.integer):
        return result
    work = _Work(request, result, effort, shape)
    try:
        work.run(refiner, progress or (lambda *_: None))
    except KeyboardInterrupt:
        return replace(work.outcome(), interrupted=True)
    return work.outcome()


class _Work:
    """Bounds and achieved loads while they close; loads are over the mean load of a GPU.

    Layers are worked on side by side: a layer's row, bound and load are touched by the thread that has it alone.
    """

    def __init__(
        self, request: PlacementRequest, result: PlacementResult, effort: Effort, shape: tuple[int, int] | None
    ) -> None:
        self.request, self.result, self.effort, self.shape = request, result, effort, shape
        self.rows = result.physical_to_logical_map.copy()
        self.low = np.nan_to_num(scenario_imbalance_bound(request), nan=0.0)
        self.high = self._achieved(self.rows, request)
        self.raised = np.zeros(request.layers, dtype=bool)
        self.workers = request.workers or default_workers()
        self.stopped = threading.Event()

    def _achieved(self, rows: IntArray, request: PlacementRequest) -> FloatArray:
        """Largest over mean load, shape [scenario, layer]; 0 where there is no load."""
        load = gpu_load(rows, request.load, request.gpus, request)
        return np.nan_to_num(imbalance(load, request.relative_speed), nan=0.0)

    def run(self, refiner: Refiner | None, progress: Progress) -> None:
        """Linear programs for all open layers, then search and integer programs for those still open."""
        if self.shape is not None:
            until = self._in(LINEAR_SHARE if self.effort.integer else 1.0)
            layers = self._open_layers(self._finest_gap)
            self._each("linear bounds", layers, lambda layer: self._linear(layer, until), progress)
        if self.effort.integer:
            self._close(refiner, progress)

    def _close(self, refiner: Refiner | None, progress: Progress) -> None:
        """Search a little, ask integer programs, then search on in the time that is left."""
        turns = iter(range(1, MOST_TURNS + 1))
        if self.shape is not None:
            self._search(refiner, turns, self._in(FIRST_SEARCH_SHARE), progress)
            self._integers(refiner, self._in(INTEGER_SHARE), progress)
        self._search(refiner, turns, self._in(1.0), progress)

    def _in(self, share: float) -> float:
        """Point in time by which a share of the time left is spent."""
        return time.perf_counter() + share * self._seconds_left()

    def _each(self, what: str, layers: list[int], work: Callable[[int], None], progress: Progress) -> None:
        """Work on the layers in this order, several at a time; none is begun once the time is up."""

        def in_time(layer: int) -> None:
            if self._seconds_left() > 0:
                work(layer)

        if not layers or self._seconds_left() <= 0:
            return
        with contextlib.closing(map_ordered(in_time, layers, self.workers, self.stopped)) as finished:
            progress(what, 0, len(layers))
            for done, _ in enumerate(finished, start=1):
                if done < len(layers) and self._seconds_left() > 0:
                    progress(what, done, len(layers))

    def _search(self, refiner: Refiner | None, turns: Iterator[int], until: float, progress: Progress) -> None:
        """Search on in the open layers, turn by turn; a layer is begun while its turn is likely to end in time."""
        while refiner is not None and (layers := self._open_layers(self._finest_gap)):
            turn = next(turns, None)
            if turn is None:
                return
            deepen = _Deepening(self, refiner, turn, until)
            self._each(f"search, turn {turn}", layers, deepen, progress)
            if deepen.late:
                return

    def _integers(self, refiner: Refiner | None, until: float, progress: Progress) -> None:
        """Integer programs for the layers still open: where no linear one gained anything they rarely do, so last."""
        layers = sorted(self._open_layers(self._integer_gap), key=lambda layer: not self.raised[layer])
        begun, fruitless = itertools.count(), 0

        def prove_layer(layer: int) -> None:
            nonlocal fruitless
            waiting = len(layers) - next(begun)
            if fruitless >= MOST_FRUITLESS:
                return
            left = until - time.perf_counter()
            seconds = min(SHARES * left * self.workers / waiting, left, LONGEST_S)
            before = self._gap()[:, layer].copy()
            for scenario in range(self.request.scenarios):
                self._integer(scenario, layer, time.perf_counter() + seconds, refiner)
            fruitless = 0 if (self._gap()[:, layer] < before).any() else fruitless + 1

        self._each("integer programs", layers, prove_layer, progress)

    @property
    def _integer_gap(self) -> float:
        return max(self.effort.gap, INTEGER_GAP)

    @property
    def _finest_gap(self) -> float:
        return max(self.effort.gap, FINEST)

    def _below(self, load: float) -> float:
        """Limit that closes the gap to ``load``, a hair inside so that rounding does not leave it open."""
        return load * (1.0 - self._integer_gap + 4.0 * ROUNDING)

    def _seconds_left(self) -> float:
        return np.inf if self.effort.deadline is None else self.effort.deadline - time.perf_counter()

    def _open_layers(self, gap: float) -> list[int]:
        """Layers whose gap is above ``gap``, largest first."""
        left = self._gap().max(axis=0)
        order = np.argsort(-left, kind="stable")
        return [int(layer) for layer in order if left[layer] > gap * (1.0 + 1e-6)]

    def _gap(self) -> FloatArray:
        """1 - bound / achieved load, shape [scenario, layer]."""
        return np.asarray(np.where(self.high > 0, 1.0 - self.low / np.where(self.high > 0, self.high, 1.0), 0.0))

    def _layer(self, scenario: int, layer: int) -> LayerProof:
        from planner.strategies.layer_proof import LayerProof

        assert self.shape is not None
        weight = self.request.unit_mean_load[scenario, layer] * (self.request.relative_speed.sum() / self.shape[0])
        return LayerProof(weight, *self.shape, stopped=self.stopped)

    def _linear(self, layer: int, until: float) -> None:
        for scenario in np.flatnonzero(self._gap()[:, layer] > self._finest_gap).tolist():
            if time.perf_counter() >= until:
                return
            low, high = self.low[scenario, layer], self.high[scenario, layer]
            proven = self._layer(scenario, layer).raise_bound(low, high, self._finest_gap, until)
            self.low[scenario, layer] = max(low, proven * (1.0 - ROUNDING))
            self.raised[layer] |= proven > low

    def _integer(self, scenario: int, layer: int, deadline: float, refiner: Refiner | None) -> None:
        """Halve the interval between the bound and the least limit that an integer program has met."""
        proof = self._layer(scenario, layer)
        met = self.high[scenario, layer]
        limit = self._below(met)
        while limit > self.low[scenario, layer] and (seconds := deadline - time.perf_counter()) > 0:
            disproved, counts = proof.try_limit(limit, seconds, self.request.seed)
            if disproved:
                self.low[scenario, layer] = limit * (1.0 - ROUNDING)
            elif counts is None:
                return
            else:
                met = min(met, limit)
                known = refiner if self.request.scenarios == 1 else None
                if known is not None and self._take(layer, known.repack(layer, counts)):
                    met = self.high[scenario, layer]
            if self._below(met) <= self.low[scenario, layer] * (1.0 + 2.0 * ROUNDING):
                return
            first = met == self.high[scenario, layer]
            limit = self._below(met) if first else (met * self.low[scenario, layer]) ** 0.5

    def deepen(self, refiner: Refiner, layer: int, turn: int) -> None:
        """Search on in a layer."""
        target = float(self.low[0, layer]) / (1.0 - self._finest_gap)
        self._take(layer, refiner.deepen(layer, self.rows[layer], target, turn))

    def _take(self, layer: int, row: IntArray) -> bool:
        """Take a row into the map if its risk is lower."""
        part = replace(self.request, load=self.request.load[:, [layer]])
        high = self._achieved(row[None], part)[:, 0]
        before, after = (
            float(risk.risk(np.where(values > 0, values, np.nan), self.request))
            for values in (self.high[:, layer], high)
        )
        if after >= before:
            return False
        self.rows[layer], self.high[:, layer] = row, high
        return True

    def outcome(self) -> PlacementResult:
        """Return the result with the map and the bounds as they are now."""
        result = self.result
        if not np.array_equal(self.rows, result.physical_to_logical_map):
            result = assess(self.request, self.rows, result.seconds, result.strategy, interrupted=result.interrupted)
        low = np.where(self.high > 0, self.low, np.nan)
        bound = risk.expected(1.0 / low, self.request.scenario_probability)
        return replace(
            result,
            bound=np.minimum(self.result.bound, bound),
            risk_bound=np.maximum(self.result.risk_bound, risk.risk(low, self.request)),
        )


class _Deepening:
    """One turn of search, which begins a layer only while it is likely to end in time."""

    def __init__(self, work: _Work, refiner: Refiner, turn: int, until: float) -> None:
        self.work, self.refiner, self.turn, self.until = work, refiner, turn, until
        self.longest, self.late = 0.0, False

    def __call__(self, layer: int) -> None:
        began = time.perf_counter()
        if began + self.longest > self.until:
            self.late = True
            return
        self.work.deepen(self.refiner, layer, self.turn)
        self.longest = max(self.longest, time.perf_counter() - began)
