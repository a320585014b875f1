"""What a search with recorded routing aims at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from planner.strategies.objective import StepModel
    from planner.strategies.routing import TokenRouting


@dataclass(frozen=True, eq=False)
class TrafficAim:
    """Recorded routing and how destinations are weighed against balance; one of the three, or the default floor.

    Attributes
    ----------
    routing
        Recorded tokens.
    weight
        Cost of one remote destination a token, at each level of the layout, in units of the time of a perfectly
        balanced layer: minimises largest / mean load + weight * destinations.
    floor
        Fewest destinations with a balance of at least this on tokens like the recorded ones.
    step
        Seconds of work and links: minimises the seconds of a step; with a floor only reported.
    margin
        Whether the floor is raised by what cross-validation inside the recording says it loses on other tokens.
    """

    routing: TokenRouting
    weight: float | None = None
    floor: float | None = None
    step: StepModel | None = None
    margin: bool = True

    def __post_init__(self) -> None:
        problems = []
        if self.weight is not None and not 0 <= self.weight < float("inf"):
            problems.append(Problem("traffic", "weight", f"is {self.weight}, must be a number from 0 up"))
        if self.floor is not None and not 0 < self.floor <= 1:
            problems.append(Problem("traffic", "floor", f"is {self.floor}, must be above 0 and at most 1"))
        if self.weight is not None and self.floor is not None:
            problems.append(Problem("traffic", "weight", "given beside a balance floor", "give one of the two"))
        if problems:
            raise InstanceError(problems)
