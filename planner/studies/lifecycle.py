"""Choose the model, its token budget and its fleet together, with a proven bound.

Decomposed by member: what a member costs at least is its training (tokens in closed form) plus the linear relaxation of
its fleet. Members are planned in the order of these bounds until the next bound reaches the best plan found. The bound
on the whole is the least over members of what is proven for each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from formulations import fleet
from planner.costs import lifecycle as cost
from planner.costs.tables import build_tables
from planner.errors import NoPlanFound, SolverError
from planner.judge.lifecycle import evaluate_lifecycle, member_instance
from planner.plan import TrainingChoice
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason
from planner.studies.certificate import Certified, judged_difference, status_of
from planner.studies.explain import reasons_without_candidates
from planner.studies.imbalance import ImbalanceBook
from planner.studies.least_cost import require_counted_gpus
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from planner.costs.tables import CostTables
    from planner.instance.instance import Instance
    from planner.instance.lifecycle import LifecycleInstance
    from planner.studies.serving import Progress

_COUNT_S = 3.0
_COUNT_GAP = 1e-2


@dataclass
class MemberRecord:
    """What is known about one member.

    Attributes
    ----------
    tokens
        Pre-training tokens it needs; None if it cannot reach the quality.
    training_usd
        Pre-training and training on RL tokens.
    fleet_bound_usd
        Proven least cost of serving it, rollouts included; None if it cannot be served.
    serving
        Its certified plan, once solved.
    reason
        Why it is out, where it is.
    """

    instance: Instance
    tokens: float | None
    training_usd: float
    fleet_bound_usd: float | None = None
    serving: ServingAnswer | None = None
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of the member."""
        return self.instance.model.name

    @property
    def possible(self) -> bool:
        """Whether it reaches the quality and can be served."""
        return self.tokens is not None and self.fleet_bound_usd is not None

    @property
    def bound_usd(self) -> float:
        """Proven least total cost; infinite where the member is out."""
        if not self.possible:
            return float("inf")
        proven = self.serving.bound_usd if self.serving else self.fleet_bound_usd
        return self.training_usd + float(proven or 0.0)

    @property
    def cost_usd(self) -> float:
        """Total cost of its plan; infinite where it has none yet."""
        return self.training_usd + self.serving.cost_usd if self.serving else float("inf")


@dataclass(kw_only=True)
class LifecycleAnswer(Certified):
    """A certified choice of model, tokens and fleet; cost and bound are of the whole life."""

    instance: LifecycleInstance
    chosen: MemberRecord
    members: list[MemberRecord]


@dataclass
class FleetShelf:
    """Fleets of members, solved once; they do not depend on the loss law, so laws share them.

    ``interrupted`` says that Ctrl-C came: what is solved stays, a fleet that is not raises ``KeyboardInterrupt``.
    """

    instance: LifecycleInstance
    options: SolveOptions
    progress: Progress | None = None
    bounds: dict[str, float | str] = field(default_factory=dict)
    answers: dict[str, ServingAnswer | str] = field(default_factory=dict)
    interrupted: bool = False
    began: float = field(default_factory=time.perf_counter)

    def bound(self, member: Instance) -> float | str:
        """Least cost of the member's fleet, optimistic and relaxed but for the GPUs needed; or why there is none."""
        name = member.model.name
        if name not in self.bounds:
            self.bounds[name] = self._relaxed(member_instance(self.instance, member))
        return self.bounds[name]

    def _relaxed(self, member: Instance) -> float | str:
        tables = build_tables(member, ImbalanceBook(member).optimistic)
        missing = reasons_without_candidates(member, tables)
        if missing:
            return missing[0]
        program = fleet.build(tables)
        quick = replace(self.options, time_limit_s=_COUNT_S, gap=_COUNT_GAP)
        require_counted_gpus(program, lambda _stage, _share, _warm: solve_pyomo(program.model, quick).uninterrupted())
        result = solve_lp_relaxation(compile_pyomo(program.model).matrix).uninterrupted()
        return "its fleet does not fit the pools" if result.objective is None else result.bound

    def tables_of(self, member: Instance) -> CostTables:
        """Tables of a member's certified plan."""
        answer = self.answer(member)
        if isinstance(answer, str):
            raise NoPlanFound([answer])
        return answer.tables

    def answer(self, member: Instance) -> ServingAnswer | str:
        """Certified plan of the member's fleet; text says why there is none."""
        name = member.model.name
        if name not in self.answers:
            if self.interrupted:
                raise KeyboardInterrupt
            self.answers[name] = self._planned(member_instance(self.instance, member))
        return self.answers[name]

    def _planned(self, member: Instance) -> ServingAnswer | str:
        try:
            answer = solve_serving(member, self._left(), self.progress)
        except NoPlanFound as error:
            return error.reasons[0]
        except KeyboardInterrupt:
            self.interrupted = True
            raise
        self.interrupted = answer.stop_reason is StopReason.interrupted
        return answer

    def _left(self) -> SolveOptions:
        """Options with what the members before left of the time limit."""
        limit = self.options.time_limit_s
        if limit is None:
            return self.options
        return replace(self.options, time_limit_s=max(0.0, limit - (time.perf_counter() - self.began)))


