"""Token budget: active parameters N and pre-training tokens D of least cost for a loss, or of least loss for a budget.

A geometric program, convex in (ln N, ln D): a log-posynomial objective under one log-posynomial limit. Each is
replaced by tangents, which lie below a convex function, so every linear program is a relaxation and its value a true
lower bound on ln(objective). The upper bound is a point on the limit itself. Cuts are added until the two meet.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyomo.environ as pyo

from formulations.base import Built, refuse
from planner.costs import scaling
from planner.errors import NoPlanFound, SolverError
from planner.solver.cutting import CuttingLp
from planner.solver.matrix import compile_pyomo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from planner.costs.scaling import SpendRates
    from planner.instance.law import LossLaw

Point = tuple[float, float]
"""(ln N, ln D)."""
DEFAULT_LOG_GAP = 1e-6
MAX_ROUNDS = 100
ROUNDING = 1e-12
"""Taken off every bound on ln(objective): more than the arithmetic of a tangent can lose in double precision."""
_BISECTIONS = 60


@dataclass(frozen=True)
class LogPosynomial:
    """ln of a sum of terms c N^p D^q: convex in (ln N, ln D). ``terms`` are (ln c, p, q)."""

    terms: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, *terms: tuple[float, float, float]) -> LogPosynomial:
        """Build from (c, p, q), leaving out terms with c = 0."""
        return cls(tuple((math.log(scale), p, q) for scale, p, q in terms if scale > 0))

    def value(self, point: Point) -> float:
        """Value at the point, by log-sum-exp."""
        exponents = [log_scale + p * point[0] + q * point[1] for log_scale, p, q in self.terms]
        largest = max(exponents)
        return largest + math.log(math.fsum(math.exp(exponent - largest) for exponent in exponents))

    def least_in(self, lower: Point, upper: Point) -> float:
        """Lower bound over a box: every term at its own best corner."""
        corner = tuple(
            (log_scale + p * (lower[0] if p > 0 else upper[0]) + q * (lower[1] if q > 0 else upper[1]), 0.0, 0.0)
            for log_scale, p, q in self.terms
        )
        return LogPosynomial(corner).value((0.0, 0.0))

    def slope(self, point: Point) -> Point:
        """Gradient at the point: the exponents of the terms, weighted by each term's share."""
        level = self.value(point)
        shares = [math.exp(log_scale + p * point[0] + q * point[1] - level) for log_scale, p, q in self.terms]
        return (
            math.fsum(share * term[1] for share, term in zip(shares, self.terms, strict=True)),
            math.fsum(share * term[2] for share, term in zip(shares, self.terms, strict=True)),
        )


@dataclass(frozen=True)
class TokenBudget:
    """The program: minimise ``objective`` where ``limit`` <= ``ln_limit``, in a box that holds every optimum.

    ``start`` satisfies the limit with equality. ``ln_params_on_limit`` gives the ln N that meets the limit with
    equality for an ln D, or None where none does.
    """

    objective: LogPosynomial
    limit: LogPosynomial
    ln_limit: float
    start: Point
    lower: Point
    upper: Point
    ln_params_on_limit: Callable[[float], float | None]


@dataclass(frozen=True)
class TokenBudgetSolution:
    """The best point found, ln of its objective, and the proven lower bound on ln of any plan's objective."""

    params: float
    tokens: float
    ln_objective: float
    ln_bound: float
    rounds: int
    seconds: float

    @property
    def log_gap(self) -> float:
        """ln(objective) - ln(bound), never negative."""
        return max(0.0, self.ln_objective - self.ln_bound)


def cheapest(law: LossLaw, rates: SpendRates, target_loss: float) -> TokenBudget:
    """Least N (per_token D + fixed) such that E + A N^-alpha + B D^-beta <= ``target_loss``.

    The box is what the limit and the cost of the start point imply, so it cuts off no optimum.

    Raises
    ------
    NoPlanFound
        If the loss is at or below the law's floor E, or needs a model beyond floating point.
    """
    start = scaling.compute_optimal_for_loss(law, target_loss)
    if start is None:
        floor = f"the floor {law.irreducible_loss:g} of law {law.name}"
        raise NoPlanFound([f"loss {target_loss:.10g} is not above {floor}: no model of any size reaches it"])
    room = target_loss - law.irreducible_loss
    least_params = (law.params_coefficient / room) ** (1 / law.params_exponent)
    least_tokens = (law.tokens_coefficient / room) ** (1 / law.tokens_exponent)

    def ln_params(ln_tokens: float) -> float | None:
        params = scaling.params_for_loss(law, math.exp(ln_tokens), target_loss)
        return None if params is None else math.log(params)

    return TokenBudget(
        objective=_spend(rates),
        limit=_excess_loss(law),
        ln_limit=math.log(room),
        start=_logs(*start),
        lower=_logs(least_params, least_tokens),
        upper=_largest(rates, rates.total(*start), least_params, least_tokens),
        ln_params_on_limit=ln_params,
    )


