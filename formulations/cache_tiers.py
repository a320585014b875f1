"""In which tier each kind of prefix is kept, and when it is written; or whether it is computed each time.

min   sum_t usd_t devices_t + usd_per_prefill_s sum_i seconds_i (1 - hits)
s.t.  sum_o kept_io + computed_i = 1;   devices hold what is kept and move what is read and written;
      hosts have places for the devices; what is kept in HBM fits what serving leaves.

On its own, with hosts, spare HBM and the price of a second of prefill given. Inside ``fleet`` the same blocks meet the
replicas: hosts and spare HBM are those of the replicas that prefill, and computing costs the replicas it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks.cache import Keeping, add_devices, add_keeping, add_spare_hbm, read_keeping
from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from planner.costs.cache_tables import CacheTables


@dataclass(frozen=True)
class CacheProblem:
    """Prefixes, tiers and what computing a prefix costs.

    Parameters
    ----------
    cache
        Options and tiers.
    hosts
        Hosts that devices stand in; a fraction for part of one.
    spare_hbm_bytes
        Bytes of HBM that serving leaves.
    prefill_s
        [prefix] seconds of prefill capacity that one computation takes.
    usd_per_prefill_s
        Price of a second of prefill capacity, such as its shadow price in ``fleet``.
    horizon_s
        Seconds that the dollars of the devices cover.

    Raises
    ------
    InstanceError
        Negative or missing figures, all at once.
    """

    cache: CacheTables
    hosts: float
    spare_hbm_bytes: float
    prefill_s: tuple[float, ...]
    usd_per_prefill_s: float
    horizon_s: float = 3600.0

    def __post_init__(self) -> None:
        amounts = ("hosts", "spare_hbm_bytes", "usd_per_prefill_s", "horizon_s")
        problems = [
            Problem("cache tiers", key, "is negative", "give at least 0") for key in amounts if getattr(self, key) < 0
        ]
        if len(self.prefill_s) != len(self.cache.prefix_names) or min(self.prefill_s, default=0.0) < 0:
            problems.append(Problem("cache tiers", "prefill_s", "is not one time a prefix", "give seconds of each"))
        if problems:
            raise InstanceError(problems)

    def usd_if_computed(self, prefix: int) -> float:
        """Dollars over the horizon where a kind of prefix is computed at every use."""
        uses = self.cache.uses_per_s[prefix] * self.horizon_s
        return uses * self.prefill_s[prefix] * self.usd_per_prefill_s


@dataclass(frozen=True)
class CacheChoice:
    """What a solution says: (prefix, tier, policy) -> share kept; tier -> devices; dollars over the horizon."""

    kept: Keeping
    devices: dict[int, int]
    cost_usd: float


@dataclass(frozen=True)
class CacheTiers:
    """The program behind the interface of all formulations. ``extract`` returns a ``CacheChoice``."""

    name: str = "cache_tiers"
    decides: str = "the tier that keeps each kind of prefix, or none, and when it is written"

    def supports(self, problem: CacheProblem) -> str | None:
        """Return why there is nothing to choose, or ``None``."""
        return None if problem.cache.options else "no tier may hold prefixes"

    def build(self, problem: CacheProblem) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        cache, model = problem.cache, pyo.ConcreteModel("cache_tiers")
        add_keeping(model, cache)
        add_devices(model, cache, problem.hosts)
        add_spare_hbm(model, cache, problem.spare_hbm_bytes)
        computing = [problem.usd_if_computed(i) for i in range(len(cache.prefix_names))]
        saved = sum(
            computing[entry.prefix] * entry.hits_per_s / cache.uses_per_s[entry.prefix] * model.kept[o]
            for o, entry in enumerate(cache.options)
        )
        model.cost_usd = pyo.Expression(expr=model.device_usd + sum(computing) - saved)
        model.least = pyo.Objective(expr=model.cost_usd, sense=pyo.minimize)

        def extract() -> CacheChoice:
            return CacheChoice(*read_keeping(model, cache), float(pyo.value(model.cost_usd)))

        return Built(model, extract)
