"""Turn a solution of the fleet program into a plan: named deployments, domains and expert maps."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from planner.plan import CacheChoice, Deployment, DomainContent, DomainUse, Holding, Plan

if TYPE_CHECKING:
    from formulations.blocks.packing import Patterns
    from formulations.fleet import FleetChoice
    from planner.costs.tables import Candidate, CostTables
    from planner.instance.instance import Instance
    from planner.studies.imbalance import ImbalanceBook


def placement_keys(tables: CostTables, choice: FleetChoice) -> set[tuple[int, int]]:
    """Numbers of ranks and slots that the chosen deployments need a map for."""
    chosen = [tables.candidates[c] for c in choice.replicas]
    return {(entry.expert_parallel, entry.slots_per_gpu) for entry in chosen if entry.slots_per_gpu}


def replicas_of(plan: Plan, tables: CostTables) -> dict[int, int]:
    """Replicas of each candidate that a plan runs, candidate -> count; deployments without a candidate are left out."""
    position = {name: d for d, name in enumerate(tables.class_names)}
    found: Counter[int] = Counter()
    for entry in plan.deployments:
        served = {position[name] for name in entry.requests_per_s if name in position}
        shape = (entry.pool, entry.phase, *_shape(entry))
        match = next(
            (
                c
                for c, candidate in enumerate(tables.candidates)
                if (tables.pool_names[candidate.pool], candidate.phase, *_shape(candidate)) == shape
                and served <= set(candidate.classes)
            ),
            None,
        )
        if match is not None:
            found[match] += entry.replicas
    return dict(found)


def _shape(entry: Deployment | Candidate) -> tuple[int, ...]:
    degrees = entry.tensor_parallel, entry.data_parallel, entry.pipeline_parallel
    return (*degrees, entry.expert_parallel, entry.slots_per_gpu)


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
        cache=_cache(tables, choice),
    )


def _cache(tables: CostTables, choice: FleetChoice) -> CacheChoice | None:
    cache = tables.cache
    if cache is None:
        return None
    holdings = tuple(
        Holding(prefix=cache.prefix_names[i], tier=cache.tier_names[t], write=policy, share=share)
        for (i, t, policy), share in sorted(choice.kept.items())
    )
    devices = {cache.tier_names[t]: count for t, count in sorted(choice.devices.items())}
    return CacheChoice(holdings=holdings, devices=devices)


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
    waiting: dict[int, dict[str, int]] = {}
    for c, replicas in sorted(choice.replicas.items()):
        entry = tables.candidates[c]
        if entry.pool != pool:
            continue
        if entry.whole_domains:
            whole = (DomainContent(deployment=names[c], gpus=tables.gpus_per_domain[pool]),)
            kinds[whole] += entry.whole_domains * replicas
        if entry.fragment_gpus:
            waiting.setdefault(entry.fragment_gpus, {})[names[c]] = replicas
    needed = {size: sum(left.values()) for size, left in waiting.items()}
    for pattern, domains in (choice.patterns.get(pool) or _first_fit(tables.gpus_per_domain[pool], needed)).items():
        kinds.update(_filled(pattern, domains, waiting))
    return [DomainUse(pool=tables.pool_names[pool], domains=n, holds=held) for held, n in kinds.items()]


def _filled(
    pattern: tuple[int, ...], domains: int, waiting: dict[int, dict[str, int]]
) -> Counter[tuple[DomainContent, ...]]:
    """Put waiting fragments into domains of one pattern, as many domains at once as hold the same; takes them off."""
    kinds: Counter[tuple[DomainContent, ...]] = Counter()
    while domains:
        taken: Counter[tuple[int, str]] = Counter()
        for size in pattern:
            left = waiting.get(size, {})
            name = next((name for name, count in left.items() if count > taken[size, name]), None)
            if name is not None:
                taken[size, name] += 1
        if not taken:
            break
        alike = min(domains, *(waiting[size][name] // count for (size, name), count in taken.items()))
        for (size, name), count in taken.items():
            waiting[size][name] -= alike * count
        kinds[tuple(DomainContent(deployment=name, gpus=size) for size, name in taken.elements())] += alike
        domains -= alike
    return kinds


def _first_fit(capacity: int, needed: dict[int, int]) -> Patterns:
    """Pack fragments (size -> number) largest first where domains are free: any packing will do."""
    domains: Patterns = Counter()
    for size in sorted(needed, reverse=True):
        left = needed[size]
        for pattern, count in [*domains.items(), ((), left)]:
            room = (capacity - sum(pattern)) // size
            full = min(count, left // room) if room else 0
            part = left - full * room if 0 < left - full * room < room and count > full else 0
            for fragments, number in ((room, full), (part, 1 if part else 0)):
                if number:
                    domains[(*pattern, *fragments * (size,))] += number
                    domains[pattern] -= number if pattern else 0
            left -= full * room + part
    return +domains
