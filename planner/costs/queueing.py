"""How busy a replica may be before a percentile of waiting breaks its limit.

Waiting behind prompts of one length is the M/D/1 queue; its tail is taken as exponential with the exact mean,
P(W > t) = u exp(-2 (1-u) t / s), which is heavier than the true one beyond t = s. Below, where the true one is heavier,
the exact P(W <= t) = (1-u) exp(u t / s) holds (Erlang 1909). A test checks both against simulation. Prompts of several
lengths use the longest one as s, which is on the safe side of the Pollaczek-Khinchine mean. From the 90th percentile on
no percentile is below the simulated one by more than its noise.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.costs.compute import Number

_BISECTIONS = 60


def waiting_percentile_s(utilisation: Number, service_s: Number, percentile: float) -> Number:
    """Percentile p of the waiting time [s] at ``utilisation`` u < 1, at least 0.

    The larger of s / (2 (1-u)) ln(u / (1-p)) and, up to one service time s, s ln(p / (1-u)) / u.
    """
    utilisation = np.asarray(utilisation, dtype=np.float64)
    ratio = np.maximum(utilisation / (1.0 - percentile), 1.0)
    with np.errstate(divide="ignore"):
        idle = 1.0 - utilisation
        tail = np.where(ratio > 1.0, service_s / (2.0 * idle) * np.log(ratio), 0.0)
        early = np.minimum(np.log(percentile / idle) / np.maximum(utilisation, 1e-12), 1.0) * service_s
    return np.where(ratio > 1.0, np.maximum(tail, early), 0.0)


def highest_utilisation(budget_s: Number, service_s: Number, percentile: float, ceiling: float) -> Number:
    """Largest utilisation at which the waiting percentile stays within ``budget_s``; 0 where the budget is negative.

    The percentile grows with utilisation, so bisection is exact to 2^-60.
    """
    budget_s, service_s = np.broadcast_arrays(np.asarray(budget_s, float), np.asarray(service_s, float))
    low, high = np.zeros(budget_s.shape), np.full(budget_s.shape, min(ceiling, 1.0))
    if ceiling < 1.0:
        low = np.where(waiting_percentile_s(high, service_s, percentile) <= budget_s, high, low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        fits = waiting_percentile_s(middle, service_s, percentile) <= budget_s
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where(budget_s >= 0.0, low, 0.0)


def staffed_sequences(places: Number, percentile: float) -> Number:
    """Mean number of sequences m at which at most ``places`` are in service at ``percentile``.

    Sequences in service of an unlimited server are Poisson: m + z sqrt(m) = places (square-root staffing), right to
    0.2 % of probability from four places on at percentiles of 90 to 99 %, and never above ``places``.
    """
    z = max(NormalDist().inv_cdf(percentile), 0.0)
    root = (-z + np.sqrt(z * z + 4.0 * np.asarray(places, dtype=np.float64))) / 2.0
    return root * root
