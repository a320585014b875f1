"""Rows of the fleet program that cannot hold together, in the words of the case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.costs.tables import CostTables
    from planner.instance.instance import Instance

_ROW = re.compile(r"(\w+)(?:\[(.*?)\])?")
_OTHER = {
    "cost_cap": "the cost of the plan before",
    "gpu_cap": "the GPUs of the plan before",
    "gpus_needed": "the GPUs that any plan was counted to need",
    "server_exists": "a deployment for each class, however seldom it asks",
    "one_way": "each prefix is kept or computed again",
    "devices_hold": "the bytes that the cache tiers hold",
    "devices_move": "the bytes a second that the cache tiers move",
    "devices_housed": "the places for devices of the cache tiers",
    "hbm_holds": "the HBM that is spare for prefixes",
}
"""Rows that say the same of every index."""


def in_words(rows: Iterable[str], instance: Instance, tables: CostTables) -> list[str]:
    """Say what a set of rows means, one text for all rows of a kind, in the order of their first row.

    Rows of an unknown kind keep their names.
    """
    texts: dict[str, str] = {}
    carrying: list[int] = []
    for row in rows:
        found = _ROW.match(row)
        kind, index = (found[1], found[2] or "") if found else (row, "")
        if kind == "demand_met":
            phase, number = index.split(",")
            demand = instance.demand[int(number)]
            texts[row] = f"{phase} of {demand.name}, {demand.requests_per_s:g} requests/s"
        elif kind == "capacity":
            carrying.append(int(index))
            texts[kind] = _carried(carrying, instance, tables)
        elif kind == "packing":
            texts[f"packing {index}"] = _domains(int(index), instance)
        else:
            texts[kind if kind in _OTHER else row] = _OTHER.get(kind, row)
    return list(texts.values())


def _carried(candidates: list[int], instance: Instance, tables: CostTables) -> str:
    kinds = "1 kind" if len(candidates) == 1 else f"{len(candidates)} kinds"
    pools = sorted({instance.pools[tables.candidates[index].pool].name for index in candidates})
    return f"what {kinds} of deployment in {', '.join(pools)} can carry inside the limits"


def _domains(number: int, instance: Instance) -> str:
    pool = instance.pools[number]
    count = "" if pool.domains is None else f"{pool.domains} "
    word = "domain" if pool.domains == 1 else "domains"
    return f"the cutting of the {count}{word} of {pool.gpus_per_domain} GPUs in {pool.name}"