def best_quality(law: LossLaw, rates: SpendRates, budget: float) -> TokenBudget:
    """Least A N^-alpha + B D^-beta such that N (per_token D + fixed) <= ``budget``; the loss follows by adding E."""
    whole = scaling.compute_optimal(law, budget)[0]
    params = min(whole, budget / (2 * rates.fixed)) if rates.fixed > 0 else whole / 2
    tokens = (budget / params - rates.fixed) / rates.per_token
    excess = scaling.excess_loss(law, params, tokens)
    least_params = (law.params_coefficient / excess) ** (1 / law.params_exponent)
    least_tokens = (law.tokens_coefficient / excess) ** (1 / law.tokens_exponent)
    return TokenBudget(
        objective=_excess_loss(law),
        limit=_spend(rates),
        ln_limit=math.log(budget),
        start=_logs(params, tokens),
        lower=_logs(least_params, least_tokens),
        upper=_largest(rates, budget, least_params, least_tokens),
        ln_params_on_limit=lambda ln_tokens: math.log(rates.params_within(budget, math.exp(ln_tokens))),
    )


def _spend(rates: SpendRates) -> LogPosynomial:
    return LogPosynomial.of((rates.per_token, 1.0, 1.0), (rates.fixed, 1.0, 0.0))


def _excess_loss(law: LossLaw) -> LogPosynomial:
    return LogPosynomial.of(
        (law.params_coefficient, -law.params_exponent, 0.0), (law.tokens_coefficient, 0.0, -law.tokens_exponent)
    )


def _logs(params: float, tokens: float) -> Point:
    return math.log(params), math.log(tokens)


def _largest(rates: SpendRates, spend: float, least_params: float, least_tokens: float) -> Point:
    """Most parameters and tokens that a plan of this spend can have, given the least of the other."""
    return _logs(rates.params_within(spend, least_tokens), spend / (rates.per_token * least_params))


def build(program: TokenBudget, tangent_points: Sequence[Point]) -> pyo.ConcreteModel:
    """State the linear relaxation with tangents at the given points.

    All variables are measured from the start point, so they are of order one: ``ln_params`` = ln(N / N_0),
    ``ln_tokens`` = ln(D / D_0), ``ln_objective`` = ln(objective / objective at the start), which no optimum exceeds.
    """
    origin, level = program.start, program.objective.value(program.start)
    model = pyo.ConcreteModel("token_budget")
    model.points = pyo.RangeSet(0, len(tangent_points) - 1)
    model.ln_params = pyo.Var(bounds=(program.lower[0] - origin[0], program.upper[0] - origin[0]))
    model.ln_tokens = pyo.Var(bounds=(program.lower[1] - origin[1], program.upper[1] - origin[1]))
    model.ln_objective = pyo.Var(bounds=(program.objective.least_in(program.lower, program.upper) - level, 0))

    def objective_tangent(m: pyo.ConcreteModel, k: int) -> object:
        """Row: f(x_k) + grad f(x_k) . (x - x_k) <= ln objective."""
        row = tangent(program.objective, tangent_points[k], origin, level)
        return row.slope[0] * m.ln_params + row.slope[1] * m.ln_tokens - m.ln_objective <= row.upper

    def limit_tangent(m: pyo.ConcreteModel, k: int) -> object:
        """Row: g(x_k) + grad g(x_k) . (x - x_k) <= ln limit."""
        row = tangent(program.limit, tangent_points[k], origin, program.ln_limit)
        return row.slope[0] * m.ln_params + row.slope[1] * m.ln_tokens <= row.upper

    model.objective_tangent = pyo.Constraint(model.points, rule=objective_tangent)
    model.limit_tangent = pyo.Constraint(model.points, rule=limit_tangent)
    model.least = pyo.Objective(expr=model.ln_objective, sense=pyo.minimize)
    return model


