"""How large a fleet must be when a share of the work may wait.

min   fleet
s.t.  interactive_t + deferred_t <= fleet for every hour t;    sum_t deferred_t = deferrable;    deferred >= 0.

The optimum is max(max_t interactive_t, mean of all work, and the level to which ``deferrable`` fills the lowest hours):
water in a valley. While peak hours alone bind, the dual of ``all_deferred`` is 0: a token that waits costs no capacity.
Source: seed claims dossier, C8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks.valley import add_valley
from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from formulations.placement_problem import FloatArray

_LARGEST = 100_000  # hours


@dataclass(frozen=True, eq=False)
class ValleyProblem:
    """Work of a period, in units of the fleet for an hour.

    Parameters
    ----------
    interactive
        Work that cannot wait, shape [hour].
    deferrable
        Work that can wait till any hour of the period.

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    """

    interactive: FloatArray
    deferrable: float

    def __post_init__(self) -> None:
        work = np.asarray(self.interactive)
        levels = work.ndim == 1 and work.size > 0 and bool((np.isfinite(work) & (work >= 0)).all())
        rules = (
            ("interactive", levels, "numbers of at least 0, one an hour"),
            ("deferrable", bool(np.isfinite(self.deferrable) and self.deferrable >= 0), "a number of at least 0"),
        )
        problems = [Problem("valley filling", key, f"must be {rule}") for key, holds, rule in rules if not holds]
        if problems:
            raise InstanceError(problems)

    @property
    def unit(self) -> float:
        """Mean work of an hour: the scale that brings rows to about 1."""
        return float((np.sum(self.interactive) + self.deferrable) / len(self.interactive)) or 1.0


@dataclass(frozen=True)
class ValleyFilling:
    """A linear program. ``extract`` returns the deferred work, float [hour]."""

    name: str = "valley_filling"
    decides: str = "hours in which deferrable work is done, and the fleet"

    def supports(self, problem: ValleyProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        hours = len(problem.interactive)
        return f"{hours} hours, at most {_LARGEST} make sense" if hours > _LARGEST else None

    def build(self, problem: ValleyProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        unit = problem.unit
        model: Any = pyo.ConcreteModel(self.name)
        model.fleet = pyo.Var(domain=pyo.NonNegativeReals)
        work = {hour: float(value) / unit for hour, value in enumerate(problem.interactive)}
        add_valley(model, work, problem.deferrable / unit, model.fleet)
        model.cost = pyo.Objective(expr=unit * model.fleet, sense=pyo.minimize)
        return Built(model, lambda: _deferred(model, unit))


def _deferred(model: Any, unit: float) -> FloatArray:  # noqa: ANN401 - a Pyomo model
    return np.array([unit * model.deferred[hour].value for hour in model.hours])
