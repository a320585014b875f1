"""The certified plan of either kind of case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.instance.lifecycle import LifecycleInstance
from planner.studies.lifecycle import LifecycleAnswer, solve_lifecycle
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from planner.instance.instance import Instance
    from planner.solver.options import SolveOptions
    from planner.studies.serving import Progress


def plan_case(
    instance: Instance | LifecycleInstance, options: SolveOptions | None = None, progress: Progress | None = None
) -> ServingAnswer | LifecycleAnswer:
    """Plan a case at least cost with a proven bound.

    Raises
    ------
    NoPlanFound, SolverError
        As ``solve_serving`` and ``solve_lifecycle``.
    """
    if isinstance(instance, LifecycleInstance):
        return solve_lifecycle(instance, options, progress)
    return solve_serving(instance, options, progress)
