"""The certified plan of either kind of case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.instance.lifecycle import LifecycleInstance
from planner.studies.lifecycle import LifecycleAnswer, solve_lifecycle
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from planner.instance.instance import Instance
    from planner.plan import Plan
    from planner.solver.options import SolveOptions
    from planner.studies.serving import Progress
    from planner.studies.shelf import PlacementShelf


def plan_case(
    instance: Instance | LifecycleInstance,
    options: SolveOptions | None = None,
    progress: Progress | None = None,
    *,
    shelf: PlacementShelf | None = None,
    start: Plan | None = None,
) -> ServingAnswer | LifecycleAnswer:
    """Plan a case at least cost with a proven bound.

    ``shelf`` holds placements searched before and ``start`` a plan of a similar case, both for cases with a model.

    Raises
    ------
    NoPlanFound, SolverError
        As ``solve_serving`` and ``solve_lifecycle``.
    """
    if isinstance(instance, LifecycleInstance):
        return solve_lifecycle(instance, options, progress)
    return solve_serving(instance, options, progress, shelf=shelf, start=start)
