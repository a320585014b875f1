"""How many copies of each expert every node or rack holds; the GPUs inside are packed afterwards.

min   sum_k p_k T_k
s.t.  every expert has n >= 1 copies over the domains, at most one a GPU; slots of a domain are not exceeded;
      T_k >= load of domain q / summed speed of its GPUs;  T_k >= w_ke / (n_e s_max).

What it proves: every placement on GPUs gives a point of this program, and its fullest GPU is no emptier than the mean
of its domain, nor than the mean copy of any expert. So the optimum, and any bound HiGHS proves on it, is a lower bound
on the cost of every placement. It is not the optimum itself: how copies share GPUs inside a domain is left out, except
where each domain has one GPU, where the program is exact. ``place_by_domain`` packs the copies and gives the cost
achieved beside the bound.

Equal GPUs are counted, not numbered, so their permutations never enter. Symbols: FORMULATIONS, section placement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks import copies, load
from formulations.packing_inside import pack_domains
from planner.errors import NoPlanFound
from planner.solver.highs import solve_pyomo
from planner.solver.result import SolveResult, StopReason, relative_gap

if TYPE_CHECKING:
    from formulations.placement_problem import BoolArray, IntArray, PlacementProblem
    from planner.solver.options import SolveOptions

_LARGEST = 200_000  # integers


@dataclass(frozen=True)
class PlacementDomain:
    """Copies per domain. ``extract`` returns the copies, int [expert, domain]."""

    name: str = "placement_domain"
    decides: str = "expert copies per node or rack, a lower bound on the fullest GPU"

    def supports(self, problem: PlacementProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        integers = int(problem.most_copies.sum()) * problem.domains
        if problem.source_share is not None:
            integers *= problem.domains
        return f"{integers} integers, at most {_LARGEST} make sense" if integers > _LARGEST else None

    def is_exact(self, problem: PlacementProblem) -> bool:
        """Whether the optimum is that of the placement on GPUs: every domain has one GPU."""
        return all(len(problem.gpus_of(domain)) <= 1 for domain in range(problem.domains))

    def build(self, problem: PlacementProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        model = pyo.ConcreteModel(self.name)
        copies.add_copy_counts(model, problem)
        copies.add_copies_in_domains(model, problem)
        copies.add_slots_in_domains(model, problem)
        if problem.source_share is None:
            load.add_even_load_in_domains(model, problem)
        else:
            load.add_nearest_load_in_domains(model, problem)
        load.add_largest_load_in_domains(model, problem)
        load.add_copy_size_bound(model, problem)
        load.add_expected_largest_load(model, problem)
        return Built(model, lambda: _placed(model, problem))


@dataclass(frozen=True, eq=False)
class DomainPlacement:
    """A placement with a proven bound on every placement.

    Attributes
    ----------
    placed
        Copies of ``held``, int [expert, domain].
    held
        bool [expert, gpu].
    achieved
        Expected largest load over speed of ``held``, tokens.
    bound
        No placement is below this, tokens.
    solve
        The solver's record.
    """

    placed: IntArray
    held: BoolArray
    achieved: float
    bound: float
    solve: SolveResult

    @property
    def gap(self) -> float:
        """(achieved - bound) / achieved."""
        return relative_gap(self.achieved, self.bound)


def place_by_domain(problem: PlacementProblem, options: SolveOptions | None = None) -> DomainPlacement:
    """Solve the domain program, then pack GPUs inside.

    Raises
    ------
    NoPlanFound
        If no placement exists, or none was found within the limits.
    """
    built = PlacementDomain().build(problem)
    result = solve_pyomo(built.model, options)
    if not result.has_point:
        why = "no placement exists" if result.stop_reason is StopReason.infeasible else "no placement found in time"
        raise NoPlanFound([f"{why} (placement_domain stopped: {result.stop_reason})"], result.stop_reason)
    held = pack_domains(problem, built.extract())
    placed = np.stack([held[:, problem.domain == domain].sum(axis=1) for domain in range(problem.domains)], axis=1)
    return DomainPlacement(placed, held, problem.cost(held), result.bound, result)


def _placed(model: Any, problem: PlacementProblem) -> IntArray:  # noqa: ANN401 - a Pyomo model
    placed = np.zeros((problem.experts, problem.domains), dtype=np.int64)
    for (expert, _, domain), variable in model.placed.items():
        placed[expert, domain] += round(variable.value)
    return placed