def solve_lifecycle(
    instance: LifecycleInstance,
    options: SolveOptions | None = None,
    progress: Progress | None = None,
    shelf: FleetShelf | None = None,
) -> LifecycleAnswer:
    """Plan an open case.

    Raises
    ------
    NoPlanFound
        If no member reaches the quality inside the limits, with the reason of each.
    SolverError
        If the judge disagrees.
    """
    began = time.perf_counter()
    shelf = shelf or FleetShelf(instance, options or SolveOptions(gap=1e-4), progress)
    members = [_record(instance, shelf, member) for member in instance.members]
    best: MemberRecord | None = None
    for record in sorted(members, key=lambda entry: entry.bound_usd):
        if not record.possible or (best and record.bound_usd >= best.cost_usd):
            break
        try:
            answer = shelf.answer(record.instance)
        except KeyboardInterrupt:
            if best is None:
                raise
            break
        if isinstance(answer, str):
            record.fleet_bound_usd, record.reason = None, answer
            continue
        record.serving = answer
        if best is None or record.cost_usd < best.cost_usd:
            best = record
    if best is None:
        raise NoPlanFound([f"{record.name}: {record.reason}" for record in members])
    return _judged(instance, best, members, began, shelf)


def _record(instance: LifecycleInstance, shelf: FleetShelf, member: Instance) -> MemberRecord:
    tokens = cost.pretraining_tokens(instance, member.model)
    if tokens is None:
        target = cost.target_loss(instance)
        return MemberRecord(member, None, 0.0, reason=f"no number of tokens brings it to loss {target:.4f}")
    training = cost.pretraining_usd(instance, member.model, tokens)
    training += cost.rl_training_usd(instance, member.model, instance.spec.rl_tokens)
    bound = shelf.bound(member)
    if isinstance(bound, str):
        return MemberRecord(member, tokens, training, reason=bound)
    return MemberRecord(member, tokens, training, fleet_bound_usd=bound)


def _judged(
    instance: LifecycleInstance, best: MemberRecord, members: list[MemberRecord], began: float, shelf: FleetShelf
) -> LifecycleAnswer:
    serving, tokens = best.serving, best.tokens
    if serving is None or tokens is None:
        raise SolverError("the best member has no plan")
    choice = TrainingChoice(member=best.name, pretraining_tokens=tokens, rl_tokens=instance.spec.rl_tokens)
    plan = serving.plan.model_copy(update={"training": choice})
    evaluation = evaluate_lifecycle(instance, plan)
    proven = min(record.bound_usd for record in members)
    difference = judged_difference(evaluation, best.cost_usd, proven)
    bound = min(evaluation.cost_usd, proven)
    limits = [record.serving.stop_reason for record in members if record.serving]
    limits += [StopReason.interrupted] if shelf.interrupted else []
    reason = next((entry for entry in limits if entry is not StopReason.optimal_within_gap), limits[0])
    return LifecycleAnswer(
        instance=instance,
        chosen=best,
        members=members,
        plan=plan,
        evaluation=evaluation,
        cost_usd=evaluation.cost_usd,
        bound_usd=bound,
        evaluator_relative_difference=difference,
        status=status_of(evaluation.cost_usd, bound, shelf.options.gap),
        stop_reason=reason,
        seconds=time.perf_counter() - began,
    )
