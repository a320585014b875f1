"""The main job: plan the serving of one case and prove how far from the best it can be.

Lower bound: the fleet program on tables built from the proven least imbalance of every placement. Upper bound: the
same program on what placement search achieved for the deployments it chose, priced by the judge. Searches go on only
for what is chosen; the loop ends when every chosen deployment has its placement.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from formulations import fleet
from planner.costs.tables import CostTables, build_tables
from planner.errors import NoPlanFound
from planner.judge.evaluate import evaluate
from planner.solver.highs import solve_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import ProgressPoint, SolveResult, StopReason
from planner.studies.assemble import assemble, placement_keys, replicas_of
from planner.studies.certificate import Certified, judged_difference, status_of
from planner.studies.explain import reasons_without_candidates, reasons_without_plan
from planner.studies.first_plan import give_first_plan, out_of_time, plan_held, relaxation, with_bound
from planner.studies.imbalance import ImbalanceBook
from planner.studies.least_cost import COUNTING, solve_least_cost

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.instance.instance import Instance
    from planner.plan import Plan
    from planner.studies.shelf import PlacementShelf

    Progress = Callable[[str, ProgressPoint], None]

_MOST_ROUNDS = 12
_SECOND_AIM_SHARE = 0.25
_THIRD_AIM_SHARE = 0.1
_SIDE_SOLVE_S = 20.0
_SIDE_SOLVE_NODES = 4000
_AFTER_INTERRUPT_S = 3.0
_LEAST_S = 0.5
_SHORTEST_S = 0.05
"""Least seconds of a solve that may find nothing, because a plan is held already."""
_COARSE_GAP = 0.01
_INTERRUPTED = (StopReason.interrupted, StopReason.time_limit)


@dataclass(kw_only=True)
class ServingAnswer(Certified):
    """A certified serving plan.

    Attributes
    ----------
    rounds
        Times the program was solved with newly placed deployments.
    solves
        Record of every solve, the bounding one first.
    """

    instance: Instance
    tables: CostTables
    book: ImbalanceBook
    rounds: int
    solves: list[SolveResult] = field(default_factory=list)


@dataclass
class _Search:
    """State of one certified solve."""

    instance: Instance
    options: SolveOptions
    progress: Progress | None
    book: ImbalanceBook
    start: Plan | None = None
    began: float = field(default_factory=time.perf_counter)
    solves: list[SolveResult] = field(default_factory=list)
    stopped_between_solves: bool = False
    counted: fleet.FleetChoice | None = None
    """Plan with the fewest GPUs of any, whatever it costs, of the latest program; only coarse searches keep it."""

    @property
    def coarse(self) -> bool:
        """Whether many points are solved to a wide gap: among equal costs any kinds of deployments will do."""
        return self.options.repeatable and self.options.gap >= _COARSE_GAP

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C asked for the best plan so far: what is left to do is done in a hurry."""
        return self.stopped_between_solves or any(
            result.stop_reason is StopReason.interrupted for result in self.solves
        )

    @property
    def out_of_time(self) -> bool:
        """Whether the time limit has passed: what is left to do needs no search."""
        limit = self.options.time_limit_s
        return limit is not None and time.perf_counter() - self.began >= limit

    def left(self, share: float = 1.0, least_s: float = _LEAST_S) -> SolveOptions:
        """Options with what remains of the time limit, or a share of it, but ``least_s``."""
        if self.interrupted:
            return replace(self.options, time_limit_s=_AFTER_INTERRUPT_S)
        if self.options.time_limit_s is None:
            if share == 1.0:
                return self.options
            if self.options.repeatable:
                return replace(self.options, node_limit=round(share * _SIDE_SOLVE_NODES))
            return replace(self.options, time_limit_s=share * _SIDE_SOLVE_S)
        remaining = self.options.time_limit_s - (time.perf_counter() - self.began)
        return replace(self.options, time_limit_s=max(least_s, share * remaining))

    def run(self, program: fleet.FleetProgram, label: str, options: SolveOptions, *, warm: bool = False) -> SolveResult:
        """Solve one program, from the values it holds where ``warm``, and keep its record."""
        progress = self.progress
        watch = (lambda point: progress(label, point)) if progress else None
        start = program.held_values() if warm else None
        result = solve_pyomo(program.model, options, start, on_progress=watch)
        self.solves.append(result)
        return result

    def least_cost(self, program: fleet.FleetProgram, label: str) -> SolveResult:
        """Solve a new program for cost; under a time limit from a first plan, which stands where no better is found."""
        held = self.options.time_limit_s is not None and not program.started and give_first_plan(program)

        def solve(stage: str, share: float, warm: bool) -> SolveResult:
            if held and self.out_of_time:
                return out_of_time(self.options)
            options = self.left(share, _SHORTEST_S if held else _LEAST_S)
            result = self.run(program, f"{label}: {stage}", options, warm=warm or held)
            objective = result.objective
            if self.coarse and stage == COUNTING and objective is not None and objective - result.bound < 1:
                self.counted = program.extract()
            return result

        self.counted = None
        result = solve_least_cost(program, solve)
        if held and not result.has_point and result.stop_reason is StopReason.time_limit:
            result = plan_held(program, result)
        if not result.has_point or math.isfinite(result.bound):
            return result
        self.solves.append(relaxation(program, self.options))
        return with_bound(result, self.solves[-1])


