"""The lifecycle as one program: one member of a family is chosen, trained and served.

min   sum_m (training_m z_m + fleet cost_m)
s.t.  sum_m z_m = 1;  the fleet of member m serves rate z_m.
The decomposition by member (planner.studies.lifecycle) solves the same program faster; this one is its rival in tests
and for families small enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.fleet import Fleet, FleetChoice, FleetProgram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.costs.tables import CostTables


@dataclass(frozen=True)
class MemberTables:
    """One member: its name, what training it to the quality costs [USD], and its serving tables."""

    name: str
    training_usd: float
    tables: CostTables


class LifecycleProgram:
    """The Pyomo model: ``model.choose[m]`` binary, ``model.fleet[m]`` the fleet program of each member."""

    def __init__(self, members: Sequence[MemberTables]) -> None:
        self.members = members
        self.model: Any = pyo.ConcreteModel("lifecycle")
        self.model.choose = pyo.Var(range(len(members)), domain=pyo.Binary)
        self.model.one_member = pyo.Constraint(expr=sum(self.model.choose.values()) == 1)
        self.model.fleet = pyo.Block(range(len(members)))
        self.fleets = [
            FleetProgram(member.tables, self.model.fleet[m], self.model.choose[m]) for m, member in enumerate(members)
        ]
        training = sum(member.training_usd * self.model.choose[m] for m, member in enumerate(members))
        serving = sum(self.model.fleet[m].cost_usd for m in range(len(members)))
        self.model.least = pyo.Objective(expr=training + serving, sense=pyo.minimize)

    def extract(self) -> tuple[int, FleetChoice]:
        """Read which member was chosen, and its fleet."""
        chosen = max(self.model.choose, key=lambda m: pyo.value(self.model.choose[m]))
        return chosen, self.fleets[chosen].extract()


@dataclass(frozen=True)
class Lifecycle:
    """The lifecycle program behind the interface of all formulations. ``extract`` returns member and fleet."""

    name: str = "lifecycle"
    decides: str = "the member of a family that is trained, and the fleet that serves it"

    def supports(self, problem: Sequence[MemberTables]) -> str | None:
        """Return why no member can be chosen, or ``None``."""
        if not problem:
            return "the family has no member"
        reasons = [Fleet().supports(member.tables) for member in problem]
        return next((f"{problem[m].name}: {reason}" for m, reason in enumerate(reasons) if reason), None)

    def build(self, problem: Sequence[MemberTables]) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        program = build(problem)
        return Built(program.model, program.extract)


def build(members: Sequence[MemberTables]) -> LifecycleProgram:
    """Write the program of a family."""
    return LifecycleProgram(members)
