"""What every certified plan carries: cost, proven bound, gap, the judge's word, and how the search ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import SolverError
from planner.solver.result import PlanStatus, StopReason, relative_gap

if TYPE_CHECKING:
    from planner.judge.evaluate import Evaluation
    from planner.plan import Plan

AGREEMENT = 1e-6
"""Largest relative difference between the program's cost and the judge's that passes for rounding."""


@dataclass(kw_only=True)
class Certified:
    """A plan with its certificate.

    Attributes
    ----------
    cost_usd, bound_usd, gap
        The judge's cost of the plan over the horizon; proven lower bound; (cost - bound) / cost.
    evaluator_relative_difference
        |program's cost - judge's cost| / cost.
    status, stop_reason
        What we hold; why the search ended.
    """

    plan: Plan
    evaluation: Evaluation
    cost_usd: float
    bound_usd: float
    evaluator_relative_difference: float
    status: PlanStatus
    stop_reason: StopReason
    seconds: float

    @property
    def gap(self) -> float:
        """Share of the cost that a better plan could at most save."""
        return relative_gap(self.cost_usd, self.bound_usd)


def judged_difference(evaluation: Evaluation, cost_usd: float, bound_usd: float) -> float:
    """Relative difference between the judge's cost and the program's.

    Raises
    ------
    SolverError
        If they differ by more than rounding, the plan breaks a limit, or the bound exceeds the cost.
    """
    difference = abs(evaluation.cost_usd - cost_usd) / max(abs(evaluation.cost_usd), 1e-12)
    if evaluation.violations or difference > AGREEMENT:
        raise SolverError(
            f"the judge disagrees with the program: its cost {evaluation.cost_usd:.9g} against {cost_usd:.9g}; "
            + ("; ".join(evaluation.violations) or "no limit broken")
        )
    if bound_usd > evaluation.cost_usd * (1 + AGREEMENT):
        raise SolverError(f"the bound {bound_usd:.9g} exceeds the cost {evaluation.cost_usd:.9g} of a plan that holds")
    return difference


def status_of(cost_usd: float, bound_usd: float, gap: float) -> PlanStatus:
    """Return optimal where the plan is within the gap asked for, else feasible."""
    return PlanStatus.optimal if relative_gap(cost_usd, bound_usd) <= gap else PlanStatus.feasible