def solve_serving(
    instance: Instance,
    options: SolveOptions | None = None,
    progress: Progress | None = None,
    strategy: str = "local_search",
    shelf: PlacementShelf | None = None,
    start: Plan | None = None,
) -> ServingAnswer:
    """Plan a case, with its experts placed by ``strategy``.

    Parameters
    ----------
    instance, options, progress, strategy
        The case, limits of the solves, who watches them, and who places experts.
    shelf
        Placements searched before.
    start
        A plan of a similar case: each solve starts from its deployments, as far as they are candidates here.

    Raises
    ------
    NoPlanFound
        With the limits in conflict, where no plan meets them.
    SolverError
        If the judge disagrees with the program about a plan's cost or finds a limit broken.
    """
    options = options or SolveOptions()
    search = _Search(instance, options, progress, ImbalanceBook(instance, options.seed, strategy, shelf), start)
    tables = build_tables(instance, search.book.optimistic)
    program = _program(search, tables)
    bounding = search.least_cost(program, "bound")
    if not bounding.has_point and bounding.stop_reason is StopReason.interrupted:
        raise KeyboardInterrupt
    if not bounding.has_point:
        raise NoPlanFound(
            reasons_without_plan(instance, tables, program, bounding, repeatable=options.repeatable),
            bounding.stop_reason,
        )
    return _refine(search, tables, program, bounding)


def _program(search: _Search, tables: CostTables) -> fleet.FleetProgram:
    """Build the program, once every class has candidates: achieved placements may leave one without."""
    missing = reasons_without_candidates(search.instance, tables)
    if missing:
        raise NoPlanFound(missing)
    program = fleet.build(tables)
    if search.start is not None:
        most = {c: variable.ub for c, variable in program.model.replicas.items()}
        held = replicas_of(search.start, tables)
        program.start_from({c: count if most[c] is None else min(count, int(most[c])) for c, count in held.items()})
    return program


def _refine(search: _Search, tables: CostTables, program: fleet.FleetProgram, bounding: SolveResult) -> ServingAnswer:
    """Place what is chosen and solve again, until everything chosen is placed. A first Ctrl-C hurries to a plan."""
    latest = _Round(tables, program, bounding)
    while True:
        try:
            choice = _fewest_gpus(search, latest)
            unplaced = placement_keys(latest.tables, choice) - latest.placed
            if not unplaced:
                return _judged(search, latest, choice, bounding)
            latest = _next_round(search, latest, sorted(unplaced))
        except KeyboardInterrupt:
            if search.interrupted:
                raise
            search.stopped_between_solves = True


@dataclass(frozen=True)
class _Round:
    """A program that has been solved, how often that happened, and the placements that its tables know."""

    tables: CostTables
    program: fleet.FleetProgram
    result: SolveResult
    placed: frozenset[tuple[int, int]] = frozenset()
    number: int = 1