@dataclass(frozen=True)
class TokenBudgetCuts:
    """The relaxation by tangents at the start point, behind the interface of all formulations; ``solve`` cuts on."""

    name: str = "token_budget"
    decides: str = "active parameters and pre-training tokens of least cost for a loss, or of least loss for a budget"

    def supports(self, problem: TokenBudget) -> str | None:
        """Return why the program has no point to start from, or ``None``."""
        return None if problem.lower[0] <= problem.upper[0] else "no model reaches the loss"

    def build(self, problem: TokenBudget) -> Built:
        """Write the relaxation."""
        refuse(self.supports(problem))
        model = build(problem, [problem.start])
        return Built(model, lambda: (pyo.value(model.ln_params), pyo.value(model.ln_tokens)))


@dataclass(frozen=True)
class Tangent:
    """A row slope . (x - origin) <= upper; the objective's tangents also subtract ln_objective on the left."""

    slope: Point
    upper: float


def tangent(function: LogPosynomial, at: Point, origin: Point, level: float) -> Tangent:
    """Tangent of a log-posynomial at a point, in coordinates measured from ``origin``, against ``level``."""
    slope = function.slope(at)
    value_at_origin = function.value(at) + slope[0] * (origin[0] - at[0]) + slope[1] * (origin[1] - at[1])
    return Tangent(slope, level - value_at_origin)


def solve(program: TokenBudget, log_gap: float = DEFAULT_LOG_GAP) -> TokenBudgetSolution:
    """Cut until ln(upper bound) - ln(lower bound) <= ``log_gap``.

    Raises
    ------
    SolverError
        If the bounds do not meet, or the bound exceeds the value of the plan by more than rounding.
    """
    started = time.perf_counter()
    level = program.objective.value(program.start)
    incumbent = min((program.start, descend(program)), key=program.objective.value)
    relaxation = CuttingLp(compile_pyomo(build(program, [program.start, incumbent])).matrix)
    bound = -math.inf
    for rounds in range(1, MAX_ROUNDS + 1):
        relaxed = relaxation.solve()
        bound = max(bound, level + relaxed.bound - ROUNDING)
        at = (program.start[0] + relaxed.values["ln_params"], program.start[1] + relaxed.values["ln_tokens"])
        incumbent = min((incumbent, *_project(program, at)), key=program.objective.value)
        best = program.objective.value(incumbent)
        if best - bound <= log_gap:
            params, tokens = math.exp(incumbent[0]), math.exp(incumbent[1])
            return TokenBudgetSolution(params, tokens, best, bound, rounds, time.perf_counter() - started)
        _cut(relaxation, program, at, level)
    raise SolverError(f"token budget: log gap {best - bound:.3g} after {MAX_ROUNDS} rounds of cuts")


def descend(program: TokenBudget) -> Point:
    """Point of least objective along the limit, by bisection on the sign of the objective's slope along it.

    Along the limit f' = f_D - f_N g_D / g_N (all in logs), negative before the optimum and positive after. This finds;
    it proves nothing: the linear program does.
    """
    below, above = program.lower[1], program.upper[1]
    for _ in range(_BISECTIONS):
        middle = (below + above) / 2
        ln_params = program.ln_params_on_limit(middle)
        if ln_params is None:
            below = middle
            continue
        falls = _slope_along_limit(program, (ln_params, middle)) < 0
        below, above = (middle, above) if falls else (below, middle)
    ln_params = program.ln_params_on_limit(above)
    return program.start if ln_params is None else (ln_params, above)


def _slope_along_limit(program: TokenBudget, point: Point) -> float:
    objective, limit = program.objective.slope(point), program.limit.slope(point)
    return objective[1] - objective[0] * limit[1] / limit[0]


def _project(program: TokenBudget, at: Point) -> list[Point]:
    """Move the relaxation's point onto the limit with its tokens held; empty where that is not possible."""
    ln_params = program.ln_params_on_limit(at[1])
    return [] if ln_params is None else [(ln_params, at[1])]


def _cut(relaxation: CuttingLp, program: TokenBudget, at: Point, level: float) -> None:
    """Add both tangents at the relaxation's own point, so that it cannot return there."""
    row = tangent(program.objective, at, program.start, level)
    relaxation.add_row({"ln_params": row.slope[0], "ln_tokens": row.slope[1], "ln_objective": -1.0}, row.upper)
    row = tangent(program.limit, at, program.start, program.ln_limit)
    relaxation.add_row({"ln_params": row.slope[0], "ln_tokens": row.slope[1]}, row.upper)
