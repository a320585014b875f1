"""The fewest redundant experts with which a balance is reached, and what is known about one step fewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import NoPlanFound
from planner.strategies.bounds import balance_upper_bound
from planner.strategies.result import mean_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult


@dataclass(frozen=True)
class Step:
    """One number of slots that was looked at."""

    redundant: int
    slots_per_gpu: int
    bound_mean: float
    balance_mean: float | None
    """``None`` where the bound alone rules the step out, so that nothing was searched."""

    def proven_short(self, target: float) -> bool:
        """Whether no placement with these slots reaches the target: the bound is below it."""
        return self.bound_mean < target


def reach_balance(
    request: PlacementRequest, target: float, run: Callable[[PlacementRequest], PlacementResult]
) -> tuple[PlacementRequest, PlacementResult, list[Step]]:
    """Add one slot to every GPU in use at a time until the mean balance reaches ``target``.

    Parameters
    ----------
    request
        Its slots only say which GPUs are in use.
    target
        Mean over layers of mean / largest GPU load.
    run
        Places one request.

    Returns
    -------
    request, result
        With the fewest slots found to reach the target.
    steps
        All smaller ones, smallest first; where `Step.proven_short` they cannot, else the search did not.

    Raises
    ------
    NoPlanFound
        If not even all experts on every GPU reach it (unequal speeds).
    """
    used = request.slots > 0
    steps: list[Step] = []
    for slots in range(-(-request.experts // int(used.sum())), request.experts + 1):
        asked = replace(request, slots_per_gpu=np.where(used, slots, 0))
        redundant = int(asked.slots.sum()) - request.experts
        bound = float(mean_over(balance_upper_bound(asked)))
        if bound < target:
            steps.append(Step(redundant, slots, bound, None))
            continue
        result = run(asked)
        balance = float(mean_over(result.balance))
        if balance >= target or result.interrupted:
            return asked, result, steps
        steps.append(Step(redundant, slots, min(bound, float(mean_over(result.bound))), balance))
    best = max((step.balance_mean or 0.0 for step in steps), default=0.0)
    raise NoPlanFound([f"no redundancy reaches balance {target:g}; the best found is {best:.4f}"])
