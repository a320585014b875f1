"""A plan at once, and what a solve leaves when its time is over: a certificate must not hang on the clock.

The first plan gives every class and phase its cheapest deployment and packs domains first fit by falling size. It is
far from the best, but it is whole: each later solve starts from it, and where none of them ends in time it stands.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from formulations.blocks.packing import flow_of
from formulations.blocks.serving import SERVED_BY, most_replicas, replicas_for_class
from planner.solver.highs import solve_lp_relaxation
from planner.solver.matrix import compile_pyomo
from planner.solver.result import PlanStatus, SolveResult, StopReason, relative_gap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from formulations.fleet import FleetProgram
    from planner.costs.tables import CostTables
    from planner.solver.options import SolveOptions

_WHOLE = 1e-6
_BOUND_S = 5.0
"""Most seconds of the relaxation that bounds the cost where no search did; 0.1 s for hundreds of candidates."""


def cheapest_serving(tables: CostTables) -> dict[tuple[int, int], float]:
    """Share 1 for the cheapest (candidate, class) of each class and phase: a deployment for both, or a pair.

    Cheapest by GPUs that the whole class takes, in whole replicas.
    """
    shares: dict[tuple[int, int], float] = {}
    for d, rate in enumerate(tables.demand_requests_per_s):
        if rate <= 0:
            continue
        best: dict[str, tuple[float, int]] = {}
        for c, entry in enumerate(tables.candidates):
            if d in entry.classes and tables.requests_per_s[c, d] > 0:
                usd = _usd(tables, c, d)
                best[entry.phase] = min(best.get(entry.phase, (math.inf, c)), (usd, c))
        alone, apart = best.get("both"), [best.get(phase) for phase in SERVED_BY]
        pair = None if None in apart else sum(usd for usd, _ in apart)  # type: ignore[misc]  # none is None
        if alone is not None and (pair is None or alone[0] <= pair):
            shares[alone[1], d] = 1.0
        else:
            shares |= {(found[1], d): 1.0 for found in apart if found is not None}
    return shares


def _usd(tables: CostTables, candidate: int, d: int) -> float:
    entry = tables.candidates[candidate]
    surcharge = tables.decode_surcharge if entry.phase in SERVED_BY["decode"] else 0.0
    replicas = math.ceil(replicas_for_class(tables, candidate, d) - _WHOLE) or 1
    return replicas * entry.gpus * tables.usd_per_gpu[entry.pool] * (1.0 + surcharge)


def give_first_plan(program: FleetProgram) -> bool:
    """Set every variable of a program to a first plan; ``False`` and nothing set where that breaks a limit.

    Prefixes that may be kept are left to the solver: then there is no first plan.
    """
    tables, model = program.tables, program.model
    if tables.cache is not None:
        return False
    shares = cheapest_serving(tables)
    load: Counter[int] = Counter()
    for (c, d), share in shares.items():
        load[c] += share * replicas_for_class(tables, c, d)  # type: ignore[assignment]  # a fraction of replicas
    replicas = {c: max(math.ceil(need - _WHOLE), 1) for c, need in load.items()}
    flows = _packed(program, replicas)
    if flows is None or any(count > most_replicas(tables, c) for c, count in replicas.items()):
        return False
    for c, variable in model.replicas.items():
        variable.set_value(replicas.get(c, 0))
    for key, variable in model.share.items():
        variable.set_value(shares.get(key, 0.0))
    for pool, (items, idle, domains) in flows.items():
        block = model.packing[pool]
        block.item.set_values(items)
        block.idle.set_values(idle)
        block.domains_used.set_value(domains)
    return True


def _packed(program: FleetProgram, replicas: Mapping[int, int]) -> dict[int, tuple[Any, Any, int]] | None:
    """Flow of items, flow of idle GPUs and domains used of each packed pool; ``None`` where a pool has too few."""
    tables, flows = program.tables, {}
    for pool, graph in program.graphs.items():
        own = {c: count for c, count in replicas.items() if tables.candidates[c].pool == pool}
        whole = sum(count * tables.candidates[c].whole_domains for c, count in own.items())
        sizes = ((tables.candidates[c].fragment_gpus, n) for c, n in own.items() if tables.candidates[c].fragment_gpus)
        patterns = first_fit(graph.capacity, sizes)
        used, most = whole + patterns.total(), tables.domains[pool]
        if most is not None and used > most:
            return None
        flows[pool] = (*flow_of(graph, patterns), used)
    return flows


def first_fit(capacity: int, fragments: Any) -> Counter[tuple[int, ...]]:  # noqa: ANN401 - pairs of size and number
    """Pack (size, number) of fragments first fit by falling size; alike domains are kept as one with their number."""
    wanted = Counter[int]()
    for size, number in fragments:
        wanted[size] += number
    patterns: Counter[tuple[int, ...]] = Counter()
    left = Counter({size: number for size, number in wanted.items() if number})
    while left:
        room, pattern = capacity, []
        for size in sorted(left, reverse=True):
            taken = min(left[size], room // size)
            pattern += [size] * taken
            room -= taken * size
        held = Counter(pattern)
        alike = min(left[size] // count for size, count in held.items())
        patterns[tuple(pattern)] += alike
        left -= Counter({size: alike * count for size, count in held.items()})
    return patterns


def out_of_time(options: SolveOptions) -> SolveResult:
    """Record of a solve that did not begin."""
    return SolveResult(
        status=PlanStatus.none,
        stop_reason=StopReason.time_limit,
        objective=None,
        bound=-math.inf,
        gap=math.inf,
        values=None,
        row_duals=None,
        reduced_costs=None,
        build_s=0.0,
        solve_s=0.0,
        rows=0,
        columns=0,
        nonzeros=0,
        integer_columns=0,
        start_accepted=None,
        options=options,
    )


def plan_held(program: FleetProgram, ended: SolveResult) -> SolveResult:
    """Record of a solve for cost that found nothing, with the plan that the program holds from before."""
    cost = program.extract().cost_usd
    return replace(
        ended,
        status=PlanStatus.feasible,
        objective=cost,
        gap=relative_gap(cost, ended.bound),
    )


def relaxation(program: FleetProgram, options: SolveOptions) -> SolveResult:
    """Solve the relaxation; quick enough to be asked when the time is over."""
    return solve_lp_relaxation(compile_pyomo(program.model).matrix, replace(options, time_limit_s=_BOUND_S))


def with_bound(ended: SolveResult, relaxed: SolveResult) -> SolveResult:
    """Add the bound of the relaxation to a search that had no time for one; no cost is below 0."""
    bound = max(relaxed.bound, 0.0) if math.isfinite(relaxed.bound) else 0.0
    return replace(ended, bound=bound, gap=relative_gap(ended.objective, bound))
