"""Faster answers from smaller batches on the same hardware: what a price ratio and a speed ratio say of the batches.

With b = batch over balance batch, lambda = context over crossover context and tau = max(b, 1 + lambda b): a price ratio
c at a speed ratio s means batches in the ratio c s, whatever binds. Source: seed claims dossier, T3, C6 and C7.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FastMode:
    """Two operating points of one machine.

    Attributes
    ----------
    batch_ratio
        Standard over fast batch, c s.
    standard_batch, fast_batch
        Over the balance batch; None in the memory branch where lambda is not given: only their product with it is told.
    fastest
        Speed over standard of a batch of nearly nothing, tau(b_std).
    """

    batch_ratio: float
    standard_batch: float | None
    fast_batch: float | None
    fastest: float


def compute_bound_standard(price_ratio: float, speed_ratio: float, context_share: float) -> FastMode:
    """Take the standard tier as bound by arithmetic: b = s (1 + lambda b / (c s)), b_std = s / (1 - lambda / c).

    Raises
    ------
    ValueError
        If no such point exists: lambda >= c, or the batch found is bound by memory after all.
    """
    if context_share >= price_ratio:
        raise ValueError(f"lambda {context_share} is not below the price ratio {price_ratio}")
    standard = speed_ratio / (1.0 - context_share / price_ratio)
    if standard < 1.0 + context_share * standard - 1e-12:
        raise ValueError(f"at lambda {context_share} the standard tier is bound by memory, not by arithmetic")
    ratio = price_ratio * speed_ratio
    return FastMode(ratio, standard, standard / ratio, standard)


def memory_bound_standard(price_ratio: float, speed_ratio: float, context_share: float = 0.0) -> FastMode:
    """Take the standard tier as bound by memory: S = 1 + lambda b_std = (s - 1/c) / (1 - 1/c), whatever lambda.

    With a lambda above 0 the batches follow: b_std = (S - 1) / lambda.

    Raises
    ------
    ValueError
        If the speed ratio is too small to need a smaller batch, or arithmetic binds at that lambda after all.
    """
    fastest = (speed_ratio - 1.0 / price_ratio) / (1.0 - 1.0 / price_ratio)
    if fastest <= 1.0:
        raise ValueError(f"a speed ratio of {speed_ratio} at {price_ratio} times the price needs no smaller batch")
    ratio = price_ratio * speed_ratio
    if context_share == 0.0:
        return FastMode(ratio, None, None, fastest)
    least = (fastest - 1.0) / fastest
    if context_share < least - 1e-12:
        raise ValueError(f"at lambda {context_share} arithmetic binds the standard tier, below lambda {least:.4g}")
    standard = (fastest - 1.0) / context_share
    return FastMode(ratio, standard, standard / ratio, fastest)


def speed_at_price(fastest: float, price_ratio: float) -> float:
    """Speed over standard at a price ratio c in the memory branch: s(c) = S - (S - 1) / c."""
    return fastest - (fastest - 1.0) / price_ratio
