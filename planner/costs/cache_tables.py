"""What the cache blocks read: options to keep each kind of prefix, the tiers, and the classes that hits turn into."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import cache, memory
from planner.costs.capacity import room_bytes
from planner.instance.cache import held_class
from planner.instance.prefixes import HBM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from planner.costs.capacity import Capacity
    from planner.costs.step import Machine
    from planner.instance.cache import Cache, HeldClass
    from planner.instance.case import DemandClass, Phase
    from planner.instance.instance import Instance
    from planner.instance.prefixes import PrefixSpec, WritePolicy


_MOST_CHOICES = 64
"""Combinations of kinds of prefix and tiers up to which each gets candidates: three kinds in three tiers."""


@dataclass(frozen=True)
class CacheOption:
    """One way to keep one kind of prefix: in which tier and written when. Figures are those of the whole kind.

    ``prefix`` and ``tier`` are positions.
    """

    prefix: int
    tier: int
    policy: WritePolicy
    held_bytes: float
    hits_per_s: float
    moved_bytes_per_s: float


@dataclass(frozen=True)
class CacheTables:
    """What may be kept where.

    Attributes
    ----------
    options
        Ways to keep prefixes; a prefix that takes none is computed each time.
    prefix_names, tier_names
        Names by position; the tier ``hbm`` is spare HBM of the replicas that prefill.
    prefix_class
        [prefix] class of demand, a position.
    uses_per_s
        [prefix].
    held_classes
        (prefix, tier) -> position of the class of requests that find the prefix there.
    capacity_bytes, bytes_per_s, usd_per_device, devices_per_host
        [tier] of one device; bandwidth as far as it may be used, dollars over the horizon. Infinite and 0 for HBM.
    gpus_per_host
        [pool].
    whole
        Whether a kind of prefix is kept in one way only.
    """

    options: tuple[CacheOption, ...]
    prefix_names: tuple[str, ...]
    tier_names: tuple[str, ...]
    prefix_class: tuple[int, ...]
    uses_per_s: tuple[float, ...]
    held_classes: dict[tuple[int, int], int]
    capacity_bytes: tuple[float, ...]
    bytes_per_s: tuple[float, ...]
    usd_per_device: tuple[float, ...]
    devices_per_host: tuple[int, ...]
    gpus_per_host: tuple[int, ...]
    whole: bool

    def most_devices(self, tier: int) -> int:
        """Devices of a tier that all kinds of prefixes together could need."""
        held = moved = 0.0
        for prefix in range(len(self.prefix_names)):
            own = [entry for entry in self.options if (entry.prefix, entry.tier) == (prefix, tier)]
            held += max((entry.held_bytes for entry in own), default=0.0)
            moved += max((entry.moved_bytes_per_s for entry in own), default=0.0)
        return int(np.ceil(max(held / self.capacity_bytes[tier], moved / self.bytes_per_s[tier])))


def prefix_bytes(instance: Instance, prefix: PrefixSpec) -> float:
    """KV bytes of one prefix, all layers."""
    return float(memory.kv_bytes_of_sequence(instance.model, prefix.tokens))


def served_classes(instance: Instance) -> tuple[DemandClass, ...]:
    """Classes of the tables: those of the case, whose requests find nothing, then a class for each prefix and tier.

    The rate of the latter is the largest that any write policy gives.
    """
    if instance.cache is None:
        return instance.demand
    return (*instance.demand, *(held for _, held in _held(instance, instance.cache)))


def _held(instance: Instance, kept: Cache) -> list[tuple[tuple[int, int], HeldClass]]:
    largest = max(prefix_bytes(instance, prefix) for prefix in kept.prefixes)
    demands = {demand.name: demand for demand in instance.demand}
    rates = {tier.name: tier.reached_bytes_per_s for tier in kept.tiers}
    found = []
    for i, prefix in enumerate(kept.prefixes):
        demand = demands[prefix.demand]
        hits = max(cache.hit_share(policy, prefix.hit_ceiling) for policy in kept.policies)
        for t, tier in enumerate(kept.tier_names):
            fetch_s = 0.0
            if tier != HBM:
                each = prefix_bytes(instance, prefix)
                fetch_s = cache.fetch_s(each, largest, rates[tier], kept.highest_utilisation, demand.percentile)
            if demand.ttft_s is not None and fetch_s >= demand.ttft_s:
                # too slow whatever the replica: no option
                continue
            found.append(((i, t), held_class(demand, prefix, tier, prefix.uses_per_s * hits, fetch_s)))
    return found


def cache_tables(instance: Instance, kept: Cache) -> CacheTables:
    """Tabulate the options of a case."""
    position = {demand.name: d for d, demand in enumerate(instance.demand)}
    hbm = [HBM] if kept.hbm else []
    hours = instance.case.horizon_hours
    held = [key for key, _ in _held(instance, kept)]
    return CacheTables(
        options=tuple(_options(instance, kept, set(held))),
        prefix_names=tuple(prefix.name for prefix in kept.prefixes),
        tier_names=kept.tier_names,
        prefix_class=tuple(position[prefix.demand] for prefix in kept.prefixes),
        uses_per_s=tuple(prefix.uses_per_s for prefix in kept.prefixes),
        held_classes={key: len(instance.demand) + n for n, key in enumerate(held)},
        capacity_bytes=(*(np.inf for _ in hbm), *(tier.capacity_bytes for tier in kept.tiers)),
        bytes_per_s=(
            *(np.inf for _ in hbm),
            *(kept.highest_utilisation * tier.reached_bytes_per_s for tier in kept.tiers),
        ),
        usd_per_device=(*(0.0 for _ in hbm), *(tier.usd_per_hour * hours for tier in kept.tiers)),
        devices_per_host=(*(0 for _ in hbm), *(kept.devices_per_host[tier.name] for tier in kept.tiers)),
        gpus_per_host=tuple(pool.accelerator.gpus_per_host for pool in instance.pools),
        whole=not kept.split,
    )


def _options(instance: Instance, kept: Cache, served: set[tuple[int, int]]) -> list[CacheOption]:
    options = []
    for i, prefix in enumerate(kept.prefixes):
        each, ceiling = prefix_bytes(instance, prefix), prefix.hit_ceiling
        # a prefix that never changes is never written again: when it was written is all the same
        policies = kept.policies if ceiling < 1.0 else kept.policies[:1]
        for t in (t for t in range(len(kept.tier_names)) if (i, t) in served):
            for policy in policies:
                hits = prefix.uses_per_s * cache.hit_share(policy, ceiling)
                writes = prefix.uses_per_s * cache.write_share(policy, ceiling)
                held = prefix.live * each * cache.held_share(policy, ceiling)
                options.append(CacheOption(i, t, policy, held, hits, each * (hits + writes)))
    return options


def class_sets_with_held(
    instance: Instance, tables: CacheTables, sets: Iterable[tuple[int, ...]], phase: Phase
) -> list[tuple[int, ...]]:
    """Class sets that get candidates, from those of the case's own classes.

    In decode all requests of a class are alike, wherever their prefix came from. In prefill a set takes some kinds of
    prefix, each from its k fastest tiers, with and without the requests that find nothing: a slow tier binds only who
    waits for it, and a long rest to compute only who computes it. All such sets of few kinds are listed, so that
    nothing that a plan could run is left out; of many kinds each alone, and all from equally many tiers.
    """
    found: list[tuple[int, ...]] = []
    for own in sets:
        kinds = [i for i, d in enumerate(tables.prefix_class) if d in own]
        tiers = [_by_fetch_time(instance, tables, i) for i in kinds]
        if phase == "decode":
            found.append((*own, *(d for classes in tiers for d in classes[-1])))
            continue
        for chosen in _choices(tiers):
            held = tuple(d for classes in chosen for d in classes)
            found.append((*own, *held))
            if held:
                found.append(held)
    return list(dict.fromkeys(found))


def _by_fetch_time(instance: Instance, tables: CacheTables, prefix: int) -> list[tuple[int, ...]]:
    """Classes of requests that wait for one kind of prefix: none, and from the fastest tier on to all of them."""
    classes = served_classes(instance)
    positions = sorted(
        (d for (i, _), d in tables.held_classes.items() if i == prefix), key=lambda d: classes[d].prefix_fetch_s
    )
    return [tuple(sorted(positions[:k])) for k in range(len(positions) + 1)]


def _choices(tiers: Sequence[list[tuple[int, ...]]]) -> list[tuple[tuple[int, ...], ...]]:
    """For each kind of prefix how many of its tiers are waited for, all combinations where they are few."""
    if math.prod(len(classes) for classes in tiers) <= _MOST_CHOICES:
        return list(itertools.product(*tiers))
    alone = [
        tuple(classes if j == i else () for j in range(len(tiers))) for i, each in enumerate(tiers) for classes in each
    ]
    deepest = max(len(classes) for classes in tiers)
    return alone + [tuple(classes[min(k, len(classes) - 1)] for classes in tiers) for k in range(deepest)]


def spare_hbm_bytes(
    instance: Instance, machine: Machine, phase: Phase, classes: Iterable[DemandClass], capacity: Capacity
) -> NDArray[np.float64]:
    """Prefix bytes that the HBM of one replica has room for beside weights and the prompts in work [layout].

    Only replicas that do nothing but prefill: elsewhere the batch takes what there is. A rank keeps a prefix once,
    and what its GPUs hold several times (a latent under tensor parallelism) counts several times.
    """
    if phase != "prefill" or instance.cache is None or not instance.cache.hbm:
        return np.zeros(len(machine.layouts))
    layouts = machine.layouts
    longest = float(max(demand.input_tokens for demand in classes))
    ways = layouts.tensor_parallel
    used = memory.kv_bytes_per_gpu(machine.model, capacity.prefill_requests, longest, ways)
    copies = np.max(
        [
            np.asarray(memory.kv_bytes_of_sequence(machine.model, prefix.tokens, ways)) / prefix_bytes(instance, prefix)
            for prefix in instance.cache.prefixes
        ],
        axis=0,
    )
    free = np.maximum(room_bytes(machine) - used, 0.0)
    return np.asarray(free * layouts.data_parallel * layouts.pipeline_parallel / copies)
