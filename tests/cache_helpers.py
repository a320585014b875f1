"""Small cache tables for tests."""

from __future__ import annotations

import math

from planner.costs import cache
from planner.costs.cache_tables import CacheOption, CacheTables
from planner.instance.prefixes import WRITE_POLICIES


def small_cache(
    kinds: tuple[tuple[float, float, float, float], ...] = ((2e9, 10.0, 5.0, 0.5),),
    *,
    tiers: tuple[tuple[str, float, float, float, int], ...] = (
        ("hbm", math.inf, math.inf, 0.0, 0),
        ("flash", 16e9, 8e9, 0.25, 2),
    ),
    whole: bool = True,
) -> CacheTables:
    """Make tables from kinds of prefixes and tiers.

    Parameters
    ----------
    kinds
        (bytes of one prefix, live prefixes, reuse interval [s], hit ceiling).
    tiers
        (name, bytes and bytes/s of a device, dollars of a device, places in a host).
    whole
        Whether a kind is kept in one way only.
    """
    options = [
        CacheOption(
            prefix=i,
            tier=t,
            policy=policy,
            held_bytes=live * each * cache.held_share(policy, ceiling),
            hits_per_s=live / interval * cache.hit_share(policy, ceiling),
            moved_bytes_per_s=live
            / interval
            * each
            * (cache.hit_share(policy, ceiling) + cache.write_share(policy, ceiling)),
        )
        for i, (each, live, interval, ceiling) in enumerate(kinds)
        for t in range(len(tiers))
        for policy in WRITE_POLICIES
    ]
    return CacheTables(
        options=tuple(options),
        prefix_names=tuple(f"kind {i}" for i in range(len(kinds))),
        tier_names=tuple(tier[0] for tier in tiers),
        prefix_class=tuple(0 for _ in kinds),
        uses_per_s=tuple(live / interval for _, live, interval, _ in kinds),
        held_classes={(i, t): 1 + i * len(tiers) + t for i in range(len(kinds)) for t in range(len(tiers))},
        capacity_bytes=tuple(tier[1] for tier in tiers),
        bytes_per_s=tuple(tier[2] for tier in tiers),
        usd_per_device=tuple(tier[3] for tier in tiers),
        devices_per_host=tuple(tier[4] for tier in tiers),
        gpus_per_host=(8,),
        whole=whole,
    )
