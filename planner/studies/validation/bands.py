"""Bands around a prediction: quantiles of what measured rows were over their left-out prediction.

A band is a pair of factors. It is judged cross-conformally: the factors for a part come from the residuals of the other
parts only, so that the coverage of a part says what a user with unseen hardware or an unseen model gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.studies.validation.metrics import METRICS, Figures, covered, log_residuals
from planner.studies.validation.splits import folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Labels = NDArray[np.str_]

NOMINAL = 0.8
FEWEST_RESIDUALS = 20
"""Below this a quantile says nothing, and the band is as wide as the largest residuals."""


def factors(residuals: Column, nominal: float = NOMINAL) -> tuple[float, float]:
    """Low and high factor that hold a share ``nominal`` of the residuals (logarithms of measured over predicted).

    With n residuals the outer (n + 1)-quantiles are taken, as conformal prediction does, so that a new row is inside
    with at least that chance.
    """
    known = residuals[np.isfinite(residuals)]
    if len(known) == 0:
        return float("nan"), float("nan")
    tail = (1.0 - nominal) / 2
    if len(known) >= FEWEST_RESIDUALS:
        tail = max(tail * (len(known) + 1) / len(known) - 1 / len(known) / 2, 0.0)
    low, high = np.quantile(known, (tail, 1.0 - tail)) if len(known) >= FEWEST_RESIDUALS else (known.min(), known.max())
    return float(np.exp(low)), float(np.exp(high))


def band_of_parts(residuals: Column, parts: Labels, nominal: float = NOMINAL) -> tuple[Column, Column]:
    """Low and high factor of each row from the residuals of the other parts [row]."""
    low, high = np.full(len(residuals), np.nan), np.full(len(residuals), np.nan)
    for _, inside in folds(parts):
        low[inside], high[inside] = factors(residuals[~inside], nominal)
    return low, high


def coverage(predicted: Figures, measured: Figures, parts: Labels, nominal: float = NOMINAL) -> dict[str, float | None]:
    """Share of rows inside the band of their part, by metric; ``predicted`` is left out by the same parts."""
    shares: dict[str, float | None] = {}
    for metric in METRICS:
        guess = predicted.of(metric)
        low, high = band_of_parts(log_residuals(guess, measured.of(metric)), parts, nominal)
        shares[metric] = covered(measured.of(metric), low * guess, high * guess)
    return shares
