"""The proven optimum of small layers, by `formulations.placement_exact`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import NoPlanFound
from planner.strategies.programs import ProgramStrategy, most_integers, no_tail

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from formulations.placement_problem import PlacementProblem
    from planner.solver.options import SolveOptions
    from planner.strategies.problem import PlacementRequest

LARGEST = 1_000
"""Most binaries of a layer: the documented EPLB example (12 experts, 8 GPUs, 480 binaries) takes 3 s a layer."""


class Exact(ProgramStrategy):
    """Even dispatch, small layers."""

    name = "exact"

    def supports(self, request: PlacementRequest) -> str | None:
        """Even dispatch and at most ``LARGEST`` binaries."""
        if reason := no_tail(request):
            return reason
        if request.dispatch != "even":
            return "the exact program splits tokens evenly over copies"
        binaries = most_integers(request, int((request.slots > 0).sum()))
        return f"the exact program would need {binaries} binaries, more than {LARGEST}" if binaries > LARGEST else None

    def solve_layer(self, problem: PlacementProblem, options: SolveOptions) -> tuple[npt.NDArray[np.bool_], float]:
        """Solve `formulations.placement_exact` for one layer."""
        from formulations.placement_exact import PlacementExact
        from planner.solver.highs import solve_pyomo

        built = PlacementExact().build(problem)
        result = solve_pyomo(built.model, options)
        if not result.has_point:
            reason = f"no placement found in time (placement_exact stopped: {result.stop_reason})"
            raise NoPlanFound([reason], result.stop_reason)
        return built.extract(), result.bound
