"""What one more unit of each limit saves: the case is changed by one unit and solved again.

Three figures a limit. ``saves_usd``: change of the proven optimum, idle GPUs paid as the case says; often 0 where
racks are rented whole. ``saves_usd_of_used_gpus``: change of the relaxation in which only GPUs in use are paid; smooth,
and the one to rank limits by. ``dual_usd_of_used_gpus``: the same from the duals of the unchanged relaxation, without
solving again: sum over capacity rows of dual times the replicas that the unit spares.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from formulations import fleet
from formulations.blocks.serving import replicas_for_class
from planner.costs.tables import build_tables
from planner.errors import NoPlanFound
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus
from planner.studies.imbalance import ImbalanceBook
from planner.studies.least_cost import require_counted_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.costs.tables import Candidate, CostTables
    from planner.instance.instance import Instance, Pool
    from planner.solver.result import SolveResult


_NEGLIGIBLE = 1e-7
_MOST_SECONDS = 5.0


@dataclass(frozen=True)
class Saving:
    """Effect of one more unit of one limit, dollars over the horizon; negative where it costs more."""

    limit: str
    step: str
    saves_usd: float | None
    saves_usd_of_used_gpus: float
    dual_usd_of_used_gpus: float | None = None


@dataclass(frozen=True)
class _Value:
    cost_usd: float | None
    used_usd: float


@dataclass(frozen=True)
class _Prices:
    """Shadow prices of the unchanged relaxation.

    ``usd_per_replica`` [candidate]: what one spared replica of capacity is worth; ``share`` (candidate, class): the
    share of the class that the relaxation gives the candidate.
    """

    tables: CostTables
    usd_per_replica: dict[int, float]
    share: dict[tuple[int, int], float]

    @classmethod
    def of(cls, tables: CostTables) -> _Prices | None:
        program = fleet.build(tables)
        program.price_used_gpus()
        compiled = compile_pyomo(program.model)
        result = solve_lp_relaxation(compiled.matrix).uninterrupted()
        if result.row_duals is None or result.values is None:
            return None
        compiled.load(result.values)
        position = {name: row for row, name in enumerate(compiled.matrix.row_names)}
        duals = {c: -float(result.row_duals[position[row.name]]) for c, row in program.model.capacity.items()}
        shares = {key: float(var.value) for key, var in program.model.share.items() if var.value > 0}
        return cls(tables, duals, shares)

    def worth(self, changed: CostTables) -> float | None:
        """Dollars that other tables save to first order; None where a candidate in use has no counterpart in them."""
        place = {_identity(entry): c for c, entry in enumerate(changed.candidates)}
        total = 0.0
        for (c, d), share in self.share.items():
            other = place.get(_identity(self.tables.candidates[c]))
            if other is None or not changed.requests_per_s[other, d]:
                return None
            before = replicas_for_class(self.tables, c, d)
            total += self.usd_per_replica[c] * share * (before - replicas_for_class(changed, other, d))
        return total


def _identity(entry: Candidate) -> tuple[object, ...]:
    """Everything that names a candidate but its batch, which a changed limit may move."""
    degrees = entry.tensor_parallel, entry.data_parallel, entry.pipeline_parallel, entry.expert_parallel
    return entry.pool, entry.phase, entry.classes, degrees, entry.slots_per_gpu, entry.prefill_requests


def savings(instance: Instance, *, seconds: float = 20.0, strict: bool = False) -> list[Saving]:
    """Solve the case and each of its neighbours; largest saving first.

    After ``seconds`` only relaxations are solved: what they do not settle is None as billed. Where ``strict``, the
    neighbours that are left then are not looked at.

    Raises
    ------
    KeyboardInterrupt
        Also where the solver took Ctrl-C for itself: who asked these questions decides what it means.
    """
    book = ImbalanceBook(instance)
    deadline = time.monotonic() + seconds
    if strict and seconds <= 0:
        return []
    tables = build_tables(instance, book.optimistic)
    base = _value(tables, seconds / 2)
    prices = _Prices.of(tables)
    result = []
    for limit, step, changed in neighbours(instance):
        if strict and time.monotonic() >= deadline:
            break
        left = min(deadline - time.monotonic(), _MOST_SECONDS)
        other = build_tables(changed, book.optimistic)
        # a domain of one GPU more may divide into nothing that meets the limits: no saving to tell
        if fleet.Fleet().supports(other) is not None:
            continue
        try:
            value = _value(other, left, at_most=base.cost_usd)
        except NoPlanFound:
            continue
        exact = None if value.cost_usd is None or base.cost_usd is None else base.cost_usd - value.cost_usd
        dual = None if prices is None else prices.worth(other)
        used = base.used_usd - value.used_usd
        if limit.startswith(_DOMAIN):
            # a GPU too many may be left unused: layouts that no longer divide a domain lose nothing
            used, dual = max(used, 0.0), None if dual is None else max(dual, 0.0)
        result.append(Saving(limit, step, exact, used, dual))
    return sorted(result, key=lambda saving: -saving.saves_usd_of_used_gpus)


def marginal_usd_per_request(tables: CostTables) -> dict[str, float]:
    """Dollars over the horizon of one more request/s of each class: duals of the relaxation that pays GPUs in use."""
    program = fleet.build(tables)
    program.price_used_gpus()
    compiled = compile_pyomo(program.model)
    result = solve_lp_relaxation(compiled.matrix).uninterrupted()
    if result.row_duals is None:
        return {}
    totals = dict.fromkeys(tables.class_names, 0.0)
    for (_phase, d), row in program.model.demand_met.items():
        whole_class = float(result.row_duals[compiled.matrix.row_names.index(row.name)])
        totals[tables.class_names[d]] += whole_class / float(tables.demand_requests_per_s[d])
    return totals


def _value(tables: CostTables, seconds: float, at_most: float | None = None) -> _Value:
    """Both figures of a case; ``at_most`` is the proven cost of a case that is nowhere better [USD]."""
    program = fleet.build(tables)
    program.price_used_gpus()
    used_usd = _relaxed(program)

    def solve(_stage: str, share: float, warm: bool) -> SolveResult:
        start = program.held_values() if warm else None
        return solve_pyomo(program.model, SolveOptions(time_limit_s=share * seconds), start).uninterrupted()

    if at_most is not None and _cannot_save(program, at_most):
        return _Value(at_most, used_usd)
    if seconds <= 0:
        return _Value(None, used_usd)
    counted = require_counted_gpus(program, solve)
    if at_most is not None and _relaxed(program) >= at_most * (1 - _NEGLIGIBLE):
        return _Value(at_most, used_usd)
    exact = solve("cost", 1.0, counted.has_point)
    return _Value(exact.objective if exact.status is PlanStatus.optimal else None, used_usd)


def _cannot_save(program: fleet.FleetProgram, at_most: float) -> bool:
    """Whether relaxations alone prove that the case costs ``at_most``: GPUs rounded up, then domains."""
    program.aim_at_gpus()
    program.require_gpus(_relaxed(program))
    program.aim_at_cost()
    return _relaxed(program) >= at_most * (1 - _NEGLIGIBLE)


def _relaxed(program: fleet.FleetProgram) -> float:
    result = solve_lp_relaxation(compile_pyomo(program.model).matrix).uninterrupted()
    if result.objective is None:
        raise NoPlanFound(["the changed case has no plan"])
    return result.objective


def neighbours(instance: Instance) -> Iterator[tuple[str, str, Instance]]:
    """Each limit of the case, one unit of it, and the case with one unit more."""
    for pool in instance.pools:
        chip = pool.accelerator
        yield _pool_step(instance, pool, "HBM", "1 GB a GPU", hbm_bytes=chip.hbm_bytes + 1e9)
        yield _pool_step(instance, pool, "HBM bandwidth", "100 GB/s a GPU", hbm_bytes_per_s=chip.hbm_bytes_per_s + 1e11)
        yield _pool_step(
            instance, pool, "arithmetic", "1 %", flop_per_s={k: 1.01 * v for k, v in chip.flop_per_s.items()}
        )
        yield _pool_step(
            instance, pool, "scale-up links", "10 GB/s a GPU", scale_up_bytes_per_s=chip.scale_up_bytes_per_s + 1e10
        )
        yield _pool_step(
            instance, pool, "scale-out links", "10 GB/s a GPU", scale_out_bytes_per_s=chip.scale_out_bytes_per_s + 1e10
        )
        if chip.scale_up_kind in _ANY_DOMAIN_SIZE:
            yield _larger_domain(instance, pool)
    for d, demand in enumerate(instance.demand):
        for key, extra, text in (("tpot_s", 1e-3, "1 ms"), ("ttft_s", 0.1, "100 ms")):
            limit = getattr(demand, key)
            if limit is not None:
                looser = demand.model_copy(update={key: limit + extra})
                classes = (*instance.demand[:d], looser, *instance.demand[d + 1 :])
                yield f"{key.removesuffix('_s').upper()} of {demand.name}", text, instance.replace(demand=classes)


_DOMAIN = "domain of "
_ANY_DOMAIN_SIZE = ("nvswitch", "full_mesh")


def _larger_domain(instance: Instance, pool: Pool) -> tuple[str, str, Instance]:
    """One more GPU in every domain, at the same price a GPU: larger replicas fit inside, and there is one more."""
    size = pool.gpus_per_domain + 1
    chip = pool.accelerator.model_copy(
        update={"scale_up_domain_gpus": max(size, pool.accelerator.scale_up_domain_gpus)}
    )
    better = replace(pool, accelerator=chip, gpus_per_domain=size)
    pools = tuple(better if entry is pool else entry for entry in instance.pools)
    return f"{_DOMAIN}{pool.name}", "1 GPU a domain", instance.replace(pools=pools)


def _pool_step(instance: Instance, pool: Pool, limit: str, step: str, **change: object) -> tuple[str, str, Instance]:
    chip = pool.accelerator.model_copy(update=change)
    better = replace(pool, accelerator=chip)
    pools = tuple(better if entry is pool else entry for entry in instance.pools)
    return f"{limit} of {pool.name}", step, instance.replace(pools=pools)
