"""Work that may wait is done in the hours that people leave free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from collections.abc import Mapping


def add_valley(block: Any, interactive: Mapping[int, Any], deferrable: Any, fleet: Any) -> None:  # noqa: ANN401 - Pyomo
    """Write ``block.deferred[hour] >= 0`` with sum = ``deferrable`` and interactive + deferred <= fleet every hour.

    Parameters
    ----------
    block
        An empty block or model.
    interactive
        Hour -> work that cannot wait, a number or an expression, in units of the fleet for an hour.
    deferrable
        Work of the whole period that can wait till any hour of it, a number or an expression.
    fleet
        Capacity, a variable or an expression.
    """
    block.hours = pyo.Set(initialize=list(interactive))
    block.deferred = pyo.Var(block.hours, domain=pyo.NonNegativeReals)
    block.all_deferred = pyo.Constraint(expr=sum(block.deferred.values()) == deferrable)
    block.within_fleet = pyo.Constraint(block.hours, rule=lambda b, hour: interactive[hour] + b.deferred[hour] <= fleet)
