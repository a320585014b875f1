"""Copies per node first, GPUs inside packed afterwards, by `formulations.placement_domain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from formulations.base import refuse
from planner.strategies.programs import most_integers, no_tail, place_by_program

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from formulations.placement_problem import PlacementProblem
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

LARGEST = 2_000
"""Most integers of a layer. 256 experts on 4 nodes (33,792 integers) hold no bound after 20 s, where the local search
is within 1e-4 of it in 2 ms."""


class Domain:
    """Nodes as domains, even or nearest dispatch."""

    name = "domain"

    def supports(self, request: PlacementRequest) -> str | None:
        """Two or more nodes that all hold experts, no racks under nearest dispatch, at most ``LARGEST`` integers."""
        if reason := no_tail(request):
            return reason
        if request.nodes < 2:
            return "there is only one node: give gpus_per_node"
        if not (request.source_share > 0).all():
            return "a node has no GPU in service"
        if request.dispatch == "nearest" and request.nodes_per_rack is not None:
            return "the domain program knows nodes but no racks"
        integers = most_integers(request, request.nodes * (request.nodes if request.dispatch == "nearest" else 1))
        return f"the domain program would need {integers} integers, more than {LARGEST}" if integers > LARGEST else None

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
            from formulations.placement_domain import place_by_domain
            from planner.solver.options import SolveOptions

            placed = place_by_domain(problem, SolveOptions(time_limit_s=limit, gap=request.gap, seed=request.seed))
            return placed.held, placed.bound

        return place_by_program(request, self.name, solve_layer)
