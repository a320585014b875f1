"""What a solve returns. Why it stopped and what we hold are two things."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.solver.options import SolveOptions


class StopReason(StrEnum):
    """Why the search ended."""

    optimal_within_gap = "optimal_within_gap"
    time_limit = "time_limit"
    node_limit = "node_limit"
    interrupted = "interrupted"
    infeasible = "infeasible"
    unbounded = "unbounded"
    solver_error = "solver_error"


class PlanStatus(StrEnum):
    """What we hold at the end, whatever ended it."""

    none = "none"
    feasible = "feasible"
    optimal = "optimal"


class ProgressPoint(NamedTuple):
    """One moment of a search: seconds since its start, best objective so far, proven bound (infinite if unknown)."""

    seconds: float
    objective: float
    bound: float


def relative_gap(cost: float | None, bound: float) -> float:
    """Return ``(cost - bound) / |cost|``: the share of the cost that a better answer could at most save.

    It is 0 where both are 0, and infinite where there is no cost, no bound, or a cost of 0 over another bound. A bound
    of a maximisation lies above its value; the distance counts the same way.
    """
    if cost is None or not math.isfinite(cost) or not math.isfinite(bound):
        return math.inf
    if cost == bound:
        return 0.0
    return abs(cost - bound) / abs(cost) if cost else math.inf


@dataclass(frozen=True, eq=False)
class SolveResult:
    """The record of one solve; every field is filled whatever the outcome.

    Attributes
    ----------
    status, stop_reason
        What we hold; why the search ended.
    objective
        Value of the point we hold, or ``None``.
    bound
        Proven bound on the objective: below it when minimising. Infinite when nothing is known (or infeasible).
    gap
        ``relative_gap(objective, bound)``.
    values
        [column] values of the point in the order of the matrix, or ``None``.
    row_duals, reduced_costs
        [row], [column]: change of the optimum per unit of a row's or column's bound. For LPs solved to optimality only.
    build_s, solve_s
        Wall seconds to compile and hand over; to solve.
    rows, columns, nonzeros, integer_columns
        Size of the program that was handed over.
    nodes
        Branch-and-bound nodes.
    start_accepted
        Whether HiGHS took the start; ``None`` where none was given.
    history
        Improvements of objective and bound over time.
    options, versions
        The options used; name and version of each program that took part.
    message
        A remark for people, such as the constraint that can never hold; often empty.
    """

    status: PlanStatus
    stop_reason: StopReason
    objective: float | None
    bound: float
    gap: float
    values: NDArray[np.float64] | None
    row_duals: NDArray[np.float64] | None
    reduced_costs: NDArray[np.float64] | None
    build_s: float
    solve_s: float
    rows: int
    columns: int
    nonzeros: int
    integer_columns: int
    start_accepted: bool | None
    options: SolveOptions
    nodes: int = 0
    history: list[ProgressPoint] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    message: str = ""

    def uninterrupted(self) -> SolveResult:
        """Return the record of a side question: where the solver took Ctrl-C for itself, its answer means nothing.

        Raises
        ------
        KeyboardInterrupt
            If it did; who asked decides what that means.
        """
        if self.stop_reason is StopReason.interrupted:
            raise KeyboardInterrupt
        return self

    @property
    def has_point(self) -> bool:
        """Whether a feasible point is held."""
        return self.status is not PlanStatus.none
