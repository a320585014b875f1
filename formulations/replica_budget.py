"""How many expert slots a GPU has in each layer, under one budget for all layers.

min   sum_ls (F_ls + price s) chosen[l, s]
s.t.  sum_s chosen[l, s] = 1 for every layer;    sum_ls s chosen[l, s] <= budget;    chosen in {0, 1},

with F_ls the largest GPU load of layer l with s slots a GPU, in seconds where the loads are. Layers run one after the
other, so their largest loads add up. A slot takes the memory of one expert from the KV cache in every layer alike: the
budget counts slots, ``price`` is what a slot's memory earns elsewhere, in the unit of F.

Known structure: every further slot gains less than the one before, nearly; where that holds the relaxation picks
whole slots in falling order of gain and is fractional in one layer at most: its bound is short by less than one gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from formulations.base import Built, refuse
from planner.errors import InstanceError, NoPlanFound, Problem

if TYPE_CHECKING:
    from formulations.placement_problem import FloatArray, IntArray

_LARGEST = 100_000  # binaries


@dataclass(frozen=True, eq=False)
class ReplicaBudgetProblem:
    """Largest load of every layer for every number of slots.

    Parameters
    ----------
    largest
        Largest GPU load, shape [layer, option].
    slots
        Slots a GPU of each option, rising, shape [option].
    budget
        Slots a GPU has in all layers together.
    price
        Cost of a slot in the unit of ``largest``.

    Raises
    ------
    InstanceError
        Wrong shapes or values, all of them at once.
    NoPlanFound
        The fewest slots in every layer already pass the budget.
    """

    largest: FloatArray
    slots: IntArray
    budget: int
    price: float = 0.0

    def __post_init__(self) -> None:
        largest, slots = np.asarray(self.largest), np.asarray(self.slots)
        rising = slots.ndim == 1 and len(slots) > 0 and bool((slots > 0).all() and (np.diff(slots) > 0).all())
        shape = largest.ndim == 2 and 0 not in largest.shape and largest.shape[1] == len(slots)
        rules = (
            ("largest", shape and bool((np.isfinite(largest) & (largest >= 0)).all()), "numbers for [layer, option]"),
            ("slots", rising, "whole numbers of at least 1 that rise"),
            ("price", bool(np.isfinite(self.price) and self.price >= 0), "a number of at least 0"),
        )
        problems = [Problem("replica budget", key, f"must be {rule}") for key, holds, rule in rules if not holds]
        if problems:
            raise InstanceError(problems)
        least = len(largest) * int(slots[0])
        if self.budget < least:
            message = f"{len(largest)} layers need {slots[0]} slots a GPU each: a budget of {least}, not {self.budget}"
            raise NoPlanFound([message])

    @property
    def unit(self) -> float:
        """Scale that brings the objective to about 1."""
        return float(self.largest[:, 0].mean()) or 1.0


@dataclass(frozen=True)
class ReplicaBudget:
    """A knapsack with one choice a layer. ``extract`` returns the slots, int [layer]."""

    name: str = "replica_budget"
    decides: str = "expert slots of each layer under one budget of memory"

    def supports(self, problem: ReplicaBudgetProblem) -> str | None:
        """Return why the problem is out of reach, or ``None``."""
        binaries = int(np.asarray(problem.largest).size)
        return f"{binaries} binaries, at most {_LARGEST} make sense" if binaries > _LARGEST else None

    def build(self, problem: ReplicaBudgetProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        cost = (problem.largest + problem.price * problem.slots) / problem.unit
        model: Any = pyo.ConcreteModel(self.name)
        model.layers = pyo.RangeSet(0, cost.shape[0] - 1)
        model.options = pyo.RangeSet(0, cost.shape[1] - 1)
        model.chosen = pyo.Var(model.layers, model.options, domain=pyo.Binary)
        model.one_option = pyo.Constraint(
            model.layers, rule=lambda m, layer: sum(m.chosen[layer, s] for s in m.options) == 1
        )
        model.budget = pyo.Constraint(
            expr=sum(int(problem.slots[s]) * model.chosen[layer, s] for layer in model.layers for s in model.options)
            <= problem.budget
        )
        model.cost = pyo.Objective(
            expr=problem.unit
            * sum(float(cost[layer, s]) * model.chosen[layer, s] for layer in model.layers for s in model.options),
            sense=pyo.minimize,
        )
        return Built(model, lambda: _slots(model, problem))


def _slots(model: Any, problem: ReplicaBudgetProblem) -> IntArray:  # noqa: ANN401 - a Pyomo model
    chosen = [[model.chosen[layer, s].value for s in model.options] for layer in model.layers]
    return np.asarray(np.asarray(problem.slots)[np.argmax(chosen, axis=1)], dtype=np.int64)
