"""Raise the lower bound on the largest GPU load of one layer, by linear and by integer programs over copy counts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import SolverError
from planner.solver.highs import solve_lp_relaxation, solve_matrix
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason
from planner.strategies import companion
from planner.strategies.kernels import companion as kernel

if TYPE_CHECKING:
    import threading

    from planner.solver.matrix import MatrixModel
    from planner.solver.result import SolveResult
    from planner.strategies.problem import FloatArray, IntArray

FIRST_COUNTS = 4
"""Counts of an expert, from the fewest that fit, that the linear program starts with; cheaper ones are added."""

PRICINGS = 6
"""Most rounds of adding counts at one limit; whatever is left out then, the prices prove what they prove."""

LARGEST = 20_000
"""Most columns of an integer program: larger ones are far from closed and time out."""

TOLERANCE = 1e-9
"""Relative amount by which cost must pass the slots before it counts as a proof: well above float64 sums."""

PART_OF_A_SLOT = 1e-3
"""Slots are whole numbers, so a bound this much above the slots there are is a proof."""

SLACK = 1e-6
"""Slack of the excess rows of the integer program, above the solver's tolerance."""


class LayerProof:
    """The companion programs of a layer: ``slots`` slots on each of ``gpus`` equal GPUs, even split."""

    def __init__(self, weight: FloatArray, gpus: int, slots: int, stopped: threading.Event | None = None) -> None:
        self.weight = np.ascontiguousarray(weight, dtype=float)
        self.slots = slots
        self._stopped = stopped
        self.total = gpus * slots
        self.most = self.total - len(weight) + 1
        self._priced_in = np.zeros((0, 2), dtype=np.int64)

    def raise_bound(self, low: float, high: float, precision: float, deadline: float | None = None) -> float:
        """Raise ``low``, a proven lower bound, by linear programs; none is begun after ``deadline`` (perf_counter).

        The search halves the interval up to ``high`` until that is ``precision`` (relative) long; the first limits
        tried are ``low``, because often nothing is to be gained, and ``high`` less the precision. Prices found at one
        limit often prove a higher one.
        """
        limit, first = low, True
        while high * (1.0 - precision) > low and (deadline is None or time.perf_counter() < deadline):
            prices, disproved = self._price(limit)
            low, high = (limit, high) if disproved else (low, limit)
            if high <= low:
                break
            low = self._highest_disproved(prices, low, high)
            limit = max(low, high * (1.0 - precision)) if first else (low * high) ** 0.5
            first = False
        return low

    def _highest_disproved(self, prices: companion.Prices, low: float, high: float) -> float:
        enough = self.total * (1.0 + TOLERANCE)
        step = prices.position, prices.level, prices.slope
        return float(kernel.highest_disproved(self.weight, low, high, *step, enough, self.most))

    def _price(self, limit: float) -> tuple[companion.Prices, bool]:
        """Price the inequalities at a limit by the linear program; tell whether the prices disprove it."""
        for _ in range(PRICINGS):
            entry = self._entries(limit)
            model, cuts = self._program(entry, limit)
            solved = _checked(solve_lp_relaxation(model, SolveOptions(threads=1), stopped=self._stopped))
            if solved.row_duals is None:
                raise SolverError(f"the companion program ended without duals: {solved.stop_reason}")
            prices = companion.prices(solved.row_duals, len(self.weight), cuts)
            cost, count = self._cheapest(prices, limit)
            enough = self.total * (1.0 + TOLERANCE)
            known = set(map(tuple, entry.tolist()))
            missing = [pair for pair in enumerate(count.tolist()) if pair not in known]
            if cost > enough or solved.objective is None or solved.objective <= enough or not missing:
                break
            self._priced_in = np.vstack([self._priced_in, missing])
        return prices, cost > enough

    def _cheapest(self, prices: companion.Prices, limit: float) -> tuple[float, IntArray]:
        count = np.ones(len(self.weight), dtype=np.int64)
        step = prices.position, prices.level, prices.slope
        return float(kernel.cheapest_counts(self.weight, limit, *step, self.most, count)), count

    def _entries(self, limit: float) -> IntArray:
        """(expert, copies) of the linear program's columns, [entry, 2]."""
        fewest = np.maximum(1, np.ceil(self.weight / limit - kernel.EDGE)).astype(np.int64)
        copies = np.minimum(fewest[:, None] + np.arange(FIRST_COUNTS), np.maximum(fewest, self.most)[:, None])
        expert = np.repeat(np.arange(len(fewest)), FIRST_COUNTS)
        entry = np.unique(np.vstack([np.c_[expert, copies.ravel()], self._priced_in]), axis=0)
        return np.asarray(entry[entry[:, 1] >= fewest[entry[:, 0]]])

    def _program(self, entry: IntArray, limit: float) -> tuple[MatrixModel, companion.Inequalities]:
        expert, copies = entry[:, 0], entry[:, 1]
        size = self.weight[expert] / (copies * limit)
        cuts = companion.inequalities(size, self.slots)
        return companion.program(expert, copies, size, cuts), cuts

    def _options(self, seconds: float, seed: int) -> SolveOptions:
        """Stop at counts that fit, or once the bound is less than a slot below the best: either answers the question.

        Minimising the slots found and proved sooner than asking for a point within them.
        """
        return SolveOptions(
            threads=1,
            seed=seed,
            time_limit_s=seconds,
            mip_abs_gap=1.0 - PART_OF_A_SLOT,
            highs={"objective_target": self.total + PART_OF_A_SLOT},
        )

    def try_limit(self, limit: float, seconds: float, seed: int) -> tuple[bool, IntArray | None]:
        """Ask the integer program for copy counts within ``limit``.

        Returns
        -------
        disproved
            Whether no placement keeps to the limit.
        counts
            Counts, shape [expert], that satisfy every inequality, though not necessarily packable; ``None`` if
            disproved or not found in time.
        """
        prices, disproved = self._price(limit)
        if disproved:
            return True, None
        excess = max(0.0, self.total - self._cheapest(prices, limit)[0]) + SLACK
        step = prices.position, prices.level, prices.slope
        entry = kernel.affordable_counts(self.weight, limit, *step, self.most, excess)
        if len(entry) > LARGEST:
            return False, None
        if len(np.unique(entry[:, 0])) < len(self.weight):
            return True, None
        model, cuts = self._program(entry, limit)
        solved = _checked(
            solve_matrix(_loosened(model, len(cuts.excess)), self._options(seconds, seed), stopped=self._stopped)
        )
        if solved.bound > self.total + PART_OF_A_SLOT:
            return True, None
        if solved.values is None or solved.objective is None or solved.objective > self.total + PART_OF_A_SLOT:
            return False, None
        chosen = entry[solved.values[: len(entry)] > 0.5]
        return False, np.bincount(chosen[:, 0], weights=chosen[:, 1], minlength=len(self.weight)).astype(np.int64)


def _loosened(model: MatrixModel, excesses: int) -> MatrixModel:
    """Loosen the excess rows beyond the solver's tolerance; the others hold whole numbers."""
    upper = model.row_upper.copy()
    upper[len(upper) - excesses :] += SLACK
    return replace(model, row_upper=upper)


def _checked(solved: SolveResult) -> SolveResult:
    """Pass Ctrl-C on, which the solver turns into a result."""
    if solved.stop_reason is StopReason.interrupted:
        raise KeyboardInterrupt
    return solved
