"""Mixed-integer programs, one a file, from blocks. They read cost tables, never files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.errors import InstanceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from formulations.base import Formulation


def _placement_exact() -> Formulation:
    from formulations.placement_exact import PlacementExact

    return PlacementExact()


def _placement_free_split() -> Formulation:
    from formulations.placement_exact import PlacementFreeSplit

    return PlacementFreeSplit()


def _placement_domain() -> Formulation:
    from formulations.placement_domain import PlacementDomain

    return PlacementDomain()


def _fleet() -> Formulation:
    from formulations.fleet import Fleet

    return Fleet()


def _lifecycle() -> Formulation:
    from formulations.lifecycle import Lifecycle

    return Lifecycle()


def _token_budget() -> Formulation:
    from formulations.token_budget import TokenBudgetCuts

    return TokenBudgetCuts()


def _group_locality() -> Formulation:
    from formulations.group_locality import GroupLocality

    return GroupLocality()


def _token_split() -> Formulation:
    from formulations.token_split import TokenSplit

    return TokenSplit()


def _replica_budget() -> Formulation:
    from formulations.replica_budget import ReplicaBudget

    return ReplicaBudget()


def _price_inference() -> Formulation:
    from formulations.price_inference import PriceInference

    return PriceInference()


def _valley_filling() -> Formulation:
    from formulations.valley_filling import ValleyFilling

    return ValleyFilling()


def _price_menu() -> Formulation:
    from formulations.price_menu import PriceMenu

    return PriceMenu()


def _dedup_crossing() -> Formulation:
    from formulations.dedup_crossing import DedupCrossing

    return DedupCrossing()


def _cache_tiers() -> Formulation:
    from formulations.cache_tiers import CacheTiers

    return CacheTiers()


# Functions, because importing a formulation imports Pyomo, which takes longer than printing the list of names.
FORMULATIONS: dict[str, Callable[[], Formulation]] = {
    "placement_exact": _placement_exact,
    "placement_free_split": _placement_free_split,
    "placement_domain": _placement_domain,
    "group_locality": _group_locality,
    "token_split": _token_split,
    "replica_budget": _replica_budget,
    "fleet": _fleet,
    "lifecycle": _lifecycle,
    "token_budget": _token_budget,
    "price_inference": _price_inference,
    "cache_tiers": _cache_tiers,
    "valley_filling": _valley_filling,
    "price_menu": _price_menu,
    "dedup_crossing": _dedup_crossing,
}


def get(name: str) -> Formulation:
    """Return a formulation by name.

    Raises
    ------
    InstanceError
        If there is none of that name.
    """
    if name not in FORMULATIONS:
        raise InstanceError.single(name, "", "no such formulation", f"use one of: {', '.join(FORMULATIONS)}")
    return FORMULATIONS[name]()
