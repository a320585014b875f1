"""Sentences about prefixes that are kept: each in one way or not at all, inside memory and bandwidth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from planner.instance.prefixes import HBM, WritePolicy

if TYPE_CHECKING:
    from planner.costs.cache_tables import CacheTables

Keeping = dict[tuple[int, int, WritePolicy], float]
"""(prefix, tier, write policy) -> share of the kind that is kept so."""

_PRESENT = 1e-7
_WHOLE = 1e-6  # devices needed this little above a whole number are rounding of the solver


def add_keeping(model: Any, cache: CacheTables) -> None:  # noqa: ANN401 - a Pyomo model
    """``kept[o]`` says that option o is taken: sum over the options of a prefix + computed[i] = 1.

    Binary where a kind is kept in one way only, else a share of its prefixes.
    """
    options = range(len(cache.options))
    model.kept = pyo.Var(options, domain=pyo.Binary if cache.whole else pyo.PercentFraction)
    model.computed = pyo.Var(range(len(cache.prefix_names)), domain=pyo.PercentFraction)

    def one_way(_: Any, i: int) -> Any:  # noqa: ANN401
        own = sum(model.kept[o] for o in options if cache.options[o].prefix == i)
        return own + model.computed[i] == 1

    model.one_way = pyo.Constraint(range(len(cache.prefix_names)), rule=one_way)


def add_devices(model: Any, cache: CacheTables, hosts: Any) -> None:  # noqa: ANN401 - Pyomo
    """``devices[t]`` integer: they hold what is kept and move what is read and written, and hosts have places for them.

    sum_o held_o kept_o / capacity_t <= devices_t;  sum_o moved_o kept_o / bandwidth_t <= devices_t;
    devices_t <= places_t hosts. In devices rather than bytes, because the solver's tolerances are absolute.
    """
    tiers = [t for t, name in enumerate(cache.tier_names) if name != HBM]
    model.devices = pyo.Var(tiers, domain=pyo.NonNegativeIntegers, bounds=lambda _, t: (0, cache.most_devices(t)))

    def hold(_: Any, t: int) -> Any:  # noqa: ANN401
        held = (
            (o, entry.held_bytes / cache.capacity_bytes[t]) for o, entry in enumerate(cache.options) if entry.tier == t
        )
        return sum(need * model.kept[o] for o, need in held) <= model.devices[t]

    def move(_: Any, t: int) -> Any:  # noqa: ANN401
        moved = (
            (o, entry.moved_bytes_per_s / cache.bytes_per_s[t])
            for o, entry in enumerate(cache.options)
            if entry.tier == t
        )
        return sum(need * model.kept[o] for o, need in moved) <= model.devices[t]

    def house(_: Any, t: int) -> Any:  # noqa: ANN401
        return model.devices[t] <= cache.devices_per_host[t] * hosts

    model.devices_hold = pyo.Constraint(tiers, rule=hold)
    model.devices_move = pyo.Constraint(tiers, rule=move)
    model.devices_housed = pyo.Constraint(tiers, rule=house)
    model.device_usd = pyo.Expression(expr=sum(cache.usd_per_device[t] * model.devices[t] for t in tiers))


def add_spare_hbm(model: Any, cache: CacheTables, spare_bytes: Any) -> None:  # noqa: ANN401 - Pyomo
    """Keep in HBM no more than replicas have to spare: sum_o held_o kept_o <= spare, over the sum of held_o."""
    options = [(o, entry.held_bytes) for o, entry in enumerate(cache.options) if cache.tier_names[entry.tier] == HBM]
    if options:
        unit = sum(held for _, held in options)
        held_units = sum(held / unit * model.kept[o] for o, held in options)
        model.hbm_holds = pyo.Constraint(expr=held_units <= spare_bytes / unit)


def hits_of_class(model: Any, cache: CacheTables, position: int, rate: float) -> Any:  # noqa: ANN401 - Pyomo
    """Write the requests of a held class over its largest rate: sum over its options of hits_o kept_o / rate."""
    i, t = next(key for key, d in cache.held_classes.items() if d == position)
    own = ((o, entry) for o, entry in enumerate(cache.options) if (entry.prefix, entry.tier) == (i, t))
    return sum(entry.hits_per_s / rate * model.kept[o] for o, entry in own)


def misses_of_class(model: Any, cache: CacheTables, position: int, rate: float) -> Any:  # noqa: ANN401 - Pyomo
    """Write the share of a class of the case whose requests find nothing: 1 - sum of hits_o kept_o / rate."""
    own = ((o, entry) for o, entry in enumerate(cache.options) if cache.prefix_class[entry.prefix] == position)
    return 1 - sum(entry.hits_per_s / rate * model.kept[o] for o, entry in own)


def read_keeping(model: Any, cache: CacheTables) -> tuple[Keeping, dict[int, int]]:  # noqa: ANN401 - Pyomo
    """Read what is kept where, and the devices, from a model with the blocks of this file.

    Drops, from the values held too, devices that a search which stopped early left without use.
    """
    for var in model.kept.values():
        share = float(pyo.value(var))
        var.set_value(float(share > 0.5) if cache.whole else min(share, 1.0) if share > _PRESENT else 0.0)
    for t, var in model.devices.items():
        own = [(o, entry) for o, entry in enumerate(cache.options) if entry.tier == t]
        held = sum(entry.held_bytes * pyo.value(model.kept[o]) for o, entry in own) / cache.capacity_bytes[t]
        moved = sum(entry.moved_bytes_per_s * pyo.value(model.kept[o]) for o, entry in own) / cache.bytes_per_s[t]
        var.set_value(min(round(pyo.value(var)), math.ceil(max(held, moved) - _WHOLE)))
    kept = {
        (entry.prefix, entry.tier, entry.policy): float(pyo.value(model.kept[o]))
        for o, entry in enumerate(cache.options)
        if pyo.value(model.kept[o]) > _PRESENT
    }
    return kept, {t: int(pyo.value(var)) for t, var in model.devices.items() if pyo.value(var) > 0.5}
