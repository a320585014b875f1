"""How much expert-parallel traffic leaves a scale-up domain: assignments, tokens and de-duplicated sends.

Three numbers that are often confused. Of a token's k assignments (token, expert) some go to an expert in another
domain: the *assignment share* is their fraction. The *token share* is the fraction of tokens with at least one. The
*sends* of a token are the distinct other domains it goes to, which is what an engine transmits that sends a token once
per domain. Source of the closed forms: seed claims dossier, C13 and T7; Monte Carlo in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    import numpy.typing as npt

    from planner.topology.topology import FloatArray, IntArray


def copies_per_domain(
    physical_to_logical: npt.NDArray[np.integer], domain_of_slot: npt.NDArray[np.integer], experts: int, domains: int
) -> IntArray:
    """Count an expert's copies in each domain from one row of a placement map.

    Parameters
    ----------
    physical_to_logical
        Expert in each slot, -1 for an empty slot, shape [slot].
    domain_of_slot
        Domain index of each slot, shape [slot].
    experts, domains
        Sizes of the result.

    Returns
    -------
    IntArray
        Shape [expert, domain].
    """
    used = np.asarray(physical_to_logical) >= 0
    cell = np.asarray(physical_to_logical)[used] * domains + np.asarray(domain_of_slot)[used]
    return np.bincount(cell, minlength=experts * domains).reshape(experts, domains).astype(np.int64)


def assignment_crossing_share(
    copies: npt.NDArray[np.integer],
    expert_load: npt.NDArray[Any],
    source_share: npt.NDArray[np.floating] | None = None,
    dispatch: Literal["even", "nearest"] = "even",
) -> float:
    """Share of token-expert assignments whose token and serving copy are in different domains.

    ``even`` spreads an expert's tokens over all copies: sum_e w_e sum_r s_r (1 - m_er / n_e) / sum_e w_e.
    ``nearest`` keeps a token in its domain where a copy is there: sum_e w_e sum_r s_r [m_er = 0] / sum_e w_e.
    With one copy each and equal source shares both are (R - 1) / R for every placement and load.

    Parameters
    ----------
    copies
        Copies m_er of each expert in each domain, shape [expert, domain].
    expert_load
        Tokens w_e sent to each expert, shape [expert].
    source_share
        Share s_r of the tokens that start in each domain, shape [domain]; equal by default. Normalised here.
    dispatch
        Which copy serves a token.

    Raises
    ------
    InstanceError
        If shapes differ, a load or share is negative or not finite, all are zero, or a loaded expert has no copy.
    """
    copies, load = np.asarray(copies), np.asarray(expert_load, dtype=np.float64)
    share = np.ones(copies.shape[-1]) if source_share is None else np.asarray(source_share, dtype=np.float64)
    _check_shares(copies, load, share)
    total = copies.sum(axis=1, keepdims=True)
    local = copies / np.maximum(total, 1) if dispatch == "even" else copies > 0
    staying = local @ (share / share.sum())
    return float(1.0 - (load / load.sum()) @ staying)


def _check_shares(copies: npt.NDArray[np.integer], load: FloatArray, share: FloatArray) -> None:
    if copies.ndim != 2 or load.shape != copies.shape[:1] or share.shape != copies.shape[1:]:
        shapes = f"copies {copies.shape}, expert_load {load.shape}, source_share {share.shape}"
        raise InstanceError.single("placement", "", f"shapes do not agree: {shapes}", "[expert, domain] and so on")
    problems = [
        Problem("placement", name, "has an entry that is negative or not finite, or only zeros")
        for name, values in (("expert_load", load), ("source_share", share))
        if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0)
    ]
    if (copies < 0).any():
        problems.append(Problem("placement", "copies", "has a negative entry"))
    problems += [
        Problem("placement", f"expert {expert}", "has load but no copy", "place every expert at least once")
        for expert in np.flatnonzero((copies.sum(axis=1) == 0) & (load > 0))
    ]
    if problems:
        raise InstanceError(problems)


@dataclass(frozen=True)
class CrossingShares:
    """What routed tokens did.

    Attributes
    ----------
    assignment_share
        Assignments that left the token's domain, of all.
    token_share
        Tokens with at least one such assignment, of all.
    sends_per_token
        Mean number of distinct other domains per token.
    """

    assignment_share: float
    token_share: float
    sends_per_token: float


def routed_crossing(
    routing: npt.NDArray[np.integer],
    domain_of_expert: npt.NDArray[np.integer],
    source_domain: npt.NDArray[np.integer],
    domains: int,
) -> CrossingShares:
    """Measure the three crossing numbers on recorded or sampled routing, one copy per expert.

    Parameters
    ----------
    routing
        Experts of each token, shape [token, top_k].
    domain_of_expert
        Shape [expert].
    source_domain
        Domain that each token starts in, shape [token].
    domains
        Number of domains.
    """
    target = np.asarray(domain_of_expert)[np.asarray(routing)]
    source = np.asarray(source_domain)[:, None]
    crosses = target != source
    visited = np.zeros((target.shape[0], domains), dtype=bool)
    np.put_along_axis(visited, target, True, axis=1)
    np.put_along_axis(visited, source, False, axis=1)
    return CrossingShares(
        assignment_share=float(crosses.mean()),
        token_share=float(crosses.any(axis=1).mean()),
        sends_per_token=float(visited.sum(axis=1).mean()),
    )


@overload
def _share_missing_all(experts: float, marked: float, experts_per_token: int) -> float: ...
@overload
def _share_missing_all(experts: float, marked: FloatArray, experts_per_token: int) -> FloatArray: ...
def _share_missing_all(experts: float, marked: float | FloatArray, experts_per_token: int) -> float | FloatArray:
    """C(E - m, k) / C(E, k): chance that k distinct experts of E avoid m marked ones, m not needing to be whole.

    Product of (E - m - i) / (E - i) over i < k, each factor held at zero or above.
    """
    drawn = np.arange(experts_per_token)
    factors = (experts - np.asarray(marked)[..., None] - drawn) / (experts - drawn)
    return np.prod(np.maximum(factors, 0.0), axis=-1)  # type: ignore[no-any-return]


@overload
def token_crossing_share(experts: float, experts_per_token: int, units: float) -> float: ...
@overload
def token_crossing_share(experts: float, experts_per_token: int, units: FloatArray) -> FloatArray: ...
def token_crossing_share(experts: float, experts_per_token: int, units: float | FloatArray) -> float | FloatArray:
    """Share of tokens with at least one expert outside their own unit: 1 - C(E/R, k) / C(E, k).

    For R = 2 this is 1 - C(E - E/R, k) / C(E, k), the form in the seed claims dossier. Uniform routing, experts spread
    evenly, one copy each. Parameters as ``distinct_remote_destinations``.
    """
    units = _checked_units(experts, experts_per_token, units)
    elsewhere = experts - experts / units
    return _plain(1.0 - _share_missing_all(experts, elsewhere, experts_per_token))


@overload
def distinct_remote_destinations(experts: float, experts_per_token: int, units: float) -> float: ...
@overload
def distinct_remote_destinations(experts: float, experts_per_token: int, units: FloatArray) -> FloatArray: ...
def distinct_remote_destinations(
    experts: float, experts_per_token: int, units: float | FloatArray
) -> float | FloatArray:
    """Mean number of other units that a token is sent to once each: (R - 1) (1 - C(E - E/R, k) / C(E, k)).

    Uniform routing of k distinct experts, experts spread evenly over the units, one copy each. Written as
    a product, prod_{i<k} (E - E/R - i) / (E - i) with factors below zero held at zero, so experts per unit need not be
    whole. Below one expert per unit the product exceeds the assignments that leave, k (R - 1) / R; those are then the
    answer, exactly, since no two experts share a unit.

    Parameters
    ----------
    experts
        Routed experts E of the layer.
    experts_per_token
        Routed experts k per token; at most ``experts``.
    units
        Number R of domains, nodes or GPUs, 1 or more; a number or an array of any shape.

    Returns
    -------
    float or FloatArray
        In the shape of ``units``; 0 for one unit.

    Raises
    ------
    InstanceError
        If ``units`` is below 1, or ``experts_per_token`` is below 1 or above ``experts``.
    """
    units = _checked_units(experts, experts_per_token, units)
    reached = 1.0 - _share_missing_all(experts, experts / units, experts_per_token)
    return _plain((units - 1.0) * np.minimum(reached, experts_per_token / units))


def _checked_units(experts: float, experts_per_token: int, units: float | FloatArray) -> FloatArray:
    values = np.asarray(units, dtype=np.float64)
    problems = []
    if not 1 <= experts_per_token <= experts:
        problems.append(Problem("model", "experts_per_token", f"{experts_per_token} is not between 1 and {experts}"))
    if not (values >= 1).all():
        problems.append(Problem("topology", "units", "a number of units is below 1"))
    if problems:
        raise InstanceError(problems)
    return values


def _plain(values: FloatArray) -> float | FloatArray:
    return float(values) if np.ndim(values) == 0 else values
