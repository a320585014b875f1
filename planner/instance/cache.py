"""Prefixes and tiers of a case, resolved, and the class of requests that find their prefix kept in a tier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem
from planner.instance.case import DemandClass
from planner.instance.memory_tiers import load_memory_tiers
from planner.instance.prefixes import HBM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.instance.case import CaseSpec
    from planner.instance.memory_tiers import MemoryTier
    from planner.instance.prefixes import PrefixSpec, WritePolicy

_SLACK = 1e-9


class HeldClass(DemandClass):
    """Requests of a class whose prefix is kept: only what follows it is computed, once it has been fetched."""

    prefix: str
    tier: str
    fetch_s: float

    @property
    def prefix_fetch_s(self) -> float:
        """Time [s] until the prefix has arrived."""
        return self.fetch_s


def held_name(prefix: str, tier: str) -> str:
    """Name of the requests that find their prefix in a tier."""
    return f"{prefix} in {tier}"


def held_class(demand: DemandClass, prefix: PrefixSpec, tier: str, rate: float, fetch_s: float) -> HeldClass:
    """Return the requests of ``demand`` that find ``prefix`` in ``tier``, ``rate`` of them a second."""
    kept = demand.model_dump() | {
        "name": held_name(prefix.name, tier),
        "requests_per_s": rate,
        "cached_share": prefix.tokens / demand.input_tokens,
    }
    return HeldClass(**kept, prefix=prefix.name, tier=tier, fetch_s=fetch_s)


@dataclass(frozen=True)
class Cache:
    """What may be kept where.

    Attributes
    ----------
    prefixes
        Kinds of prefixes.
    hbm
        Whether spare HBM of prefill replicas may hold them.
    tiers
        Devices of hosts that may hold them.
    devices_per_host
        Places in a host by tier.
    policies
        Write policies to choose from.
    split
        Whether a kind may be spread over tiers.
    highest_utilisation
        Of a device's bandwidth.
    """

    prefixes: tuple[PrefixSpec, ...]
    hbm: bool
    tiers: tuple[MemoryTier, ...]
    devices_per_host: Mapping[str, int]
    policies: tuple[WritePolicy, ...]
    split: bool
    highest_utilisation: float

    @property
    def tier_names(self) -> tuple[str, ...]:
        """Tiers, HBM first where it may hold prefixes."""
        return (*((HBM,) if self.hbm else ()), *(tier.name for tier in self.tiers))


def resolve_cache(case: CaseSpec, file: str) -> Cache | None:
    """Resolve the tables ``[cache]`` and ``[[prefixes]]``; None where a case has neither.

    Raises
    ------
    InstanceError
        With every problem found.
    """
    spec = case.cache
    if spec is None and not case.prefixes:
        return None
    problems = _prefix_problems(case, file)
    if spec is None:
        problems.append(Problem(file, "cache", "is missing", "say in [cache] where prefixes may be kept"))
        raise InstanceError(problems)
    if not case.prefixes:
        problems.append(Problem(file, "prefixes", "there are none", "add [[prefixes]] or remove [cache]"))
    try:
        tiers = load_memory_tiers(spec.tiers).tiers
    except InstanceError as error:
        raise InstanceError([*problems, *error.problems]) from error
    known = {HBM, *(tier.name for tier in tiers)}
    for key, names in (("allowed", spec.allowed or ()), ("devices_per_host", spec.devices_per_host)):
        problems += [
            Problem(file, f"cache.{key}", f"no tier {name} in {spec.tiers}", f"use {', '.join(sorted(known))}")
            for name in names
            if name not in known or (key == "devices_per_host" and name == HBM)
        ]
    if problems:
        raise InstanceError(problems)
    wanted = known if spec.allowed is None else set(spec.allowed)
    places = {tier.name: spec.devices_per_host.get(tier.name, 1) for tier in tiers}
    return Cache(
        prefixes=case.prefixes,
        hbm=HBM in wanted,
        tiers=tuple(tier for tier in tiers if tier.name in wanted and places[tier.name]),
        devices_per_host=places,
        policies=spec.policies,
        split=spec.split,
        highest_utilisation=spec.highest_utilisation,
    )


def _prefix_problems(case: CaseSpec, file: str) -> list[Problem]:
    problems: list[Problem] = []
    if case.lifecycle is not None:
        problems.append(Problem(file, "prefixes", "the model is open", "name a model, or remove the prefixes"))
    demands = {demand.name: demand for demand in case.demand}
    for prefix in case.prefixes:
        key, demand = f"prefixes.{prefix.name}", demands.get(prefix.demand)
        if demand is None:
            remedy = f"use one of: {', '.join(demands)}"
            problems.append(Problem(file, f"{key}.demand", f"no class {prefix.demand}", remedy))
        elif prefix.tokens >= demand.input_tokens:
            message = f"{prefix.tokens} tokens, but requests have {demand.input_tokens}"
            problems.append(Problem(file, f"{key}.tokens", message, "leave at least one token after the prefix"))
    for demand in case.demand:
        own = [prefix for prefix in case.prefixes if prefix.demand == demand.name]
        used = sum(prefix.uses_per_s for prefix in own)
        if own and demand.cached_share:
            message = "the share follows from the prefixes that are kept"
            problems.append(Problem(file, f"demand.{demand.name}.cached_share", message, "remove it"))
        if used > demand.requests_per_s * (1 + _SLACK):
            message = f"prefixes are used {used:g} times a second, more than there are requests of {demand.name}"
            problems.append(Problem(file, "prefixes", message, "lower live, or raise reuse_interval_s"))
    return problems
