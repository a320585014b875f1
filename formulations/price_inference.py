"""Price inference: which models and margins are consistent with a public price table.

All unknowns are logarithms. Write n = ln N_active, t = ln N_total, k = ln KV bytes per token, m = ln margin,
e = ln MFU, beta = ln (batch / balance batch), l = ln (2 W / F) + n - k = ln L* (crossover context) and
x = ln (typical context) - l + beta = ln(lambda b). With s = ln(1 + exp x) every clue is linear but for max() and s:

input price      m + n - e + ln(2 p / F)              = ln p_in
output / input   max(0, s - beta)                     = ln (p_out / p_in)    cost over the floor, max(1, 1/b + lambda)
context step     l + ln(1 - 1/b)                      = ln threshold         kink of max(1, 1/b + L/L*)
storage          m + k + ln(tier $/byte-hour)         = ln p_store
cached input     m + k + ln(p / tier bandwidth)       = ln p_hit
fast mode        tau(b) - tau(b / (c s))              = ln s                    tau = max(beta, s), ratio of batches c s
speed            ln w + t - ln(G W) + tau             = -ln tokens/s

A max() takes a binary for the branch, precision and tiers a binary each, s and ln(1 - 1/b) a binary for the segment in
which they lie between tangent and chord: an outer approximation, so that a minimum or maximum is a proven end of an
interval. Sources: seed claims dossier, C18-C23 and section 8, P1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyomo.environ as pyo

from formulations.base import Built, refuse
from formulations.blocks.envelope import Curve, add_curve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

UNKNOWNS = ("active_params", "total_params", "kv_bytes_per_token", "margin", "mfu", "batch_over_balance", "crossover")
"""Names of the unknowns, in the order in which they are reported; ``precision`` and tiers are choices."""

_LARGE = 80.0  # more than any logarithm here


@dataclass(frozen=True)
class Tier:
    """A place that holds cached KV: price of a byte-hour and how fast a GPU reads it back."""

    name: str
    usd_per_byte_hour: float
    bytes_per_s: float


@dataclass(frozen=True)
class Clue:
    """A positive number of the table with the tolerance, in logarithm, within which it must be met."""

    name: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class PriceQuestion:
    """Everything the program reads.

    Attributes
    ----------
    clues
        By name: input_price, output_over_input, context_step, storage_price, cached_price, fast_mode, speed; prices in
        USD a token (storage: a token-hour).
    flop_per_s
        Bytes per weight -> dense peak of one GPU.
    bounds
        Unknown -> least and greatest value, natural units.
    fast_price_ratio
        Price ratio c of the fast mode; its clue is the speed ratio.
    tiers, storage_tier
        Where caches may lie; the tier of the storage price where it is taken as known.
    large_batch
        Take the context step as the crossover itself: 1/b is neglected.
    """

    clues: tuple[Clue, ...]
    flop_per_s: Mapping[float, float]
    hbm_bytes_per_s: float
    usd_per_gpu_s: float
    gpus: int
    typical_context_tokens: float
    bounds: Mapping[str, tuple[float, float]]
    tiers: Sequence[Tier] = ()
    storage_tier: str | None = None
    fast_price_ratio: float | None = None
    large_batch: bool = False
    breakpoints: tuple[float, ...] = field(default=(), compare=False)

    def clue(self, name: str) -> Clue | None:
        """Return a clue by name, or None."""
        return next((entry for entry in self.clues if entry.name == name), None)


@dataclass(frozen=True)
class PriceInference:
    """The program behind the interface of all formulations; ``extract`` returns the unknowns in natural units.

    Its own aim is to break the clues least, the sum of the absolute logarithms by which they are stretched; intervals
    come from the same rows with other aims.
    """

    name: str = "price_inference"
    decides: str = "least and greatest hidden parameters that a price table allows"

    def supports(self, problem: PriceQuestion) -> str | None:
        """Return why the question cannot be asked, or ``None``."""
        if not problem.clues:
            return "a price table without clues"
        if problem.clue("fast_mode") is not None and problem.fast_price_ratio is None:
            return "the fast mode has no price ratio"
        tiered = [name for name in ("storage_price", "cached_price") if problem.clue(name) is not None]
        if tiered and not problem.tiers:
            return f"{tiered[0]} needs tiers"
        return None

    def build(self, problem: PriceQuestion) -> Built:
        """Write the program."""
        refuse(self.supports(problem))
        model = pyo.ConcreteModel(self.name)
        _add_unknowns(model, problem)
        _add_precision(model, problem)
        _add_step(model, problem)
        _add_stretch(model, problem)
        for add in (_input_price, _output_ratio, _context_step, _cached_prices, _fast_mode, _speed):
            add(model, problem)
        model.least = pyo.Objective(
            expr=sum(model.stretch_up[name] + model.stretch_down[name] for name in model.clue_names)
        )
        return Built(model, lambda: {name: math.exp(pyo.value(model.log[name])) for name in UNKNOWNS})


def _add_unknowns(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401 - a Pyomo model
    """``log[name]``: logarithm of each unknown, within its bounds; N_total >= N_active."""
    limits = {name: tuple(math.log(end) for end in problem.bounds[name]) for name in UNKNOWNS}
    model.log = pyo.Var(UNKNOWNS, bounds=lambda _, name: limits[name])
    model.not_all_active = pyo.Constraint(expr=model.log["total_params"] >= model.log["active_params"])


def _add_precision(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """One weight width is used: log_width and log_flop are its logarithms; l = ln(2 W / F) + n - k."""
    model.width = pyo.Var(list(problem.flop_per_s), domain=pyo.Binary)
    model.one_width = pyo.Constraint(expr=sum(model.width.values()) == 1)
    model.log_width = pyo.Expression(expr=sum(math.log(w) * model.width[w] for w in problem.flop_per_s))
    model.log_flop = pyo.Expression(expr=sum(math.log(f) * model.width[w] for w, f in problem.flop_per_s.items()))
    log = model.log
    model.crossover = pyo.Constraint(
        expr=log["crossover"]
        == math.log(2 * problem.hbm_bytes_per_s) - model.log_flop + log["active_params"] - log["kv_bytes_per_token"]
    )


def _add_step(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """X = ln(lambda b) and s = ln(1 + exp x), between tangent and chord of the segment it lies in."""
    log = model.log
    model.x = pyo.Var(bounds=(-40, 40))
    model.x_is = pyo.Constraint(
        expr=model.x == math.log(problem.typical_context_tokens) - log["crossover"] + log["batch_over_balance"]
    )
    model.softplus = pyo.Block()
    add_curve(model.softplus, model.x, SOFTPLUS, problem.breakpoints)


def _add_stretch(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """``stretch_up`` and ``stretch_down`` [clue]: logarithms by which a clue may be missed beyond its tolerance."""
    model.clue_names = pyo.Set(initialize=[entry.name for entry in problem.clues], ordered=True)
    model.stretch_up = pyo.Var(model.clue_names, bounds=(0, _LARGE))
    model.stretch_down = pyo.Var(model.clue_names, bounds=(0, _LARGE))
    model.met = pyo.Constraint(model.clue_names)


def _meet(model: Any, problem: PriceQuestion, name: str, expression: Any) -> None:  # noqa: ANN401
    """|expression - ln value| <= tolerance + stretch."""
    clue = problem.clue(name)
    if clue is None:
        return
    value = math.log(clue.value)
    stretched = expression - model.stretch_up[name] + model.stretch_down[name]
    model.met[name] = pyo.inequality(value - clue.tolerance, stretched, value + clue.tolerance)


def _input_price(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    log = model.log
    cost = math.log(2 * problem.usd_per_gpu_s) - model.log_flop + log["active_params"] - log["mfu"]
    _meet(model, problem, "input_price", log["margin"] + cost)


def _output_ratio(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """R = max(0, s - beta)."""
    if problem.clue("output_over_input") is None:
        return
    model.ratio = pyo.Var(bounds=(0, _LARGE))
    _add_max(model, "ratio_branch", model.ratio, 0.0, model.softplus.y - model.log["batch_over_balance"])
    _meet(model, problem, "output_over_input", model.ratio)


def _context_step(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """L + ln(1 - 1/b); without a kink (b <= 1) the clue is not met."""
    if problem.clue("context_step") is None:
        return
    if problem.large_batch:
        _meet(model, problem, "context_step", model.log["crossover"])
        return
    model.kink = pyo.Block()
    add_curve(model.kink, model.log["batch_over_balance"], KINK, (), optional=True)
    _meet(model, problem, "context_step", model.log["crossover"] + model.kink.y)


def _cached_prices(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """Price holding and reading back of cached KV, each from one tier."""
    stored = model.log["margin"] + model.log["kv_bytes_per_token"]
    names = [tier.name for tier in problem.tiers]
    for clue, rate, known in (
        ("storage_price", {t.name: t.usd_per_byte_hour for t in problem.tiers}, problem.storage_tier),
        ("cached_price", {t.name: problem.usd_per_gpu_s / t.bytes_per_s for t in problem.tiers}, None),
    ):
        if problem.clue(clue) is None:
            continue
        offered = [name for name in names if known in (None, name)]
        tier = pyo.Var(offered, domain=pyo.Binary)
        model.add_component(f"{clue}_tier", tier)
        model.add_component(f"{clue}_one_tier", pyo.Constraint(expr=sum(tier.values()) == 1))
        _meet(model, problem, clue, stored + sum(math.log(rate[name]) * tier[name] for name in offered))


def _fast_mode(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """Tau(b) - tau(b / (c s)) with tau = max(beta, s)."""
    clue = problem.clue("fast_mode")
    if clue is None or problem.fast_price_ratio is None:
        return
    smaller = math.log(problem.fast_price_ratio * clue.value)
    model.x_fast = pyo.Var(bounds=(-60, 40))
    model.x_fast_is = pyo.Constraint(expr=model.x_fast == model.x - smaller)
    model.softplus_fast = pyo.Block()
    add_curve(model.softplus_fast, model.x_fast, SOFTPLUS, problem.breakpoints)
    model.tau_fast = pyo.Var(bounds=(-_LARGE, _LARGE))
    batch = model.log["batch_over_balance"]
    _add_max(model, "fast_branch", model.tau_fast, batch - smaller, model.softplus_fast.y)
    _meet(model, problem, "fast_mode", _tau(model) - model.tau_fast)


def _speed(model: Any, problem: PriceQuestion) -> None:  # noqa: ANN401
    """Step time of the standard tier, one sweep of the weights times tau."""
    sweep = model.log_width + model.log["total_params"] - math.log(problem.gpus * problem.hbm_bytes_per_s)
    if problem.clue("speed") is not None:
        _meet(model, problem, "speed", -(sweep + _tau(model)))


def _tau(model: Any) -> Any:  # noqa: ANN401
    """Tau(b) = max(beta, s), added once."""
    if model.component("tau") is None:
        model.tau = pyo.Var(bounds=(-_LARGE, _LARGE))
        _add_max(model, "tau_branch", model.tau, model.log["batch_over_balance"], model.softplus.y)
    return model.tau


def _add_max(model: Any, name: str, result: Any, first: Any, second: Any) -> None:  # noqa: ANN401
    """Write result = max(first, second): at least both, and at most the one that the branch names."""
    branch = pyo.Var(domain=pyo.Binary)
    model.add_component(name, branch)
    rows = pyo.ConstraintList()
    model.add_component(f"{name}_rows", rows)
    rows.add(result >= first)
    rows.add(result >= second)
    rows.add(result <= first + 2 * _LARGE * branch)
    rows.add(result <= second + 2 * _LARGE * (1 - branch))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _log_kink(beta: float) -> float:
    return math.log(-math.expm1(-beta))


SOFTPLUS = Curve(
    value=_softplus,
    slope=lambda x: 1.0 / (1.0 + math.exp(-x)),
    points=(-60.0, -12.0, -6.0, -3.0, -1.5, -0.5, 0.5, 1.5, 3.0, 6.0, 12.0, 40.0),
    convex=True,
)
"""Ln(1 + exp x)."""

KINK = Curve(
    value=_log_kink,
    slope=lambda beta: 1.0 / math.expm1(beta),
    points=(0.02, 0.05, 0.1, 0.18, 0.3, 0.45, 0.65, 0.9, 1.2, 1.6, 2.1, 2.8, 3.8, 5.2, 8.0, 12.0),
    convex=False,
)
"""Ln(1 - exp(-beta)), for batches from 1.02 times the balance batch on."""
