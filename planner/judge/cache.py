"""Check what a plan keeps of prefixes: bytes, bandwidth, places and dollars, and what hits and misses it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.costs import cache, memory
from planner.costs.price import rental_usd
from planner.instance.cache import held_class
from planner.instance.prefixes import HBM
from planner.judge.serving import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from planner.instance.case import DemandClass
    from planner.instance.instance import Instance
    from planner.instance.memory_tiers import MemoryTier
    from planner.instance.prefixes import PrefixSpec
    from planner.plan import Deployment, Holding, Plan

_ENDLESS_S = 1e9


@dataclass(frozen=True)
class TierReport:
    """One tier under a plan: devices, bytes held and what they may hold, bytes/s over what devices move, dollars."""

    tier: str
    devices: int
    held_bytes: float
    capacity_bytes: float
    utilisation: float
    usd: float


def judged_demand(instance: Instance, plan: Plan) -> tuple[DemandClass, ...]:
    """Return requests as the plan makes them: of each class those without a prefix, and those with, by prefix and tier.

    Without prefixes the demand of the case as it is.
    """
    if instance.cache is None:
        return instance.demand
    demands = {demand.name: demand for demand in instance.demand}
    missing = {name: demand.requests_per_s for name, demand in demands.items()}
    hits: dict[tuple[str, str], float] = {}
    for prefix, holding in _holdings(instance, plan):
        rate = holding.share * prefix.uses_per_s * cache.hit_share(holding.write, prefix.hit_ceiling)
        missing[prefix.demand] -= rate
        hits[prefix.name, holding.tier] = hits.get((prefix.name, holding.tier), 0.0) + rate
    kinds = {prefix.name: prefix for prefix in instance.cache.prefixes}
    found = [
        held_class(demands[kinds[name].demand], kinds[name], tier, rate, _fetch_s(instance, plan, kinds[name], tier))
        for (name, tier), rate in hits.items()
    ]
    left = [demand.model_copy(update={"requests_per_s": max(missing[name], 0.0)}) for name, demand in demands.items()]
    return (*left, *found)


def cache_problems(instance: Instance, plan: Plan) -> list[str]:
    """List every limit that the plan's cache breaks; empty without one."""
    if plan.cache is None or instance.cache is None:
        return [] if plan.cache is None else ["cache: the case has no prefixes"]
    problems = _naming_problems(instance, plan)
    if problems:
        return problems
    kept = instance.cache
    for report in tier_reports(instance, plan):
        if report.held_bytes > report.capacity_bytes * (1 + TOLERANCE):
            problems.append(f"cache: {report.tier} holds {report.held_bytes:.6g} B of {report.capacity_bytes:.6g} B")
        if report.utilisation > kept.highest_utilisation * (1 + TOLERANCE):
            problems.append(f"cache: {report.tier} moves {report.utilisation:.6g} of its bytes/s")
        places = kept.devices_per_host.get(report.tier, 0) * _hosts(instance, plan)
        if report.tier != HBM and report.devices > places * (1 + TOLERANCE):
            problems.append(f"cache: {report.devices} devices of {report.tier}, hosts have {places:g} places")
    return problems


def _naming_problems(instance: Instance, plan: Plan) -> list[str]:
    kept = instance.cache
    if kept is None or plan.cache is None:
        return []
    names = {prefix.name for prefix in kept.prefixes}
    problems = [
        f"cache: no prefix {holding.prefix} or no tier {holding.tier}"
        for holding in plan.cache.holdings
        if holding.prefix not in names or holding.tier not in kept.tier_names
    ]
    problems += [f"cache: no tier {name}" for name in plan.cache.devices if name not in kept.tier_names]
    for name in sorted(names):
        own = [holding for holding in plan.cache.holdings if holding.prefix == name]
        share = sum(holding.share for holding in own)
        if share > 1 + TOLERANCE:
            problems.append(f"cache: {share:.6g} of {name} is kept")
        if len(own) > 1 and not kept.split:
            problems.append(f"cache: {name} is kept in {len(own)} ways")
    return problems


def tier_reports(instance: Instance, plan: Plan) -> list[TierReport]:
    """One report for each tier that holds anything or has devices."""
    if instance.cache is None or plan.cache is None:
        return []
    reports = []
    rooms = {tier.name: tier for tier in instance.cache.tiers}
    for name in instance.cache.tier_names:
        held = sum(_held_bytes(instance, *pair) for pair in _holdings(instance, plan) if pair[1].tier == name)
        count = plan.cache.devices.get(name, 0)
        if not held and not count:
            continue
        if name == HBM:
            reports.append(TierReport(name, 0, held, _spare_hbm_bytes(instance, plan), 0.0, 0.0))
            continue
        usd = float(rental_usd(count, rooms[name].usd_per_hour, instance.case.horizon_hours))
        busy = _busy(instance, plan, rooms[name])
        reports.append(TierReport(name, count, held, count * rooms[name].capacity_bytes, busy, usd))
    return reports


