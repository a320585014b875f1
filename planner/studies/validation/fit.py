"""Fit a form's parameters to measured rows: least squares in logarithms with priors, every group weighing alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.studies.validation.metrics import METRICS, Figures, log_residuals, predicted_figures
from planner.studies.validation.splits import folds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from planner.costs.points import ServingPoints
    from planner.studies.validation.forms import Form

    Column = NDArray[np.float64]
    Labels = NDArray[np.str_]

ROWS_PER_GROUP = 2.0
"""A group weighs as much as this many independent rows: rows of one group share what the form does not know. With 20
the left-out error was 21.2 / 15.6 %, with 2 it was 19.6 / 15.1 % (serving prototype 2026-11-25, section 1)."""
SCALE = {"tpot": 0.2, "ttft": 0.4, "throughput": 0.2}
"""Expected size of a residual's logarithm, by metric."""
STEP = 1e-4
UNANSWERED = 10.0
"""Residual of a row that the form does not answer: far off, but finite."""
LARGEST_SCORE, LARGEST_STEP = 6.0, 2.0
ATTEMPTS = 6
"""Tries of a step with more and more damping before the search ends."""
ENOUGH = 1e-4
"""Share of the cost below which a step's gain ends the search."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Points, what was measured there and the group of each row."""

    points: ServingPoints
    measured: Figures
    groups: Labels

    def take(self, rows: NDArray[np.bool_]) -> Rows:
        """Keep some rows."""
        return Rows(self.points.take(rows), self.measured.take(rows), self.groups[rows])

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class Fitted:
    """Values after a fit, and how many predictions it took."""

    values: dict[str, float]
    evaluations: int


def targets(measured: Figures) -> dict[str, NDArray[np.bool_]]:
    """Rows that each metric is fitted on: latencies; throughput only where no latency was measured."""
    latency = np.isfinite(measured.tpot)
    return {
        "tpot": latency,
        "ttft": np.isfinite(measured.ttft),
        "throughput": np.isfinite(measured.throughput) & ~latency,
    }


def fit(form: Form, rows: Rows, start: Mapping[str, float] | None = None, evaluations: int = 30) -> Fitted:
    """Maximise the posterior of the free parameters.

    The residual of a row is the logarithm of measured over predicted, over :data:`SCALE`, weighted so that a group of n
    rows counts as min(n, :data:`ROWS_PER_GROUP`); each parameter adds its own standard normal score.

    Parameters
    ----------
    form, rows
        What is fitted, and to what.
    start
        Values to begin at; the prior if absent.
    evaluations
        Most steps of the search.
    """
    rows = rows.take(np.isin(rows.points.phase, form.fitted_phases))
    if not form.free or len(rows) == 0:
        return Fitted(dict(start or form.prior), 0)
    weight = group_weights(rows.groups)
    wanted = targets(rows.measured)
    calls = 0

    def residuals(scores: Column) -> Column:
        nonlocal calls
        calls += 1
        predicted = predicted_figures(form.predict(form.values(scores), rows.points), rows.measured)
        parts = [scores]
        for metric in METRICS:
            chosen = wanted[metric]
            logs = log_residuals(predicted.of(metric), rows.measured.of(metric))[chosen] / SCALE[metric]
            parts.append(_drawn_in(np.nan_to_num(logs, nan=UNANSWERED), form.degrees_of_freedom) * weight[chosen])
        return np.concatenate(parts)

    begin = np.clip(form.scores(start or form.prior), -LARGEST_SCORE, LARGEST_SCORE)
    return Fitted(form.values(_minimised(residuals, begin, evaluations)), calls)


def _minimised(residuals: Callable[[Column], Column], begin: Column, steps: int) -> Column:
    """Least squares by Levenberg and Marquardt on the normal equations: the priors keep them well conditioned."""
    scores, damping = begin, 1e-3
    errors = residuals(scores)
    cost = float(errors @ errors)
    for _ in range(steps):
        slopes = _jacobian(residuals, scores, errors)
        square, gradient = slopes.T @ slopes, slopes.T @ errors
        for _ in range(ATTEMPTS):
            step = np.linalg.solve(square + damping * np.diag(np.diag(square)), -gradient)
            moved = np.clip(scores + np.clip(step, -LARGEST_STEP, LARGEST_STEP), -LARGEST_SCORE, LARGEST_SCORE)
            tried = residuals(moved)
            if float(tried @ tried) < cost:
                break
            damping *= 8.0
        else:
            return scores
        gained = cost - float(tried @ tried)
        scores, errors, cost, damping = moved, tried, cost - gained, max(damping / 5.0, 1e-6)
        if gained < ENOUGH * cost:
            break
    return scores


def _drawn_in(residuals: Column, degrees_of_freedom: float | None) -> Column:
    """Residuals whose squares are twice the t law's loss, so that least squares maximises its likelihood."""
    if degrees_of_freedom is None:
        return residuals
    loss = (degrees_of_freedom + 1.0) * np.log1p(residuals**2 / degrees_of_freedom)
    return np.asarray(np.sign(residuals) * np.sqrt(loss))


def _jacobian(residuals: Callable[[Column], Column], scores: Column, base: Column) -> Column:
    """One-sided differences in standard normal scores, the unit in which every parameter is of order one."""
    columns = np.empty((len(base), len(scores)))
    for place in range(len(scores)):
        moved = scores.copy()
        moved[place] += STEP
        columns[:, place] = (residuals(moved) - base) / STEP
    return columns


def group_weights(groups: Labels) -> Column:
    """Square root of each row's weight [row]."""
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(np.sqrt(np.minimum(ROWS_PER_GROUP / counts, 1.0))[inverse])


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Predictions of rows by fits that did not see their part, and the values of each fit."""

    predicted: Figures
    values: dict[str, dict[str, float]]


def left_out(
    form: Form,
    rows: Rows,
    parts: Labels,
    start: Mapping[str, float],
    *,
    evaluations: int = 6,
    progress: Callable[[str, int, int], None] | None = None,
) -> LeftOut:
    """Predict each part by a fit to all others, started from ``start``: the fit to all rows, or the prior.

    ``progress`` is told what is done, how many parts are fitted, and how many there are.
    """
    columns = {metric: np.full(len(rows), np.nan) for metric in METRICS}
    values: dict[str, dict[str, float]] = {}
    parted = list(folds(parts))
    for done, (part, inside) in enumerate(parted):
        if progress:
            progress(f"fits to others ({form.name})", done, len(parted))
        values[part] = fit(form, rows.take(~inside), start, evaluations).values
        held = rows.take(inside)
        predicted = predicted_figures(form.predict(values[part], held.points), held.measured)
        for metric in METRICS:
            columns[metric][inside] = predicted.of(metric)
    if progress:
        progress(f"fits to others ({form.name})", len(parted), len(parted))
    return LeftOut(Figures(**columns), values)
