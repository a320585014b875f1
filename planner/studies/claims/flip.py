"""The smallest change of one input that changes a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.studies.claims.verdict import Verdict, verdict_of

if TYPE_CHECKING:
    from planner.studies.claims.claim import Claim, Values

LARGEST_FACTOR = 100.0
_MOST_WHOLE_STEPS = 100
_STEPS = 24
_BISECTIONS = 24


@dataclass(frozen=True)
class Flip:
    """One input at the value where the verdict turns into another.

    ``factor`` is that value over the one it had, so 1.05 means 5 % more.
    """

    input: str
    value: float
    factor: float
    verdict: Verdict


def smallest_flip(claim: Claim, values: Values) -> Flip | None:
    """Search every numeric input alone, up and down to a factor of ``LARGEST_FACTOR``; None where no verdict changes.

    A scan on a logarithmic grid finds the first cell where the verdict changes, bisection its edge; a change that comes
    and goes within one cell (a fifth of the value) can be missed. Whole inputs go by steps of one, a hundred at most.
    """
    found = []
    for entry in claim.inputs:
        if not entry.varies or isinstance(entry.default, str) or values.number(entry.name) == 0.0:
            continue
        if entry.whole:
            found.append(_by_ones(claim, values, entry.name))
        else:
            found += [_along(claim, values, entry.name, direction) for direction in (1.0, -1.0)]
    return min((flip for flip in found if flip), key=lambda flip: abs(math.log(flip.factor)), default=None)


def _by_ones(claim: Claim, values: Values, name: str) -> Flip | None:
    """Step a whole input up and down until the verdict changes."""
    start = values.number(name)
    before = _verdict(claim, values, name, start)
    for step in range(1, _MOST_WHOLE_STEPS + 1):
        for value in (start + step, start - step):
            after = _verdict(claim, values, name, value) if value >= 1 else None
            if after is not None and after is not before:
                return Flip(name, value, value / start, after)
    return None


def _along(claim: Claim, values: Values, name: str, direction: float) -> Flip | None:
    start = values.number(name)
    before = _verdict(claim, values, name, start)
    step = direction * math.log(LARGEST_FACTOR) / _STEPS
    for number in range(_STEPS):
        near, far = number * step, (number + 1) * step
        after = _verdict(claim, values, name, start * math.exp(far))
        if after in (None, before):
            continue
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            here = _verdict(claim, values, name, start * math.exp(middle))
            near, far, after = (near, middle, here) if here not in (None, before) else (middle, far, after)
        factor = math.exp(far)
        return Flip(name, start * factor, factor, after) if after is not None else None
    return None


def _verdict(claim: Claim, values: Values, name: str, value: float) -> Verdict | None:
    """Verdict with one input changed; None where the claim cannot be computed there."""
    from planner.errors import PlannerError
    from planner.studies.claims.claim import Values

    try:
        return verdict_of(claim, claim.compute(Values(values | {name: value})))
    except (PlannerError, ZeroDivisionError, OverflowError, ValueError):
        return None
