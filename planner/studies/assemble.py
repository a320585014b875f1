"""Turn a solution of the fleet program into a plan: named deployments, domains and expert maps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from planner.plan import Deployment, DomainContent, DomainUse, Plan

if TYPE_CHECKING:
    from formulations.fleet import FleetChoice
    from planner.costs.tables import CostTables
    from planner.instance.instance import Instance
    from planner.studies.imbalance import ImbalanceBook


def placement_keys(tables: CostTables, choice: FleetChoice) -> set[tuple[int, int]]:
    """Numbers of ranks and slots that the chosen deployments need a map for."""
    chosen = [tables.candidates[c] for c in choice.replicas]
    return {(entry.expert_parallel, entry.slots_per_gpu) for entry in chosen if entry.slots_per_gpu}


def assemble(instance: Instance, tables: CostTables, choice: FleetChoice, book: ImbalanceBook) -> Plan:
    """Write the plan of a solution."""
    names = _names(tables, choice)
    deployments = tuple(_deployment(tables, choice, c, names[c]) for c in sorted(choice.replicas))
    domains = tuple(use for pool in range(len(tables.pool_names)) for use in _domains(tables, choice, pool, names))
    return Plan(
        case=instance.name,
        deployments=deployments,
        domains=domains,
        expert_maps=book.expert_maps(placement_keys(tables, choice)),
    )


def _names(tables: CostTables, choice: FleetChoice) -> dict[int, str]:
    names: dict[int, str] = {}
    seen: Counter[str] = Counter()
    for c in sorted(choice.replicas):
        entry = tables.candidates[c]
        base = f"{entry.phase}-{entry.gpus}gpu"
        seen[base] += 1
        names[c] = base if seen[base] == 1 else f"{base}-{seen[base]}"
    return names


def _deployment(tables: CostTables, choice: FleetChoice, c: int, name: str) -> Deployment:
    entry = tables.candidates[c]
    return Deployment(
        name=name,
        pool=tables.pool_names[entry.pool],
        phase=entry.phase,
        replicas=choice.replicas[c],
        tensor_parallel=entry.tensor_parallel,
        data_parallel=entry.data_parallel,
        pipeline_parallel=entry.pipeline_parallel,
        expert_parallel=entry.expert_parallel,
        slots_per_gpu=entry.slots_per_gpu,
        decode_batch=entry.batch,
        prefill_requests=entry.prefill_requests,
        requests_per_s={
            tables.class_names[d]: rate for (index, d), rate in sorted(choice.requests_per_s.items()) if index == c
        },
    )


def _domains(tables: CostTables, choice: FleetChoice, pool: int, names: dict[int, str]) -> list[DomainUse]:
    """Equal domains counted together: whole ones first, then those cut into fragments."""
    kinds: Counter[tuple[DomainContent, ...]] = Counter()
    waiting: dict[int, list[str]] = {}
    for c, replicas in sorted(choice.replicas.items()):
        entry = tables.candidates[c]
        if entry.pool != pool:
            continue
        if entry.whole_domains:
            whole = (DomainContent(deployment=names[c], gpus=tables.gpus_per_domain[pool]),)
            kinds[whole] += entry.whole_domains * replicas
        if entry.fragment_gpus:
            waiting.setdefault(entry.fragment_gpus, []).extend([names[c]] * replicas)
    patterns = choice.patterns.get(pool) or _first_fit(tables.gpus_per_domain[pool], waiting)
    for pattern in patterns:
        held = tuple(DomainContent(deployment=waiting[size].pop(0), gpus=size) for size in pattern if waiting.get(size))
        if held:
            kinds[held] += 1
    return [DomainUse(pool=tables.pool_names[pool], domains=n, holds=held) for held, n in kinds.items()]


def _first_fit(capacity: int, waiting: dict[int, list[str]]) -> list[list[int]]:
    """Pack fragments largest first where domains are free: any packing will do."""
    domains: list[list[int]] = []
    for size in sorted(waiting, reverse=True):
        for _ in waiting[size]:
            home = next((held for held in domains if sum(held) + size <= capacity), None)
            if home is None:
                domains.append([size])
            else:
                home.append(size)
    return domains
