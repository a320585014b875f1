"""Sentences of the fleet program about demand, capacity and price."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

if TYPE_CHECKING:
    from planner.costs.tables import CostTables

SERVED_BY = {"prefill": ("prefill", "both"), "decode": ("decode", "both")}
"""Which candidates do the work of each phase."""


def add_replicas(model: Any, tables: CostTables) -> None:  # noqa: ANN401 - a Pyomo model
    """``replicas[c]`` integer, 0 <= n_c <= min(ceil(sum_d rate_d / k_dc), pool / GPUs of c)."""

    def bounds(_: Any, candidate: int) -> tuple[int, int]:  # noqa: ANN401
        return 0, most_replicas(tables, candidate)

    model.replicas = pyo.Var(range(len(tables.candidates)), domain=pyo.NonNegativeIntegers, bounds=bounds)


def most_replicas(tables: CostTables, candidate: int) -> int:
    """Replicas that the whole demand of the candidate's classes could need, or that its pool could hold."""
    entry = tables.candidates[candidate]
    need = sum(tables.demand_requests_per_s[d] / tables.requests_per_s[candidate, d] for d in entry.classes)
    domains = tables.domains[entry.pool]
    held = math.inf if domains is None else domains * tables.gpus_per_domain[entry.pool] // entry.gpus
    return int(min(math.ceil(need - 1e-9), held))


def add_requests(model: Any, tables: CostTables) -> None:  # noqa: ANN401
    """``requests[c, d] >= 0``: requests/s of class d that candidate c takes."""
    pairs = [(c, d) for c, entry in enumerate(tables.candidates) for d in entry.classes]
    model.requests = pyo.Var(pairs, domain=pyo.NonNegativeReals)


def add_demand_met(model: Any, tables: CostTables, chosen: Any = 1) -> None:  # noqa: ANN401
    """Each class is served in each phase: sum_c f_cd = rate_d z; a candidate for both phases counts in both.

    ``chosen`` z is 1, or the binary that says whether this fleet is the one.
    """

    def meet(_: Any, phase: str, d: int) -> Any:  # noqa: ANN401
        servers = [c for c, k in model.requests if k == d and tables.candidates[c].phase in SERVED_BY[phase]]
        return sum(model.requests[c, d] for c in servers) == float(tables.demand_requests_per_s[d]) * chosen

    classes = [d for d, rate in enumerate(tables.demand_requests_per_s) if rate > 0]
    model.demand_met = pyo.Constraint(list(SERVED_BY), classes, rule=meet)


def add_capacity(model: Any, tables: CostTables) -> None:  # noqa: ANN401
    """Replicas carry what they take: sum_d f_cd / k_dc <= n_c."""

    def carry(_: Any, c: int) -> Any:  # noqa: ANN401
        load = sum(model.requests[c, d] / float(tables.requests_per_s[c, d]) for d in tables.candidates[c].classes)
        return load <= model.replicas[c]

    model.capacity = pyo.Constraint(range(len(tables.candidates)), rule=carry)


def used_gpus(
    model: Any,  # noqa: ANN401 - a Pyomo model
    tables: CostTables,
    pool: int,
    phases: tuple[str, ...] = ("prefill", "decode", "both"),
) -> Any:  # noqa: ANN401 - a Pyomo expression
    """GPUs in deployments of one pool and some phases: sum_c g_c n_c."""
    return sum(
        entry.gpus * model.replicas[c]
        for c, entry in enumerate(tables.candidates)
        if entry.pool == pool and entry.phase in phases
    )
