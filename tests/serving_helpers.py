"""Small serving instances, tables and plans for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linprog

from planner.costs.layout import Layouts
from planner.costs.step import Machine
from planner.costs.tables import Candidate, CostTables, build_tables
from planner.instance.instance import Instance
from planner.instance.loading_case import load_case
from planner.plan import Deployment, DomainContent, DomainUse, Plan
from planner.studies.imbalance import ImbalanceBook

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.instance.case import Phase
    from planner.instance.instance import Pool

TINY = "tiny_mixtral_island"


def tiny(**changes: object) -> Instance:
    """Read the tiny case; ``__`` in a keyword stands for a dot of ``--set``."""
    instance = load_case(TINY, {key.replace("__", "."): value for key, value in changes.items()})
    assert isinstance(instance, Instance)
    return instance


def placed_tables(instance: Instance, strategy: str = "round_robin") -> tuple[CostTables, ImbalanceBook]:
    """Tables built from placements that one strategy achieved for every layout."""
    book = ImbalanceBook(instance, strategy=strategy)

    def achieved(ranks: int, slots: int) -> np.ndarray[Any, Any]:
        book.place((ranks, slots))
        return book.current(ranks, slots)

    return build_tables(instance, achieved), book


def one_layout(pool: Pool, tensor: int, data: int, pipeline: int, experts: int, slots: int) -> Layouts:
    """Make a table of one layout."""
    columns = [np.array([value], dtype=np.int64) for value in (tensor, data, pipeline, experts, slots)]
    return Layouts(*columns, pool.gpus_per_domain)


def machine(instance: Instance, layouts: Layouts, imbalance: np.ndarray[Any, Any] | None = None) -> Machine:
    """Make a machine of ``layouts`` on the first pool; balanced unless ``imbalance`` [layout, moe_layer] is given."""
    if imbalance is None:
        imbalance = np.ones((len(layouts), instance.model.moe_layers))
    return Machine(
        instance.model,
        instance.pools[0].accelerator,
        instance.calibration,
        instance.overlap_share,
        layouts,
        imbalance,
    )


def deployment(tables: CostTables, candidate: int, rates: Mapping[int, float], replicas: int = 1) -> Deployment:
    """Make a deployment of one candidate that takes ``rates`` [class position -> requests/s]."""
    entry = tables.candidates[candidate]
    return Deployment(
        name="lone",
        pool=tables.pool_names[entry.pool],
        phase=entry.phase,
        replicas=replicas,
        tensor_parallel=entry.tensor_parallel,
        data_parallel=entry.data_parallel,
        pipeline_parallel=entry.pipeline_parallel,
        expert_parallel=entry.expert_parallel,
        slots_per_gpu=entry.slots_per_gpu,
        decode_batch=entry.batch,
        prefill_requests=entry.prefill_requests,
        requests_per_s={tables.class_names[d]: rate for d, rate in rates.items()},
    )


def lone_plan(
    instance: Instance, tables: CostTables, book: ImbalanceBook, candidate: int, rates: Mapping[int, float]
) -> Plan:
    """Make a plan of one replica of one candidate, with its domains and its map."""
    entry = tables.candidates[candidate]
    size = tables.gpus_per_domain[entry.pool]
    pieces = [(entry.whole_domains, size), (1, entry.fragment_gpus)]
    domains = tuple(
        DomainUse(
            pool=tables.pool_names[entry.pool], domains=count, holds=(DomainContent(deployment="lone", gpus=gpus),)
        )
        for count, gpus in pieces
        if count and gpus
    )
    keys = {(entry.expert_parallel, entry.slots_per_gpu)} if entry.slots_per_gpu else set()
    return Plan(
        case=instance.name,
        deployments=(deployment(tables, candidate, rates),),
        domains=domains,
        expert_maps=book.expert_maps(keys),
    )


def candidate(
    gpus: int, *, phase: Phase = "both", classes: Sequence[int] = (0,), pool: int = 0, domain: int = 8
) -> Candidate:
    """Make a candidate of which only size, phase, classes and pool matter."""
    return Candidate(
        pool=pool,
        phase=phase,
        classes=tuple(classes),
        tensor_parallel=gpus,
        data_parallel=1,
        pipeline_parallel=1,
        expert_parallel=1,
        slots_per_gpu=0,
        batch=1,
        prefill_requests=1,
        gpus=gpus,
        whole_domains=gpus // domain,
        fragment_gpus=gpus % domain,
    )


def hand_tables(
    candidates: Sequence[Candidate],
    rates: Sequence[Sequence[float]],
    demand: Sequence[float],
    *,
    usd: Sequence[float] = (1.0,),
    pays_idle: Sequence[bool] = (False,),
    domains: Sequence[int | None] = (None,),
    domain: int = 8,
) -> CostTables:
    """Cost tables written by hand."""
    pools = len(usd)
    return CostTables(
        candidates=tuple(candidates),
        requests_per_s=np.array(rates, dtype=float).reshape(len(candidates), len(demand)),
        demand_requests_per_s=np.array(demand, dtype=float),
        usd_per_gpu=tuple(usd),
        pays_idle_gpus=tuple(pays_idle),
        gpus_per_domain=(domain,) * pools,
        domains=tuple(domains),
        class_names=tuple(f"class{d}" for d in range(len(demand))),
        pool_names=tuple(f"pool{h}" for h in range(pools)),
        raw_candidates=len(candidates),
    )


def carries(tables: CostTables, counts: Sequence[int]) -> bool:
    """Ask an LP whether these replica counts serve every class in both phases."""
    pairs = [(c, d) for c, entry in enumerate(tables.candidates) for d in entry.classes]
    capacity = np.array([[(c == row) / tables.requests_per_s[c, d] for c, d in pairs] for row in range(len(counts))])
    served = [
        [float(d == k and tables.candidates[c].phase in (phase, "both")) for c, d in pairs]
        for phase in ("prefill", "decode")
        for k in range(len(tables.demand_requests_per_s))
    ]
    wanted = np.tile(tables.demand_requests_per_s, 2)
    found = linprog(np.zeros(len(pairs)), A_ub=capacity, b_ub=np.array(counts), A_eq=np.array(served), b_eq=wanted)
    return bool(found.success)
