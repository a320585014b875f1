"""The trade between balance and destinations: one plan for each balance floor, scored on seen and unseen tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.strategies import coactivation
from planner.strategies.contiguous import Contiguous
from planner.strategies.local_search import LocalSearch
from planner.strategies.routed_traffic import routed_traffic

if TYPE_CHECKING:
    from planner.strategies.problem import IntArray, PlacementRequest
    from planner.strategies.routing import TokenRouting

LOWEST_FLOOR = 0.5
HIGHEST_FLOOR = 0.99


@dataclass(frozen=True)
class FrontierPoint:
    """A plan: balance and destinations on the tokens it was made on, and on the half of them it was not shown."""

    plan: str
    floor: float | None
    balance: float
    destinations_per_token: float
    balance_unseen: float
    destinations_unseen: float

    def as_row(self) -> dict[str, Any]:
        """Return the point as JSON."""
        return dict(vars(self))


def frontier(request: PlacementRequest, points: int) -> list[FrontierPoint]:
    """Trace the frontier with ``points`` floors, after the contiguous and the balanced placement.

    The unseen figures plan on the even tokens of the recording and score on the odd ones, and the other way round;
    their mean is given.

    Raises
    ------
    InstanceError
        If the request has no routing, or there is less than one point.
    """
    if request.traffic is None or points < 1:
        raise InstanceError.single("frontier", "points", f"is {points}, must be at least 1, with recorded routing")
    found = [_point(request, name, None) for name in ("contiguous", "local_search")]
    floors = np.linspace(LOWEST_FLOOR, HIGHEST_FLOOR, points) if points > 1 else np.array([coactivation.DEFAULT_FLOOR])
    return found + [_point(request, "coactivation", float(floor)) for floor in floors]


def _point(request: PlacementRequest, plan: str, floor: float | None) -> FrontierPoint:
    """Plan on everything, and on each half for the other."""
    assert request.traffic is not None
    everything = request.traffic.routing
    numbers = np.arange(everything.tokens)
    halves = [everything.select(numbers[numbers % 2 == half]) for half in (0, 1)]
    seen = _score(request, _plan(request, plan, floor, everything), everything)
    crossed = [_score(request, _plan(request, plan, floor, halves[half]), halves[1 - half]) for half in (0, 1)]
    unseen = np.mean(crossed, axis=0)
    return FrontierPoint(plan, floor, *seen, float(unseen[0]), float(unseen[1]))


def _plan(request: PlacementRequest, plan: str, floor: float | None, routing: TokenRouting) -> IntArray:
    if plan == "coactivation":
        return coactivation.plan_on(request, routing, floor)
    part = replace(request, load=routing.load(request.experts), traffic=None)
    strategy = Contiguous() if plan == "contiguous" else LocalSearch()
    return strategy.place(part).physical_to_logical_map


def _score(request: PlacementRequest, rows: IntArray, routing: TokenRouting) -> tuple[float, float]:
    balance = coactivation.balance_on(request, rows, routing)
    return balance, routed_traffic(request, rows, routing).destinations_per_token
