"""Price and check any plan of an instance. Shares nothing with the programs but the scalar cost primitives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.costs.price import rental_usd
from planner.instance.prefixes import HBM
from planner.judge.cache import TierReport, cache_problems, judged_demand, tier_reports
from planner.judge.placement import imbalance_of_map, map_problems
from planner.judge.serving import TOLERANCE, DeploymentReport, report_deployment
from planner.judge.timing import Bench

if TYPE_CHECKING:
    from planner.instance.case import DemandClass
    from planner.instance.instance import Instance, Pool
    from planner.plan import Deployment, Plan


@dataclass
class Evaluation:
    """The judge's word on a plan.

    Attributes
    ----------
    cost_usd
        Rental of every paid GPU over the case's horizon.
    feasible
        No limit is broken.
    violations
        Every limit that is broken, in words.
    breakdown_usd
        By phase of the GPUs in use, and "idle" for GPUs paid but not used; sums to the cost.
    gpus_used, gpus_paid
        By pool.
    deployments
        One report a deployment.
    demand
        Requests as the plan makes them: what finds a prefix kept is a class of its own.
    tiers
        One report a tier that keeps prefixes.
    """

    cost_usd: float = 0.0
    violations: list[str] = field(default_factory=list)
    breakdown_usd: dict[str, float] = field(default_factory=dict)
    gpus_used: dict[str, int] = field(default_factory=dict)
    gpus_paid: dict[str, int] = field(default_factory=dict)
    deployments: list[DeploymentReport] = field(default_factory=list)
    demand: tuple[DemandClass, ...] = ()
    tiers: list[TierReport] = field(default_factory=list)

    @property
    def feasible(self) -> bool:
        """Whether no limit is broken."""
        return not self.violations


def evaluate(instance: Instance, plan: Plan) -> Evaluation:
    """Price ``plan`` and list every limit that it breaks."""
    result = Evaluation()
    result.violations += cache_problems(instance, plan)
    result.tiers = tier_reports(instance, plan)
    instance = instance.replace(demand=judged_demand(instance, plan))
    pools = {pool.name: pool for pool in instance.pools}
    for deployment in plan.deployments:
        problems = _shape_problems(instance, plan, deployment, pools)
        result.violations += problems
        if not problems:
            bench = Bench(instance, pools[deployment.pool], deployment, _imbalance(instance, plan, deployment))
            report = report_deployment(bench, may_idle=_lends_hbm(plan, deployment))
            result.deployments.append(report)
            result.violations += report.violations
    result.violations += _name_problems(plan)
    result.violations += _demand_problems(instance, plan)
    result.violations += _domain_problems(instance, plan)
    _price(instance, plan, result)
    result.demand = instance.demand
    return result


def _lends_hbm(plan: Plan, deployment: Deployment) -> bool:
    """Whether a deployment has work even without requests: prefixes lie in its memory."""
    kept = () if plan.cache is None else plan.cache.holdings
    return deployment.phase == "prefill" and any(holding.tier == HBM for holding in kept)


def _imbalance(instance: Instance, plan: Plan, deployment: Deployment) -> list[float]:
    if instance.model.moe_layers == 0:
        return []
    expert_map = plan.expert_maps[deployment.map_key]
    return imbalance_of_map(expert_map, deployment.slots_per_gpu, instance.expert_load)


def _shape_problems(instance: Instance, plan: Plan, deployment: Deployment, pools: dict[str, Pool]) -> list[str]:
    model, name = instance.model, deployment.name
    classes = {demand.name for demand in instance.demand}
    checks = [
        (deployment.pool in pools, f"no pool named {deployment.pool}"),
        (set(deployment.requests_per_s) <= classes, "serves a class that the case does not have"),
        (all(rate >= 0 for rate in deployment.requests_per_s.values()), "a request rate is negative"),
        (model.attention.heads % deployment.tensor_parallel == 0, "tensor_parallel does not divide the heads"),
        (deployment.stage_gpus % deployment.expert_parallel == 0, "expert_parallel does not divide the stage"),
        (deployment.pipeline_parallel <= model.layers, "more pipeline stages than layers"),
        (deployment.phase == "prefill" or deployment.decode_batch > 0, "decodes without a batch"),
        (deployment.phase == "decode" or deployment.prefill_requests > 0, "prefills without a batch"),
    ]
    problems = [f"{name}: {text}" for holds, text in checks if not holds]
    if deployment.pool in pools and not _links_hold(deployment, pools[deployment.pool].gpus_per_domain):
        problems.append(f"{name}: a tensor group or a pipeline stage straddles a domain")
    if problems or model.moe_layers == 0:
        return problems
    if model.expert_intermediate_size % (deployment.stage_gpus // deployment.expert_parallel):
        return [f"{name}: an expert does not divide over {deployment.stage_gpus // deployment.expert_parallel} GPUs"]
    if deployment.map_key not in plan.expert_maps:
        return [f"{name}: no expert map {deployment.map_key}"]
    return map_problems(plan.expert_maps[deployment.map_key], deployment, instance.expert_load)


def _links_hold(deployment: Deployment, gpus_per_domain: int) -> bool:
    """Whether tensor groups and stages lie inside domains: their times are those of the scale-up links."""
    stage, replica = deployment.stage_gpus, deployment.gpus
    grouped = replica <= gpus_per_domain or gpus_per_domain % deployment.tensor_parallel == 0
    aligned = gpus_per_domain % stage == 0 or stage % gpus_per_domain == 0
    return grouped and deployment.tensor_parallel <= gpus_per_domain and (aligned or deployment.pipeline_parallel == 1)


def _name_problems(plan: Plan) -> list[str]:
    """Names tell deployments apart in the domains, so one name for two would let one piece count twice."""
    counts = Counter(deployment.name for deployment in plan.deployments)
    return [f"{name}: {count} deployments have this name" for name, count in counts.items() if count > 1]


def _demand_problems(instance: Instance, plan: Plan) -> list[str]:
    problems = []
    for demand in instance.demand:
        for phase in ("prefill", "decode"):
            served = sum(
                deployment.requests_per_s.get(demand.name, 0.0)
                for deployment in plan.deployments
                if deployment.phase in (phase, "both")
            )
            if served < demand.requests_per_s * (1 - TOLERANCE):
                problems.append(f"{demand.name}: {phase} serves {served:.6g} of {demand.requests_per_s:.6g} requests/s")
    return problems


def _domain_problems(instance: Instance, plan: Plan) -> list[str]:
    problems = []
    placed: Counter[tuple[str, str, int]] = Counter()
    pools = {pool.name: pool for pool in instance.pools}
    for use in plan.domains:
        if use.pool not in pools:
            problems.append(f"domains of an unknown pool {use.pool}")
            continue
        held = sum(content.gpus for content in use.holds)
        if held > pools[use.pool].gpus_per_domain:
            problems.append(f"{use.pool}: a domain of {pools[use.pool].gpus_per_domain} GPUs holds {held}")
        for content in use.holds:
            placed[use.pool, content.deployment, content.gpus] += use.domains
    for name, pool in pools.items():
        used = sum(use.domains for use in plan.domains if use.pool == name)
        if pool.domains is not None and used > pool.domains:
            problems.append(f"{name}: {used} domains in use, there are {pool.domains}")
    for deployment in plan.deployments:
        if deployment.pool in pools:
            problems += _pieces_problems(deployment, pools[deployment.pool].gpus_per_domain, placed)
    return problems


def _pieces_problems(deployment: Deployment, gpus_per_domain: int, placed: Counter[tuple[str, str, int]]) -> list[str]:
    """Each replica needs its whole domains and its fragment, in its own pool."""
    whole, fragment = divmod(deployment.gpus, gpus_per_domain)
    needed = {gpus_per_domain: whole * deployment.replicas, fragment: deployment.replicas}
    there = {size: placed[deployment.pool, deployment.name, size] for size in needed if size}
    return [
        f"{deployment.name}: {count} of {needed[size]} pieces of {size} GPUs are placed"
        for size, count in there.items()
        if count != needed[size]
    ]


def _price(instance: Instance, plan: Plan, result: Evaluation) -> None:
    hours = instance.case.horizon_hours
    for pool in instance.pools:
        own = [deployment for deployment in plan.deployments if deployment.pool == pool.name]
        used = sum(deployment.gpus * deployment.replicas for deployment in own)
        domains = sum(use.domains for use in plan.domains if use.pool == pool.name)
        paid = domains * pool.gpus_per_domain if pool.pays_idle_gpus else used
        result.gpus_used[pool.name], result.gpus_paid[pool.name] = used, paid
        for deployment in own:
            gpus = deployment.gpus * deployment.replicas
            usd = float(rental_usd(gpus, pool.usd_per_gpu_hour, hours))
            result.breakdown_usd[deployment.phase] = result.breakdown_usd.get(deployment.phase, 0.0) + usd
        idle = float(rental_usd(paid - used, pool.usd_per_gpu_hour, hours))
        result.breakdown_usd["idle"] = result.breakdown_usd.get("idle", 0.0) + idle
        result.cost_usd += float(rental_usd(paid, pool.usd_per_gpu_hour, hours))
    if instance.decode_surcharge:
        decoding = sum(result.breakdown_usd.get(phase, 0.0) for phase in ("decode", "both"))
        result.breakdown_usd["rl_generation"] = instance.decode_surcharge * decoding
        result.cost_usd += instance.decode_surcharge * decoding
    if instance.cache is not None:
        result.breakdown_usd["cache"] = sum(report.usd for report in result.tiers)
        result.cost_usd += result.breakdown_usd["cache"]
