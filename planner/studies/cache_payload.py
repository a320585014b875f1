"""What a plan keeps of prefixes, as JSON: where, what it hits, what the tiers carry, and how long holding pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.costs import cache
from planner.costs.cache_tables import prefix_bytes
from planner.instance.memory_tiers import hbm_tier
from planner.instance.prefixes import HBM

if TYPE_CHECKING:
    from planner.instance.cache import Cache
    from planner.instance.instance import Instance
    from planner.instance.memory_tiers import MemoryTier
    from planner.instance.prefixes import PrefixSpec
    from planner.judge.evaluate import Evaluation
    from planner.plan import Plan


def cache_decisions(instance: Instance, plan: Plan, evaluation: Evaluation) -> dict[str, Any] | None:
    """Document of ``decisions.cache``; None for a case without prefixes.

    ``break_even_hold_s`` and ``cheapest_by_hold_time`` set a tier against computing again at the peak of the first
    pool's GPU: what arithmetic alone says, before queues, batches and what is spare.
    """
    kept = instance.cache
    if kept is None or plan.cache is None:
        return None
    return {
        "prefixes": [_prefix(instance, kept, plan, evaluation, prefix) for prefix in kept.prefixes],
        "tiers": [vars(report) for report in evaluation.tiers],
    }


def _prefix(instance: Instance, kept: Cache, plan: Plan, evaluation: Evaluation, prefix: PrefixSpec) -> dict[str, Any]:
    each = prefix_bytes(instance, prefix)
    fetch = {
        (getattr(entry, "prefix", None), getattr(entry, "tier", None)): entry.prefix_fetch_s
        for entry in evaluation.demand
    }
    holdings = [] if plan.cache is None else [entry for entry in plan.cache.holdings if entry.prefix == prefix.name]
    shares = [entry.share * cache.hit_share(entry.write, prefix.hit_ceiling) for entry in holdings]
    return {
        "prefix": prefix.name,
        "demand": prefix.demand,
        "tokens": prefix.tokens,
        "bytes": each,
        "live": prefix.live,
        "reuse_interval_s": prefix.reuse_interval_s,
        "uses_per_s": prefix.uses_per_s,
        "hit_ceiling": prefix.hit_ceiling,
        "hit_share": sum(shares),
        "computed_share": max(0.0, 1.0 - sum(entry.share for entry in holdings)),
        "kept": [
            {
                "tier": entry.tier,
                "write": entry.write,
                "share": entry.share,
                "hits_per_s": share * prefix.uses_per_s,
                "held_bytes": entry.share * prefix.live * each * cache.held_share(entry.write, prefix.hit_ceiling),
                "fetch_s": fetch[prefix.name, entry.tier],
            }
            for entry, share in zip(holdings, shares, strict=True)
        ],
        **_hold_times(instance, kept, each / prefix.tokens),
    }


def _hold_times(instance: Instance, kept: Cache, kv_bytes_per_token: float) -> dict[str, Any]:
    pool = instance.pools[0]
    chip, weights = pool.accelerator, instance.model.weights
    flop_per_s = chip.peak_flop_per_s(weights.routed_experts if instance.model.moe_layers else weights.dense_ffn)
    seconds = cache.recompute_s_per_token(instance.model.published_active_params, flop_per_s)
    recompute_usd = seconds * pool.usd_per_gpu_hour / cache.SECONDS_PER_HOUR
    places: list[MemoryTier] = [*([hbm_tier(chip, pool.usd_per_gpu_hour)] if kept.hbm else []), *kept.tiers]
    lines = [cache.hold_line(tier, in_place=tier.name == HBM) for tier in places if tier.usd_per_hour]
    lines.append(cache.HoldLine("computed", recompute_usd / kv_bytes_per_token, 0.0))
    return {
        "break_even_hold_s": {
            line.name: cache.line_break_even_s(recompute_usd, kv_bytes_per_token, line) for line in lines[:-1]
        },
        "cheapest_by_hold_time": [
            {"tier": stretch.name, "from_s": stretch.from_s} for stretch in cache.cheapest_by_hold_time(lines)
        ],
    }