def _next_round(search: _Search, latest: _Round, unplaced: list[tuple[int, int]]) -> _Round:
    """Place what was chosen and solve on what that achieved; in a hurry, only on what has been placed."""
    for key in unplaced:
        search.book.place(key, hurried=search.out_of_time)
        if search.book.placements[key].interrupted:
            search.stopped_between_solves = True
    placed = frozenset(search.book.placements)
    tables = build_tables(search.instance, search.book.current)
    hurried = latest.number >= _MOST_ROUNDS or search.interrupted or latest.result.stop_reason in _INTERRUPTED
    offered = [only_placed(tables, search.book), tables] if hurried else [tables]
    for narrowed in offered:
        if reasons_without_candidates(search.instance, narrowed) and narrowed is not offered[-1]:
            continue
        program = _program(search, narrowed)
        result = search.least_cost(program, f"round {latest.number}")
        if result.has_point:
            return _Round(narrowed, program, result, placed, latest.number + 1)
    if search.interrupted:
        raise KeyboardInterrupt
    raise NoPlanFound(
        reasons_without_plan(search.instance, narrowed, program, result, repeatable=search.options.repeatable),
        result.stop_reason,
    )


def _fewest_gpus(search: _Search, latest: _Round) -> fleet.FleetChoice:
    """Among plans that cost no more take one with the fewest GPUs, and among those the fewest kinds of deployments.

    A coarse search leaves out the kinds: in sweeps that aim took most of the time, and no bound rests on it. Where a
    solve for one of these aims finds nothing, what was held before stands.
    """
    program = latest.program
    choice = program.extract()
    if search.interrupted or search.out_of_time:
        return choice
    fewest = search.counted
    if fewest is not None and fewest.cost_usd <= choice.cost_usd * (1 + 1e-9):
        return fewest  # the count that came first has found what is asked here
    program.prefer_fewest_gpus(choice.cost_usd * (1 + 1e-9))
    if not search.run(program, "fewest GPUs", search.left(_SECOND_AIM_SHARE, _SHORTEST_S), warm=True).has_point:
        return choice
    choice = program.extract()
    # while nothing has been placed the round only tells what to place
    only_to_place = search.instance.model.moe_layers and not latest.placed
    if only_to_place or search.coarse or search.out_of_time:
        return choice
    program.prefer_fewest_kinds(program.gpus_of(choice))
    third = search.run(program, "fewest kinds", search.left(_THIRD_AIM_SHARE, _SHORTEST_S), warm=True)
    return program.extract() if third.has_point else choice


def only_placed(tables: CostTables, book: ImbalanceBook) -> CostTables:
    """Keep the candidates whose experts have been placed, so that the next solution is final."""
    kept = [
        index
        for index, entry in enumerate(tables.candidates)
        if not entry.slots_per_gpu or (entry.expert_parallel, entry.slots_per_gpu) in book.placements
    ]
    return replace(
        tables,
        candidates=tuple(tables.candidates[index] for index in kept),
        requests_per_s=tables.requests_per_s[kept],
    )


def _judged(search: _Search, latest: _Round, choice: fleet.FleetChoice, bounding: SolveResult) -> ServingAnswer:
    plan = assemble(search.instance, latest.tables, choice, search.book)
    evaluation = evaluate(search.instance, plan)
    difference = judged_difference(evaluation, choice.cost_usd, bounding.bound)
    # rounding of the dual bound may pass the cost by a hair
    bound = min(bounding.bound, evaluation.cost_usd)
    return ServingAnswer(
        instance=search.instance,
        tables=latest.tables,
        plan=plan,
        evaluation=evaluation,
        book=search.book,
        cost_usd=evaluation.cost_usd,
        bound_usd=bound,
        evaluator_relative_difference=difference,
        status=status_of(evaluation.cost_usd, bound, search.options.gap),
        stop_reason=_reason(search, [bounding, latest.result]),
        seconds=time.perf_counter() - search.began,
        rounds=latest.number,
        solves=search.solves,
    )


def _reason(search: _Search, deciding: list[SolveResult]) -> StopReason:
    """Return interrupted if Ctrl-C came, else the first reason of the deciding solves that is not the gap."""
    if search.interrupted:
        return StopReason.interrupted
    reasons = [result.stop_reason for result in deciding]
    return next((reason for reason in reasons if reason is not StopReason.optimal_within_gap), reasons[0])
