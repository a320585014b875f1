"""Why there is no plan, in the words of the case: which limit leaves nothing to choose, or which rows conflict."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from formulations import fleet
from formulations.blocks.serving import SERVED_BY
from planner.costs import memory
from planner.costs.capacity import batch_in_memory
from planner.costs.layout import enumerate_layouts
from planner.costs.tables import build_tables, capacities_of, machine_of
from planner.solver.conflict import infeasible_rows
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.strategies.bounds import imbalance_lower_bound
from planner.studies.conflict_words import in_words
from planner.units import with_prefix

if TYPE_CHECKING:
    from formulations.fleet import FleetProgram
    from planner.costs.tables import CostTables
    from planner.instance.case import DemandClass
    from planner.instance.instance import Instance
    from planner.solver.result import SolveResult


_QUICK = SolveOptions(time_limit_s=10.0, gap=1e-2)
_WHOLE = 1e-6


def reasons_without_candidates(instance: Instance, tables: CostTables) -> list[str]:
    """One reason for every class and phase that no candidate serves; empty where all have one."""
    reasons: list[str] = []
    for d, demand in enumerate(instance.demand):
        if demand.requests_per_s == 0:
            continue
        for phase, servers in SERVED_BY.items():
            if not any(d in entry.classes and entry.phase in servers for entry in tables.candidates):
                reasons.append(_reason(instance, demand, phase))
    return list(dict.fromkeys(reasons))


def _reason(instance: Instance, demand: DemandClass, phase: str) -> str:
    """Try the limits one after another: layouts, memory alone, then with the latency limits lifted."""
    if not any(len(enumerate_layouts(instance.model, pool, instance.search)) for pool in instance.pools):
        return _layout_reason(instance)
    if not _fits_in_memory(instance, demand):
        return _memory_reason(instance, demand)
    lifted = demand.model_copy(update={"tpot_s": None, "ttft_s": None})
    if not _servable(instance, lifted, phase):
        return f"{demand.name}: {phase} does not fit even without latency limits: the KV of one request is too large"
    limits = [key for key in ("ttft_s", "tpot_s") if getattr(demand, key) is not None]
    alone = [key for key in limits if _servable(instance, demand.model_copy(update={key: None}), phase)]
    tight = alone or limits
    values = " and ".join(f"{key} = {getattr(demand, key)} s" for key in tight)
    return (
        f"{demand.name}: no deployment meets {values} in {phase}; it can be served without "
        f"{'both of them' if not alone else 'one of them' if len(alone) > 1 else 'that limit'}"
    )


def _layout_reason(instance: Instance) -> str:
    model, search = instance.model, instance.search
    sizes, tensor, pipeline = (
        ", ".join(map(str, values))
        for values in (search.deployment_gpus, search.tensor_parallel, search.pipeline_parallel)
    )
    return (
        f"search: no layout cuts {model.name} over deployment_gpus {sizes} with tensor_parallel {tensor} and "
        f"pipeline_parallel {pipeline}: tensor_parallel must divide its {model.attention.heads} heads, both the GPUs; "
        f"stages are at most its {model.layers} layers and align with domains; slots are at most its experts"
    )


def _fits_in_memory(instance: Instance, demand: DemandClass) -> bool:
    for pool in instance.pools:
        layouts = enumerate_layouts(instance.model, pool, instance.search)
        machine = machine_of(instance, pool, layouts, lambda _ranks, _slots: np.ones(instance.model.moe_layers))
        if len(layouts) and bool((batch_in_memory(machine, demand.mean_context_tokens) >= 1).any()):
            return True
    return False


def _memory_reason(instance: Instance, demand: DemandClass) -> str:
    kv_bytes = float(memory.kv_bytes_of_sequence(instance.model, demand.mean_context_tokens))
    limits, sizes = instance.calibration.memory, instance.search.deployment_gpus
    roomiest = max(
        min(max(size for size in sizes if size <= pool.gpus), pool.gpus)
        * memory.usable_bytes(pool.accelerator.hbm_bytes, limits.usable_share, limits.reserve_bytes)
        for pool in instance.pools
        if any(size <= pool.gpus for size in sizes)
    )
    return (
        f"memory: {instance.model.name} has {with_prefix(instance.model.weight_bytes, 'B')} of weights and one request "
        f"of {demand.name} keeps {with_prefix(kv_bytes, 'B')} of KV, the largest deployment offered has "
        f"{with_prefix(roomiest, 'B')} of usable HBM; add GPUs or take a narrower format of weights or KV"
    )


def _servable(instance: Instance, demand: DemandClass, phase: str) -> bool:
    for pool in instance.pools:
        layouts = enumerate_layouts(instance.model, pool, instance.search)
        machine = machine_of(instance, pool, layouts, lambda _ranks, _slots: np.ones(instance.model.moe_layers))
        for kind in instance.search.phases:
            if kind in SERVED_BY[phase] and any(
                option.requests_per_s.any() for option in capacities_of(instance, machine, kind, [demand])
            ):
                return True
    return False


def reasons_without_plan(
    instance: Instance, tables: CostTables, program: FleetProgram, result: SolveResult, *, repeatable: bool = False
) -> list[str]:
    """Name the smallest set of limits in conflict, or say that time ran out before a plan was found.

    ``repeatable`` asks relaxations only: every run gives the same reasons, and a sweep does not spend its time on them.
    """
    if result.stop_reason != "infeasible":
        return [f"stopped ({result.stop_reason}) before any plan was found; give more time"]
    rows = infeasible_rows(compile_pyomo(program.model).matrix, relaxation_only=repeatable)
    conflict = in_words(rows, instance, tables)
    there = [
        f"{pool.name}: {_count(pool.domains)} of {pool.gpus_per_domain} GPUs each are not enough"
        for pool in instance.pools
        if pool.domains is not None
    ]
    demand = ", ".join(f"{entry.name} {entry.requests_per_s:g}/s" for entry in instance.demand)
    needed = _least_domains(instance) if repeatable else _domains_enough(instance)
    together = [f"these cannot hold together: {'; '.join(conflict)}"] if conflict else []
    return [*there, f"demand {demand}", *needed, *together]


def _count(domains: int) -> str:
    return "1 domain" if domains == 1 else f"{domains} domains"


def _with_domains_to_spare(instance: Instance) -> FleetProgram:
    # domains that are paid whole are counted, whatever the pool's own billing
    pools = tuple(replace(pool, domains=None, pays_idle_gpus=True) for pool in instance.pools)
    unlimited = instance.replace(pools=pools)
    return fleet.build(
        build_tables(unlimited, lambda ranks, slots: imbalance_lower_bound(instance.expert_load, ranks, slots))
    )


def _least_domains(instance: Instance) -> list[str]:
    """Domains that any plan needs: what the relaxation says, and more than there are; said of a single pool only."""
    (pool, *others) = instance.pools
    usd_per_domain = pool.usd_per_gpu_hour * pool.gpus_per_domain * instance.case.horizon_hours
    if others or not usd_per_domain:
        return []
    relaxed = solve_lp_relaxation(compile_pyomo(_with_domains_to_spare(instance).model).matrix)
    if relaxed.objective is None:
        return []
    least = max(math.ceil(relaxed.objective / usd_per_domain - _WHOLE), (pool.domains or 0) + 1)
    return [f"at least {least} domains of {pool.name} are needed"]


def _domains_enough(instance: Instance) -> list[str]:
    """Solve with unlimited domains to say how many would be enough, pool by pool."""
    program = _with_domains_to_spare(instance)
    if not solve_pyomo(program.model, _QUICK).has_point:
        return []
    needed = {h: program.domains_used(h) for h in program.graphs}
    return [
        f"with domains to spare, {needed[h]} of {pool.name} would be enough"
        for h, pool in enumerate(instance.pools)
        if h in needed
    ]