def _holdings(instance: Instance, plan: Plan) -> Iterator[tuple[PrefixSpec, Holding]]:
    """Each holding with its kind of prefix; those of unknown names are left out, and told elsewhere."""
    if instance.cache is None or plan.cache is None:
        return
    kinds = {prefix.name: prefix for prefix in instance.cache.prefixes}
    for holding in plan.cache.holdings:
        if holding.prefix in kinds and holding.tier in instance.cache.tier_names:
            yield kinds[holding.prefix], holding


def _prefix_bytes(instance: Instance, prefix: PrefixSpec, ways: int = 1) -> float:
    return float(memory.kv_bytes_of_sequence(instance.model, prefix.tokens, float(ways)))


def _held_bytes(instance: Instance, prefix: PrefixSpec, holding: Holding) -> float:
    live = holding.share * prefix.live * cache.held_share(holding.write, prefix.hit_ceiling)
    return live * _prefix_bytes(instance, prefix)


def _busy(instance: Instance, plan: Plan, tier: MemoryTier) -> float:
    """Bytes/s read and written over what the tier's devices move; infinite without devices."""
    moved = 0.0
    for prefix, holding in _holdings(instance, plan):
        if holding.tier == tier.name:
            ceiling = prefix.hit_ceiling
            each = cache.hit_share(holding.write, ceiling) + cache.write_share(holding.write, ceiling)
            moved += holding.share * prefix.uses_per_s * each * _prefix_bytes(instance, prefix)
    devices = 0 if plan.cache is None else plan.cache.devices.get(tier.name, 0)
    if not moved:
        return 0.0
    return moved / (devices * tier.reached_bytes_per_s) if devices else float("inf")


def _fetch_s(instance: Instance, plan: Plan, prefix: PrefixSpec, name: str) -> float:
    """Time [s] to fetch a prefix at the load that the plan puts on the tier's devices."""
    if name == HBM or instance.cache is None:
        return 0.0
    tier = next(tier for tier in instance.cache.tiers if tier.name == name)
    busy = _busy(instance, plan, tier) / (1 + TOLERANCE)
    if busy >= 1.0:
        return _ENDLESS_S
    largest = max(_prefix_bytes(instance, entry) for entry in instance.cache.prefixes)
    percentile = next(demand.percentile for demand in instance.demand if demand.name == prefix.demand)
    return cache.fetch_s(_prefix_bytes(instance, prefix), largest, tier.reached_bytes_per_s, busy, percentile)


def _prefilling(plan: Plan) -> Sequence[Deployment]:
    return [deployment for deployment in plan.deployments if deployment.phase != "decode"]


def _hosts(instance: Instance, plan: Plan) -> float:
    per_host = {pool.name: pool.accelerator.gpus_per_host for pool in instance.pools}
    return sum(
        entry.gpus * entry.replicas / per_host[entry.pool] for entry in _prefilling(plan) if entry.pool in per_host
    )


def _spare_hbm_bytes(instance: Instance, plan: Plan) -> float:
    """Prefix bytes that prefill-only deployments have room for beside weights and the prompts in work."""
    total = 0.0
    pools = {pool.name: pool for pool in instance.pools}
    limits = instance.calibration.memory
    inputs = {demand.name: demand.input_tokens for demand in judged_demand(instance, plan)}
    for entry in plan.deployments:
        if entry.phase != "prefill" or entry.pool not in pools:
            continue
        ways = entry.tensor_parallel
        weights = memory.weight_bytes_per_gpu(
            instance.model,
            tensor_parallel=float(ways),
            expert_shards=entry.stage_gpus / entry.expert_parallel,
            slots_per_gpu=float(entry.slots_per_gpu),
            pipeline_parallel=float(entry.pipeline_parallel),
        )
        served = [name for name, rate in entry.requests_per_s.items() if rate and name in inputs]
        longest = max((inputs[name] for name in served), default=0)
        prompts = memory.kv_bytes_per_gpu(instance.model, float(entry.prefill_requests), float(longest), float(ways))
        hbm = pools[entry.pool].accelerator.hbm_bytes
        free = memory.usable_bytes(hbm, limits.usable_share, limits.reserve_bytes) - float(weights) - float(prompts)
        ranks = entry.replicas * entry.data_parallel * entry.pipeline_parallel
        total += max(free, 0.0) * ranks / _most_copies(instance, ways)
    return total


def _most_copies(instance: Instance, ways: int) -> float:
    """Bytes on one GPU of a rank over the bytes of a prefix, for the worst kind: a latent lies on every GPU whole.

    A rank of T GPUs with f bytes free on each holds f / bytes-on-one-GPU prefixes.
    """
    kinds = () if instance.cache is None else instance.cache.prefixes
    return max(_prefix_bytes(instance, prefix, ways) / _prefix_bytes(instance, prefix) for prefix in kinds)
