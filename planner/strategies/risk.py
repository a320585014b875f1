"""Several load scenarios as one number: their mean, and the mean of the worst of them.

With T_k the largest load of scenario k over the mean load, p_k its probability, b the share of the probability that
counts as the tail and v the weight of the tail,

    risk = (1 - v) sum_k p_k T_k + v CVaR_b(T),    CVaR_b(T) = mean of T over the worst scenarios of probability b.

Layers are placed one by one, so the risk of a plan is the sum over its layers; as CVaR is subadditive that is never
below the CVaR of whole steps. The risk rises with every T_k, so the risk of lower bounds is a lower bound on the risk.
(Rockafellar and Uryasev, Optimization of conditional value-at-risk, 2000.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, PlacementRequest
    from planner.strategies.result import PlacementResult


def expected(values: FloatArray, probability: FloatArray) -> FloatArray:
    """Mean over scenarios (first axis) by ``probability`` [scenario], NaN left out; NaN where nothing is left."""
    weight = np.where(np.isnan(values), 0.0, _along_first(probability, values))
    total = weight.sum(axis=0)
    summed = (weight * np.nan_to_num(values)).sum(axis=0)
    return np.asarray(np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan))


def cvar(values: FloatArray, probability: FloatArray, share: float) -> FloatArray:
    """Mean over the worst (largest) scenarios that hold ``share`` of the probability, NaN left out.

    A scenario that the share cuts counts with the part inside. Arguments as in `expected`.
    """
    seen = ~np.isnan(values)
    weight = np.where(seen, _along_first(probability, values), 0.0)
    total = weight.sum(axis=0)
    weight = weight / np.where(total > 0, total, 1.0)
    order = np.argsort(np.where(seen, -values, np.inf), axis=0, kind="stable")
    weight, ranked = np.take_along_axis(weight, order, 0), np.take_along_axis(np.nan_to_num(values), order, 0)
    before = np.cumsum(weight, axis=0) - weight
    taken = np.clip(share - before, 0.0, weight)
    mass = taken.sum(axis=0)
    summed = (taken * ranked).sum(axis=0)
    return np.asarray(np.where(total > 0, summed / np.where(mass > 0, mass, 1.0), np.nan))


def risk(values: FloatArray, request: PlacementRequest) -> FloatArray:
    """Risk of largest loads over mean loads, shape [scenario, ...], as the request weighs them."""
    probability, weight = request.scenario_probability, request.cvar_weight
    mean = expected(values, probability)
    return mean if weight == 0.0 else (1.0 - weight) * mean + weight * cvar(values, probability, request.cvar_share)


def summary(request: PlacementRequest, result: PlacementResult) -> dict[str, Any] | None:
    """State how the scenarios were weighed and what came out, means over layers; ``None`` with one scenario."""
    if request.scenarios == 1:
        return None
    reached, bound = float(np.nanmean(result.risk)), float(np.nanmean(result.risk_bound))
    return {
        "scenario_probability": request.scenario_probability.tolist(),
        "cvar_share": request.cvar_share,
        "cvar_weight": request.cvar_weight,
        "imbalance_expected": float(np.nanmean(expected(result.imbalance, request.scenario_probability))),
        "imbalance_cvar": float(np.nanmean(cvar(result.imbalance, request.scenario_probability, request.cvar_share))),
        "risk": reached,
        "risk_bound": bound,
        "risk_gap": max(0.0, 1.0 - bound / reached),
    }


def text(stated: dict[str, Any]) -> str:
    """Return `summary` as a line."""
    return (
        f"largest over mean load, by scenario probability: expected {stated['imbalance_expected']:.4f}, worst "
        f"{100 * stated['cvar_share']:.3g} % {stated['imbalance_cvar']:.4f}; objective {stated['risk']:.4f} "
        f"(tail weight {stated['cvar_weight']:.3g}), proven at least {stated['risk_bound']:.4f}"
    )


def _along_first(probability: FloatArray, values: FloatArray) -> FloatArray:
    shape = (len(probability),) + (1,) * (values.ndim - 1)
    return np.broadcast_to(np.asarray(probability, dtype=float).reshape(shape), values.shape)
