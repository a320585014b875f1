"""The proven optimum of small layers, by `formulations.placement_exact`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formulations.base import refuse
from planner.errors import NoPlanFound
from planner.strategies.programs import most_integers, no_tail, place_by_program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from formulations.placement_problem import PlacementProblem
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

LARGEST = 1_000
"""Most binaries of a layer: the documented EPLB example (12 experts, 8 GPUs, 480 binaries) takes 3 s a layer."""


class Exact:
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

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Solve every layer.

        Raises
        ------
        FormulationError
            If the request is not supported.
        NoPlanFound
            If the time limit passes before a layer has a placement.
        """
        refuse(self.supports(request))

        def solve_layer(problem: PlacementProblem, limit: float | None) -> tuple[npt.NDArray[np.bool_], float]:
            from formulations.placement_exact import PlacementExact
            from planner.solver.highs import solve_pyomo
            from planner.solver.options import SolveOptions

            built = PlacementExact().build(problem)
            result = solve_pyomo(built.model, SolveOptions(time_limit_s=limit, gap=request.gap, seed=request.seed))
            if not result.has_point:
                reason = f"no placement found in time (placement_exact stopped: {result.stop_reason})"
                raise NoPlanFound([reason], result.stop_reason)
            return built.extract(), result.bound

        return place_by_program(request, self.name, solve_layer)
