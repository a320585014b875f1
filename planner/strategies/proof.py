"""Prove more about a placement: raise the bound of its open layers, and let the proof improve what the search found."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.bounds import ROUNDING, companion_shape, largest_load_lower_bound
from planner.strategies.result import assess, gpu_load, imbalance, mean_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.layer_proof import LayerProof
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

    Repack = Callable[[int, IntArray], IntArray]
    """Map row, shape [slots_total], of a layer packed anew with given copy counts, shape [expert]."""

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
    repack: Repack | None = None,
    progress: Progress | None = None,
) -> PlacementResult:
    """Raise the bounds of the layers whose gap is open, those with the largest gap first.

    Parameters
    ----------
    request, result
        What was asked and answered.
    effort
        How far and how long.
    repack
        Where given, the map takes over better copy counts that an integer program finds (one scenario only).
    progress
        Called before every layer.

    Returns
    -------
    PlacementResult
        ``result`` itself where the companion bound does not apply (unequal GPUs, nearest dispatch, one slot). After
        Ctrl-C what was proven until then, marked ``interrupted``.
    """
    shape = companion_shape(request.slots, request.relative_speed)
    if request.dispatch != "even" or shape is None:
        return result
    work = _Work(request, result, effort, shape)
    try:
        work.run(repack, progress or (lambda *_: None))
    except KeyboardInterrupt:
        return replace(work.outcome(), interrupted=True)
    return work.outcome()


class _Work:
    """Bounds and achieved loads while they close; loads are over the mean load of a GPU."""

    def __init__(
        self, request: PlacementRequest, result: PlacementResult, effort: Effort, shape: tuple[int, int]
    ) -> None:
        self.request, self.result, self.effort, self.shape = request, result, effort, shape
        self.rows = result.physical_to_logical_map.copy()
        self.weight = request.unit_mean_load * (request.relative_speed.sum() / shape[0])
        flat = self.weight.reshape(-1, request.experts)
        self.low = largest_load_lower_bound(flat, *shape).reshape(self.weight.shape[:2])
        self.high = self._achieved(self.rows, request)
        self.raised = np.zeros(request.layers, dtype=bool)

    def _achieved(self, rows: IntArray, request: PlacementRequest) -> FloatArray:
        """Largest over mean load, shape [scenario, layer]; 0 where there is no load."""
        load = gpu_load(rows, request.load, request.gpus, request)
        return np.nan_to_num(imbalance(load, request.relative_speed), nan=0.0)

    def run(self, repack: Repack | None, progress: Progress) -> None:
        """Linear programs for all open layers, then integer programs for those still open."""
        open_layers = self._open_layers(max(self.effort.gap, FINEST))
        for done, layer in enumerate(open_layers):
            if self._seconds_left() <= 0:
                return
            progress("linear bounds", done, len(open_layers))
            self._linear(layer)
        if not self.effort.integer:
            return
        # Where no linear program gained anything, integer ones rarely do.
        open_layers = sorted(self._open_layers(self._integer_gap), key=lambda layer: not self.raised[layer])
        for done, layer in enumerate(open_layers):
            seconds = min(SHARES * self._seconds_left() / (len(open_layers) - done), self._seconds_left(), LONGEST_S)
            if seconds <= 0:
                return
            progress("integer programs", done, len(open_layers))
            for scenario in range(self.request.scenarios):
                self._integer(scenario, layer, time.perf_counter() + seconds, repack)

    @property
    def _integer_gap(self) -> float:
        return max(self.effort.gap, INTEGER_GAP)

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

        return LayerProof(self.weight[scenario, layer], *self.shape)

    def _linear(self, layer: int) -> None:
        precision = max(self.effort.gap, FINEST)
        for scenario in np.flatnonzero(self._gap()[:, layer] > precision).tolist():
            low, high = self.low[scenario, layer], self.high[scenario, layer]
            proven = self._layer(scenario, layer).raise_bound(low, high, precision)
            self.low[scenario, layer] = max(low, proven * (1.0 - ROUNDING))
            self.raised[layer] |= proven > low

    def _integer(self, scenario: int, layer: int, deadline: float, repack: Repack | None) -> None:
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
                if repack is not None and self.request.scenarios == 1 and self._take(layer, repack(layer, counts)):
                    met = self.high[scenario, layer]
            if self._below(met) <= self.low[scenario, layer] * (1.0 + 2.0 * ROUNDING):
                return
            first = met == self.high[scenario, layer]
            limit = self._below(met) if first else (met * self.low[scenario, layer]) ** 0.5

    def _take(self, layer: int, row: IntArray) -> bool:
        """Take a row into the map if it is better."""
        part = replace(self.request, load=self.request.load[:, [layer]])
        high = self._achieved(row[None], part)[:, 0]
        if high[0] >= self.high[0, layer]:
            return False
        self.rows[layer], self.high[:, layer] = row, high
        return True

    def outcome(self) -> PlacementResult:
        """Return the result with the map and the bounds as they are now."""
        result = self.result
        if not np.array_equal(self.rows, result.physical_to_logical_map):
            result = assess(self.request, self.rows, result.seconds, result.strategy, interrupted=result.interrupted)
        seen = self.high > 0
        balance = np.where(seen, 1.0 / np.where(seen, self.low, 1.0), np.nan)
        bound = np.minimum(self.result.bound, mean_over(balance, axis=0))
        return replace(result, bound=bound)
