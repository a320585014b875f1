"""Sentences of the fleet program about demand, capacity and price."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from formulations.blocks.cache import hits_of_class, misses_of_class

if TYPE_CHECKING:
    from planner.costs.tables import CostTables

SERVED_BY = {"prefill": ("prefill", "both"), "decode": ("decode", "both")}
"""Which candidates do the work of each phase."""

_SLIGHT = 1e-3


def add_replicas(model: Any, tables: CostTables) -> None:  # noqa: ANN401 - a Pyomo model
    """``replicas[c]`` integer, 0 <= n_c <= min(ceil(sum_d rate_d / k_dc), pool / GPUs of c)."""

    def bounds(_: Any, candidate: int) -> tuple[int, int]:  # noqa: ANN401
        return 0, most_replicas(tables, candidate)

    model.replicas = pyo.Var(range(len(tables.candidates)), domain=pyo.NonNegativeIntegers, bounds=bounds)


def most_replicas(tables: CostTables, candidate: int) -> int:
    """Replicas that the whole demand of the candidate's classes could need, or that its pool could hold."""
    entry = tables.candidates[candidate]
    need = sum(replicas_for_class(tables, candidate, d) for d in entry.classes)
    domains = tables.domains[entry.pool]
    held = math.inf if domains is None else domains * tables.gpus_per_domain[entry.pool] // entry.gpus
    return int(min(max(math.ceil(need - 1e-9), 1 if need else 0), held))


def add_kinds(model: Any, tables: CostTables) -> None:  # noqa: ANN401
    """``kind[c]`` binary says whether candidate c is used at all: n_c <= most_c kind_c."""
    every = range(len(tables.candidates))
    model.kind = pyo.Var(every, domain=pyo.Binary)

    def open_kind(_: Any, c: int) -> Any:  # noqa: ANN401
        return model.replicas[c] <= most_replicas(tables, c) * model.kind[c]

    model.open_kind = pyo.Constraint(every, rule=open_kind)
    model.kind.set_values({c: int((model.replicas[c].value or 0) > 0) for c in every})


def add_shares(model: Any, tables: CostTables) -> None:  # noqa: ANN401
    """``share[c, d]`` in [0, 1]: share of the requests of class d that candidate c takes, f_cd = rate_d share_cd.

    Shares rather than rates, because the solver's tolerances are absolute and rates span many orders of magnitude.
    """
    pairs = [(c, d) for c, entry in enumerate(tables.candidates) for d in entry.classes]
    model.share = pyo.Var(pairs, domain=pyo.NonNegativeReals, bounds=(0, 1))


def add_demand_met(model: Any, tables: CostTables, chosen: Any = 1) -> None:  # noqa: ANN401
    """Each class is served in each phase: sum_c share_cd = z; a candidate for both phases counts in both.

    ``chosen`` z is 1, or the binary that says whether this fleet is the one. Where prefixes are kept, z is the share of
    the class that finds its prefix in the tier it waits for, or that finds none.
    """

    def meet(_: Any, phase: str, d: int) -> Any:  # noqa: ANN401
        servers = [c for c, k in model.share if k == d and tables.candidates[c].phase in SERVED_BY[phase]]
        return sum(model.share[c, d] for c in servers) == _asked(model, tables, d, chosen)

    classes = [d for d, rate in enumerate(tables.demand_requests_per_s) if rate > 0]
    model.demand_met = pyo.Constraint(list(SERVED_BY), classes, rule=meet)


def _asked(model: Any, tables: CostTables, d: int, chosen: Any) -> Any:  # noqa: ANN401
    cache, rate = tables.cache, float(tables.demand_requests_per_s[d])
    if cache is None:
        return chosen
    held = d in cache.held_classes.values()
    return hits_of_class(model, cache, d, rate) if held else misses_of_class(model, cache, d, rate)


def add_capacity(model: Any, tables: CostTables) -> None:  # noqa: ANN401
    """Replicas carry what they take: sum_d share_cd rate_d / k_dc <= n_c.

    A class that needs a thousandth of a replica or less is within the solver's tolerance of needing none, so
    share_cd <= n_c says too that what serves it exists. That holds for every whole n_c.
    """

    def carry(_: Any, c: int) -> Any:  # noqa: ANN401
        load = sum(replicas_for_class(tables, c, d) * model.share[c, d] for d in tables.candidates[c].classes)
        return load <= model.replicas[c]

    def exist(_: Any, c: int, d: int) -> Any:  # noqa: ANN401
        return model.share[c, d] <= model.replicas[c]

    slight = [(c, d) for c, d in model.share if replicas_for_class(tables, c, d) <= _SLIGHT]
    model.capacity = pyo.Constraint(range(len(tables.candidates)), rule=carry)
    if slight:
        model.server_exists = pyo.Constraint(slight, rule=exist)


def replicas_for_class(tables: CostTables, candidate: int, d: int) -> float:
    """Replicas, a fraction among them, that the whole of class d takes: rate_d / k_dc."""
    return float(tables.demand_requests_per_s[d] / tables.requests_per_s[candidate, d])


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
