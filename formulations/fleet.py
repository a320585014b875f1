"""The fleet program: how many replicas of which deployment serve which demand, at least rental cost.

min   sum_h price_h * paid GPUs_h
s.t.  each class is served in each phase; replicas carry what they take; deployments fit the domains of their pool.
Paid GPUs are those in use, or whole domains where idle GPUs are paid. Symbols: FORMULATIONS, section fleet.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks.cache import Keeping, add_devices, add_keeping, add_spare_hbm, read_keeping
from formulations.blocks.packing import (
    PackingGraph,
    Patterns,
    add_domains_used,
    add_fragments_covered,
    add_packing,
    flow_of,
    packing_graph,
    patterns_of,
    without_surplus,
)
from formulations.blocks.serving import (
    SERVED_BY,
    add_capacity,
    add_demand_met,
    add_kinds,
    add_replicas,
    add_shares,
    replicas_for_class,
    used_gpus,
)
from planner.instance.prefixes import HBM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.costs.cache_tables import CacheTables
    from planner.costs.tables import CostTables

_PRESENT = 1e-7
_WHOLE = 1e-6  # a load this little above a whole number of replicas is rounding of the solver


@dataclass(frozen=True)
class FleetChoice:
    """What a solution of the fleet program says, in plain numbers.

    Attributes
    ----------
    replicas
        candidate -> number of replicas, above 0.
    requests_per_s
        (candidate, class) -> requests/s.
    patterns
        pool -> fragment sizes [GPUs] of a domain that holds fragments -> number of such domains.
    cost_usd
        The program's own cost of the choice.
    kept, devices
        Share of each kind of prefix by tier and write policy; tier -> devices.
    """

    replicas: dict[int, int]
    requests_per_s: dict[tuple[int, int], float]
    patterns: dict[int, Patterns]
    cost_usd: float
    kept: Keeping = field(default_factory=dict)
    devices: dict[int, int] = field(default_factory=dict)


class FleetProgram:
    """The Pyomo model with what is needed to read a solution back.

    Parameters
    ----------
    tables
        What may be chosen.
    block
        A block of a larger program to write into; absent: a model of its own, which minimises cost.
    chosen
        Binary of the larger program that says whether this fleet is the one.
    """

    def __init__(self, tables: CostTables, block: Any = None, chosen: Any = 1) -> None:  # noqa: ANN401 - Pyomo
        self.tables = tables
        self.graphs: dict[int, PackingGraph] = {}
        self.model: Any = pyo.ConcreteModel("fleet") if block is None else block
        add_replicas(self.model, tables)
        add_shares(self.model, tables)
        if tables.cache is not None:
            self._add_cache(tables.cache)
        add_demand_met(self.model, tables, chosen)
        add_capacity(self.model, tables)
        self._add_domains()
        self.model.used_gpus = pyo.Expression(expr=sum(used_gpus(self.model, tables, h) for h in self._pools))
        self.model.cost_usd = pyo.Expression(expr=sum(self._pool_cost(h) for h in self._pools) + self._device_usd)
        if block is None:
            self.aim_at_cost()

    @property
    def _pools(self) -> range:
        return range(len(self.tables.pool_names))

    def _add_cache(self, cache: CacheTables) -> None:
        """Prefixes are kept beside the GPUs that prefill: in their hosts and in their spare HBM."""
        tables, model = self.tables, self.model
        prefilling = {h: used_gpus(model, tables, h, SERVED_BY["prefill"]) for h in self._pools}
        add_keeping(model, cache)
        add_devices(model, cache, sum(gpus / cache.gpus_per_host[h] for h, gpus in prefilling.items()))
        spare = ((c, entry.spare_hbm_bytes) for c, entry in enumerate(tables.candidates) if entry.spare_hbm_bytes)
        add_spare_hbm(model, cache, sum(room * model.replicas[c] for c, room in spare))

    @property
    def _device_usd(self) -> Any:  # noqa: ANN401 - a Pyomo expression
        return 0.0 if self.tables.cache is None else self.model.device_usd

    def _add_domains(self) -> None:
        """Pools whose domains matter get an arc flow, ``model.packing[pool]``; domains used <= domains there are."""
        tables, model = self.tables, self.model
        packed = [h for h in self._pools if tables.domains[h] is not None or tables.pays_idle_gpus[h]]
        model.packing = pyo.Block(packed)
        for pool in packed:
            replicas_of: dict[int, Any] = {}
            for c, entry in enumerate(tables.candidates):
                if entry.pool == pool and entry.fragment_gpus:
                    replicas_of[entry.fragment_gpus] = replicas_of.get(entry.fragment_gpus, 0) + model.replicas[c]
            self.graphs[pool] = packing_graph(tables.gpus_per_domain[pool], replicas_of)
            block = model.packing[pool]
            add_packing(block, self.graphs[pool])
            add_fragments_covered(block, self.graphs[pool], replicas_of)
            add_domains_used(
                block,
                whole=self._whole_domains(pool),
                gpus=used_gpus(model, tables, pool),
                gpus_per_domain=tables.gpus_per_domain[pool],
                domains=tables.domains[pool],
            )

    def _whole_domains(self, pool: int) -> Any:  # noqa: ANN401 - a Pyomo expression
        return sum(
            entry.whole_domains * self.model.replicas[c]
            for c, entry in enumerate(self.tables.candidates)
            if entry.pool == pool and entry.whole_domains
        )

    def _pool_cost(self, pool: int) -> Any:  # noqa: ANN401 - a Pyomo expression
        tables = self.tables
        if tables.pays_idle_gpus[pool]:
            paid = tables.gpus_per_domain[pool] * self.model.packing[pool].domains_used
        else:
            paid = used_gpus(self.model, tables, pool)
        surcharge = tables.decode_surcharge * used_gpus(self.model, tables, pool, SERVED_BY["decode"])
        return tables.usd_per_gpu[pool] * (paid + surcharge)

    def aim_at_cost(self) -> None:
        """Minimise the rental cost: the aim that a new program has."""
        self._aim(self.model.cost_usd)

    def aim_at_gpus(self) -> None:
        """Minimise the GPUs in use."""
        self._aim(self.model.used_gpus)

    def price_used_gpus(self) -> None:
        """Turn to the smooth aim that sensitivities use: every GPU in use is paid, idle ones are not."""
        used = sum(self.tables.usd_per_gpu[h] * used_gpus(self.model, self.tables, h) for h in self._pools)
        self._aim(used + self._device_usd)

    def prefer_fewest_gpus(self, cost_usd: float) -> None:
        """Turn to the second aim: among plans that cost at most ``cost_usd``, use the fewest GPUs."""
        self.model.cost_cap = pyo.Constraint(expr=self.model.cost_usd <= cost_usd)
        self.aim_at_gpus()

    def prefer_fewest_kinds(self, gpus: int) -> None:
        """Turn to the third aim: among plans that also use at most ``gpus``, run the fewest different deployments.

        kind[c] binary; replicas_c <= most_c kind_c; minimise sum_c kind_c.
        """
        model, tables = self.model, self.tables
        model.gpu_cap = pyo.Constraint(expr=model.used_gpus <= gpus)
        add_kinds(model, tables)
        self._aim(sum(model.kind.values()))

    def require_gpus(self, proven: float) -> None:
        """Cut off what uses fewer GPUs than ``proven`` [GPUs], a bound of ``aim_at_gpus``.

        In a single pool domains follow: used >= ceil(GPUs / D). The relaxation would rent a fraction of a domain. A
        count that its time limit cut before any bound proves nothing.
        """
        if not math.isfinite(proven):
            return
        gpus = math.ceil(proven - _WHOLE)
        self.model.del_component("gpus_needed")
        self.model.gpus_needed = pyo.Constraint(expr=self.model.used_gpus >= gpus)
        if len(self._pools) == 1 and 0 in self.graphs:
            self.model.packing[0].domains_used.setlb(math.ceil(gpus / self.tables.gpus_per_domain[0]))

    def gpus_of(self, choice: FleetChoice) -> int:
        """Count the GPUs in use of a choice."""
        return sum(self.tables.candidates[c].gpus * count for c, count in choice.replicas.items())

    def domains_used(self, pool: int) -> int:
        """Domains of a packed pool in use, in the values held."""
        return int(round(pyo.value(self.model.packing[pool].domains_used)))  # noqa: RUF046 - Pyomo has no types

    @property
    def started(self) -> bool:
        """Whether a first solve has values to start from."""
        return any(variable.value is not None for variable in self.model.replicas.values())

    def start_from(self, replicas: Mapping[int, int]) -> None:
        """Give a new program replicas to start from; candidates not named run none."""
        for c, variable in self.model.replicas.items():
            variable.set_value(replicas.get(c, 0))

    def held_values(self) -> Any:  # noqa: ANN401 - a Pyomo ComponentMap
        """Return the values that the variables hold now, to start another solve from."""
        variables = self.model.component_data_objects(pyo.Var)
        return pyo.ComponentMap((var, var.value) for var in variables if var.value is not None)

    def _aim(self, expression: Any) -> None:  # noqa: ANN401 - a Pyomo expression
        if self.model.component("least") is not None:
            self.model.del_component("least")
        self.model.least = pyo.Objective(expr=expression, sense=pyo.minimize)

    def extract(self) -> FleetChoice:
        """Read the solution that the Pyomo variables hold, and drop from both what it holds in vain.

        A search that stops early may keep replicas without requests and domains without replicas.
        """
        model, tables = self.model, self.tables
        shares = {key: float(pyo.value(var)) for key, var in model.share.items() if pyo.value(var) > _PRESENT}
        load = dict.fromkeys(model.replicas, 0.0)
        for (c, d), share in shares.items():
            load[c] += share * replicas_for_class(tables, c, d)
        for c, var in model.replicas.items():
            if self._lends_hbm(c):
                continue
            needed = max(math.ceil(load[c] - _WHOLE), 1 if load[c] else 0)
            var.set_value(min(round(pyo.value(var)), needed))
        replicas = {c: round(pyo.value(var)) for c, var in model.replicas.items() if pyo.value(var) > 0.5}
        patterns = {pool: self._settle_domains(pool, replicas) for pool in self.graphs}
        rates = tables.demand_requests_per_s
        kept = {(c, d): share * float(rates[d]) for (c, d), share in shares.items() if c in replicas}
        held, devices = ({}, {}) if tables.cache is None else read_keeping(model, tables.cache)
        return FleetChoice(replicas, kept, patterns, float(pyo.value(model.cost_usd)), held, devices)

    def _lends_hbm(self, candidate: int) -> bool:
        """Whether prefixes are kept in HBM and a candidate's replicas have room for some."""
        cache, kept = self.tables.cache, self.model.component("kept")
        if cache is None or not self.tables.candidates[candidate].spare_hbm_bytes:
            return False
        in_hbm = (o for o, entry in enumerate(cache.options) if cache.tier_names[entry.tier] == HBM)
        return any(pyo.value(kept[o]) > _PRESENT for o in in_hbm)

    def _settle_domains(self, pool: int, replicas: Mapping[int, int]) -> Patterns:
        block, graph = self.model.packing[pool], self.graphs[pool]
        items = {arc: round(pyo.value(var)) for arc, var in block.item.items()}
        idle = {arc: round(pyo.value(var)) for arc, var in block.idle.items()}
        needed: Counter[int] = Counter()
        for c, count in replicas.items():
            if self.tables.candidates[c].pool == pool:
                needed[self.tables.candidates[c].fragment_gpus] += count
        patterns = without_surplus(patterns_of(graph, items, idle), needed)
        items, idle = flow_of(graph, patterns)
        block.item.set_values(items)
        block.idle.set_values(idle)
        whole = sum(
            count * self.tables.candidates[c].whole_domains
            for c, count in replicas.items()
            if self.tables.candidates[c].pool == pool
        )
        block.domains_used.set_value(patterns.total() + whole)
        return patterns


def build(tables: CostTables) -> FleetProgram:
    """Write the program for one set of tables."""
    return FleetProgram(tables)


@dataclass(frozen=True)
class Fleet:
    """The fleet program behind the interface of all formulations. ``extract`` returns a ``FleetChoice``."""

    name: str = "fleet"
    decides: str = "replicas of each deployment, the requests each takes, and how domains are cut"

    def supports(self, problem: CostTables) -> str | None:
        """Return why the tables leave nothing to choose, or ``None``."""
        served = {(d, phase) for entry in problem.candidates for d in entry.classes for phase in _phases(entry.phase)}
        for d, rate in enumerate(problem.demand_requests_per_s):
            missing = [phase for phase in SERVED_BY if rate > 0 and (d, phase) not in served]
            if missing:
                return f"no candidate does the {missing[0]} of {problem.class_names[d]}"
        return None

    def build(self, problem: CostTables) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        program = build(problem)
        return Built(program.model, program.extract)


def _phases(phase: str) -> list[str]:
    return [work for work, servers in SERVED_BY.items() if phase in servers]
