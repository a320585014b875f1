"""Solve a fleet program for cost after counting the GPUs that any plan needs.

The count is a quick program. Its bound rounds up the domains, which the relaxation would rent in fractions: small
fleets that are rented by the rack then close in a second where they stood at a gap of 44 % after twenty.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.solver.result import PlanStatus, SolveResult, StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from formulations.fleet import FleetProgram

    Solve = Callable[[str, float, bool], SolveResult]

_COUNT_SHARE = 0.25
COUNTING = "GPUs needed"
"""Name of the stage that counts."""


def solve_least_cost(program: FleetProgram, solve: Solve) -> SolveResult:
    """Count the GPUs needed, then minimise cost from there.

    Parameters
    ----------
    program
        A new program.
    solve
        Solves the program as it stands: (name of the stage, share of the time left, whether to start from the values
        that the program holds).
    """
    counted = require_counted_gpus(program, solve)
    if counted.stop_reason is StopReason.infeasible:
        return counted
    if counted.stop_reason is StopReason.interrupted:
        return _as_cost(program, counted) if counted.has_point else counted
    return solve("cost", 1.0, counted.has_point)


def require_counted_gpus(program: FleetProgram, solve: Solve) -> SolveResult:
    """Count the GPUs that any plan needs, and cut off what uses fewer; the program then aims at cost."""
    program.aim_at_gpus()
    counted = solve(COUNTING, _COUNT_SHARE, program.started)
    program.aim_at_cost()
    if counted.stop_reason not in (StopReason.infeasible, StopReason.interrupted):
        program.require_gpus(counted.bound)
    return counted


def _as_cost(program: FleetProgram, counted: SolveResult) -> SolveResult:
    """Record of a plan found while GPUs were counted: its cost is known, no bound on cost is."""
    cost = program.extract().cost_usd
    return replace(counted, objective=cost, bound=-math.inf, gap=math.inf, status=PlanStatus.feasible)
