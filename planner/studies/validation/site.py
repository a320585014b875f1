"""Correct a model with a few of a site's own points: one shrunken factor for TPOT and one for TTFT.

What a model misses is mostly one constant a group: kernel and engine quality. Between groups its logarithm spreads by
0.19, inside one by 0.14 (serving prototype 2026-11-25, section 0); a few points are therefore worth much, and one odd
point must not be believed whole. The factor is the posterior mean under exactly these two spreads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.points import AGGREGATED, DISAGGREGATED
from planner.studies.validation.metrics import Figures, log_residuals
from planner.studies.validation.splits import folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.exchange.measured.row import MeasuredRow

    Column = NDArray[np.float64]
    Labels = NDArray[np.str_]

BETWEEN = {"tpot": 0.19, "ttft": 0.28}
WITHIN = {"tpot": 0.14, "ttft": 0.25}
"""Spread of the logarithm of measured over predicted, between sites and inside one. TPOT: the dossier's. TTFT: of the
shipped form on the 39 sites of the shared rows, left out by group (2026-11-25): standard deviation of the sites'
medians, and 1.48 median absolute deviations inside, where the standard deviation is 0.49: hence a median of points."""
REPEATS = 20
SEED = 20261125


@dataclass(frozen=True)
class Correction:
    """Factors on a profile's predictions for one site; how many points they come from."""

    tpot: float
    ttft: float
    points: int

    def apply(self, predicted: Figures, rows: Sequence[MeasuredRow]) -> Figures:
        """Predictions of one group with the factors, throughput recomputed from both latencies."""
        tpot, ttft = predicted.tpot * self.tpot, predicted.ttft * self.ttft
        return Figures(tpot, ttft, corrected_throughput(predicted, tpot, ttft, rows))


def correction_of(residuals: dict[str, Column]) -> Correction:
    """Posterior mean of each factor, given logarithms of measured over predicted of a site's points, by metric."""
    known = {metric: column[np.isfinite(column)] for metric, column in residuals.items()}
    factors = {metric: _shrunken(known[metric], BETWEEN[metric], WITHIN[metric]) for metric in ("tpot", "ttft")}
    return Correction(factors["tpot"], factors["ttft"], max(len(column) for column in known.values()))


def _shrunken(logs: Column, between: float, within: float) -> float:
    """Posterior mean of a constant with prior spread ``between`` seen through noise ``within``.

    From three points on, their middle is the median, which one outlier does not move.
    """
    if len(logs) == 0:
        return 1.0
    middle = float(np.median(logs)) if len(logs) >= 3 else float(np.mean(logs))
    weight = len(logs) / (len(logs) + (within / between) ** 2)
    return float(np.exp(weight * middle))


def corrected_throughput(predicted: Figures, tpot: Column, ttft: Column, rows: Sequence[MeasuredRow]) -> Column:
    """Throughput at the same requests in flight when both latencies change [row]; Little's law."""
    answer = np.array([max(row.output_tokens - 1.0, 0.0) for row in rows])
    together = np.array([row.phase in (AGGREGATED, DISAGGREGATED) for row in rows])
    first_before, first_after = (np.nan_to_num(column, nan=0.0) for column in (predicted.ttft, ttft))
    before, after = first_before + predicted.tpot * answer, first_after + tpot * answer
    ratio = np.divide(before, after, out=np.ones(len(rows)), where=np.isfinite(before) & np.isfinite(after))
    alone = np.divide(predicted.tpot, tpot, out=np.ones(len(rows)), where=np.isfinite(tpot))
    return np.asarray(predicted.throughput * np.where(together, ratio, alone))


def few_point_errors(
    rows: Sequence[MeasuredRow], predicted: Figures, measured: Figures, points: int, repeats: int = REPEATS
) -> tuple[Figures, Figures]:
    """Predictions after ``points`` random points a site, and what was measured, for all rows not used; all repeats.

    A site is a group at one precision with more rows than ``points``.
    """
    sites = np.array([f"{row.group} {row.precision}" for row in rows])
    random = np.random.default_rng(SEED)
    logs = {metric: log_residuals(predicted.of(metric), measured.of(metric)) for metric in ("tpot", "ttft")}
    guesses, truths = [], []
    for _, inside in folds(sites):
        places = np.flatnonzero(inside & np.isfinite(logs["tpot"]))
        for _ in range(repeats if len(places) > points else 0):
            used = random.choice(places, points, replace=False)
            rest = np.setdiff1d(places, used)
            correction = correction_of({metric: column[used] for metric, column in logs.items()})
            guesses.append(correction.apply(predicted.take(rest), [rows[place] for place in rest]))
            truths.append(measured.take(rest))
    return _joined(guesses), _joined(truths)


def _joined(parts: list[Figures]) -> Figures:
    if not parts:
        return Figures(*(np.empty(0) for _ in range(3)))
    columns = ([part.tpot for part in parts], [part.ttft for part in parts], [part.throughput for part in parts])
    return Figures(*(np.concatenate(column) for column in columns))
