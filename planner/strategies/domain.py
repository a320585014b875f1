"""Copies per node first, GPUs inside packed afterwards, by `formulations.placement_domain`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.strategies.programs import ProgramStrategy, most_integers, no_tail

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from formulations.placement_problem import PlacementProblem
    from planner.solver.options import SolveOptions
    from planner.strategies.problem import PlacementRequest

LARGEST = 2_000
"""Most integers of a layer. 256 experts on 4 nodes (33,792 integers) hold no bound after 20 s, where the local search
is within 1e-4 of it in 2 ms."""


class Domain(ProgramStrategy):
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

    def solve_layer(self, problem: PlacementProblem, options: SolveOptions) -> tuple[npt.NDArray[np.bool_], float]:
        """Solve `formulations.placement_domain` for one layer and pack its nodes."""
        from formulations.placement_domain import place_by_domain

        placed = place_by_domain(problem, options)
        return placed.held, placed.bound
