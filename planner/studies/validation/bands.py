"""Bands around a prediction: quantiles of what measured rows were over their left-out prediction.

A band is a pair of factors. It is judged cross-conformally: the factors for a part come from the residuals of the other
parts only, so that the coverage of a part says what a user with unseen hardware or an unseen model gets.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from planner.studies.validation.metrics import METRICS, Figures, covered, log_residuals
from planner.studies.validation.splits import folds, generation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.instance.calibration import Bands

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


UNSEEN_SPREAD = {
    "hardware": {"tpot": 0.10, "ttft": 0.10, "throughput": 0.10},
    "generation": {"tpot": 0.10, "ttft": 0.35, "throughput": 0.10},
    "engine": {"tpot": 0.08, "ttft": 0.40, "throughput": 0.08},
}
"""Further spread of the logarithm where no row of the fit shares the accelerator, its generation or the engine: what
its own factors may be. Prior spreads of those factors are 0.07 (chip) and 0.5 (engine's first token); these values are
those that held on the shared rows of 2026-11-25, each split left out."""


def widened(low: float, high: float, spread: float, nominal: float = NOMINAL) -> tuple[float, float]:
    """Factors with a further normal spread of the logarithm added in quadrature, about the same middle."""
    middle, half = (np.log(low) + np.log(high)) / 2, (np.log(high) - np.log(low)) / 2
    half = np.hypot(half, normal_quantile((1 + nominal) / 2) * spread)
    return float(np.exp(middle - half)), float(np.exp(middle + half))


def normal_quantile(share: float) -> float:
    """Quantile of the standard normal law."""
    return NormalDist().inv_cdf(share)


def unseen_spread(bands: Bands, metric: str, accelerator: str, engine: str) -> float:
    """Further spread for a point whose accelerator, generation or engine the fit did not see; 0 if it does not say."""
    spread = 0.0
    if bands.hardware and accelerator not in bands.hardware:
        seen = {generation_of(name) for name in bands.hardware}
        kind = "hardware" if generation_of(accelerator) in seen else "generation"
        spread = UNSEEN_SPREAD[kind][metric]
    if bands.engines and engine not in bands.engines:
        spread = float(np.hypot(spread, UNSEEN_SPREAD["engine"][metric]))
    return spread


def profile_factors(bands: Bands, metric: str, accelerator: str, engine: str) -> tuple[float, float]:
    """Low and high factor of a profile for one point."""
    band = getattr(bands, metric)
    return widened(band.low, band.high, unseen_spread(bands, metric, accelerator, engine), bands.nominal)


def band_of_parts(
    residuals: Column, parts: Labels, nominal: float = NOMINAL, spread: float = 0.0
) -> tuple[Column, Column]:
    """Low and high factor of each row from the residuals of the other parts, widened by ``spread`` [row]."""
    low, high = np.full(len(residuals), np.nan), np.full(len(residuals), np.nan)
    for _, inside in folds(parts):
        others = factors(residuals[~inside], nominal)
        low[inside], high[inside] = widened(*others, spread, nominal)
    return low, high


def coverage(
    predicted: Figures,
    measured: Figures,
    parts: Labels,
    *,
    by: str = "group",
    groups_out: Figures | None = None,
    nominal: float = NOMINAL,
) -> dict[str, float | None]:
    """Share of rows inside the band of their part, by metric; ``predicted`` is left out by the same parts.

    The band of a part is what a profile fitted to the other parts would state: quantiles of their residuals with each
    group left out (``groups_out``; ``predicted`` if absent), widened for what ``by`` makes unseen.
    """
    shares: dict[str, float | None] = {}
    for metric in METRICS:
        guess, truth = predicted.of(metric), measured.of(metric)
        source = guess if groups_out is None else groups_out.of(metric)
        spread = UNSEEN_SPREAD.get(by, {}).get(metric, 0.0)
        low, high = band_of_parts(log_residuals(source, truth), parts, nominal, spread)
        shares[metric] = covered(truth, low * guess, high * guess)
    return shares
