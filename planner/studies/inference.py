"""Read a price table backwards: what it says about the model behind it, and where its clues disagree.

Every end of an interval is the optimum of the outer approximation (`formulations.price_inference`), solved to zero gap
and refined where its curves are loose: the true interval lies inside, and its end is reached to 1e-3.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from formulations.price_inference import SOFTPLUS, UNKNOWNS, Clue, PriceInference, PriceQuestion, Tier
from planner.errors import InstanceError, Problem, SolverError
from planner.instance.loading import load_accelerator
from planner.instance.memory_tiers import hbm_tier, load_memory_tiers
from planner.instance.quantities import PRECISION_BYTES
from planner.solver.highs import solve_matrix
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from planner.instance.price_table import PriceTable
    from planner.solver.matrix import CompiledModel
    from planner.solver.result import SolveResult

PRIOR = {
    "active_params": (1e9, 1e13),
    "total_params": (1e9, 1e14),
    "kv_bytes_per_token": (10.0, 1e7),
    "margin": (1.0, 1e3),
    "mfu": (0.01, 1.0),
    "batch_over_balance": (0.01, 1e3),
    "crossover": (1e-3, 1e15),
}
"""What is taken as possible before any clue: wide, except that nobody sells below cost or computes above the peak."""

WIDTHS = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}
_LOOSE = 1e-3
_TOUCHED_BY_SPEED = "total_params"
_MOST_REFINEMENTS = 8
TIERS = "host_2026"


@dataclass(frozen=True)
class Reading:
    """How a table is read.

    Attributes
    ----------
    tolerance
        Relative tolerance of every clue.
    precision
        Format of the weights where it is taken as known.
    large_batch
        Take the context step as the crossover itself.
    prior
        Bounds that replace those of ``PRIOR``.
    only
        Clues to use; all by default.
    """

    tolerance: float = 0.1
    precision: str | None = None
    large_batch: bool = False
    prior: dict[str, tuple[float, float]] | None = None
    only: tuple[str, ...] | None = None


def question_of(table: PriceTable, reading: Reading) -> PriceQuestion:
    """Turn a price table into clues and constants.

    Raises
    ------
    InstanceError
        If the table has no such clue as ``reading.only`` names, or names a storage tier that there is not.
    """
    chip = load_accelerator(table.machine.hardware)
    usd_per_hour = table.machine.usd_per_gpu_hour
    tiers = (hbm_tier(chip, usd_per_hour), *load_memory_tiers(TIERS).tiers)
    _refuse_unknown(table, reading, [tier.name for tier in tiers])
    spread = math.log1p(reading.tolerance)
    wanted = reading.only
    values = {name: value for name, value in _clue_values(table).items() if wanted is None or name in wanted}
    widths = {name: width for name, width in WIDTHS.items() if reading.precision in (None, name)}
    return PriceQuestion(
        clues=tuple(Clue(name, value, spread) for name, value in values.items()),
        flop_per_s={width: chip.peak_flop_per_s(name) for name, width in widths.items() if name in chip.flop_per_s},
        hbm_bytes_per_s=chip.hbm_bytes_per_s,
        usd_per_gpu_s=usd_per_hour / 3600,
        gpus=table.machine.gpus,
        typical_context_tokens=float(table.typical_context_tokens or 1),
        bounds=PRIOR | (reading.prior or {}),
        tiers=tuple(Tier(tier.name, tier.usd_per_byte_hour, tier.bytes_per_s) for tier in tiers),
        storage_tier=table.storage_tier,
        fast_price_ratio=None if table.fast_mode is None else table.fast_mode.price_ratio,
        large_batch=reading.large_batch,
    )


def _refuse_unknown(table: PriceTable, reading: Reading, tiers: list[str]) -> None:
    clues, problems = list(_clue_values(table)), []
    for name in reading.only or ():
        if name not in clues:
            message = f"{table.name} gives no clue {name!r}"
            problems.append(Problem("command line", "--clues", message, f"one of {', '.join(clues)}"))
    if table.storage_tier not in (None, *tiers):
        message = f"there is no tier {table.storage_tier!r}"
        problems.append(Problem(table.name, "storage_tier", message, f"one of {', '.join(tiers)}"))
    if problems:
        raise InstanceError(problems)


def _clue_values(table: PriceTable) -> dict[str, float]:
    """Value of each clue: prices in USD a token, ratios as they are."""
    found: dict[str, float | None] = {
        "input_price": table.input_usd_per_mtok / 1e6,
        "output_over_input": table.output_usd_per_mtok / table.input_usd_per_mtok
        if table.typical_context_tokens is not None
        else None,
        "context_step": None if table.long_context is None else float(table.long_context.threshold_tokens),
        "storage_price": None if table.holding_usd_per_mtok_hour is None else table.holding_usd_per_mtok_hour / 1e6,
        "cached_price": None if table.cached_input_usd_per_mtok is None else table.cached_input_usd_per_mtok / 1e6,
        "fast_mode": None if table.fast_mode is None else table.fast_mode.speed_ratio,
        "speed": table.output_tokens_per_s,
    }
    return {name: value for name, value in found.items() if value is not None}


class Inference:
    """One price question, compiled once; aims and clues in force change only bounds and costs."""

    def __init__(self, question: PriceQuestion) -> None:
        self.question = question
        self._compiled = self._compile(question)

    def _compile(self, question: PriceQuestion) -> CompiledModel:
        built = PriceInference().build(question)
        self._model = built.model
        compiled = compile_pyomo(built.model)
        self._position = {name: at for at, name in enumerate(compiled.matrix.column_names)}
        return compiled

    @property
    def clues(self) -> tuple[str, ...]:
        """Names of the clues."""
        return tuple(clue.name for clue in self.question.clues)

    def possible(self, clues: Collection[str]) -> bool:
        """Whether some model meets all of ``clues`` within their tolerances."""
        return self._solve_tightly({}, clues).has_point

    def interval(self, unknown: str, clues: Collection[str], *, tight: bool = True) -> tuple[float, float] | None:
        """Least and greatest value of an unknown that ``clues`` allow; None where they disagree.

        Without ``tight`` the curves are taken as they are cut: the interval holds the true one, perhaps with room.
        """
        ends = []
        solve = self._solve_tightly if tight else self._solve
        for sign in (1.0, -1.0):
            result = solve({f"log[{unknown}]": sign}, clues)
            if not result.has_point:
                return None
            ends.append(math.exp(sign * result.bound))
        return ends[0], ends[1]

    def _solve_tightly(self, costs: dict[str, float], clues: Collection[str], may: Collection[str] = ()) -> SolveResult:
        """Solve, cut the curves where the answer uses their looseness, and solve again."""
        result = self._solve(costs, clues, may)
        for _ in range(_MOST_REFINEMENTS):
            loose = self._loose_points(result) if result.has_point else []
            if not loose:
                break
            self.question = replace(self.question, breakpoints=(*self.question.breakpoints, *loose))
            self._compiled = self._compile(self.question)
            result = self._solve(costs, clues, may)
        return result

    def _loose_points(self, result: SolveResult) -> list[float]:
        """Points at which the approximation of s is further than ``_LOOSE`` from the curve."""
        self._compiled.load(result.values)  # type: ignore[arg-type]
        pairs = [(self._model.x, self._model.softplus.y)]
        if self._model.component("x_fast") is not None:
            pairs.append((self._model.x_fast, self._model.softplus_fast.y))
        return [x.value for x, y in pairs if abs(SOFTPLUS.value(x.value) - y.value) > _LOOSE]

    def conflicts(self, clues: Collection[str]) -> list[list[str]]:
        """Return every irreducible conflict: clues no model meets together, though any fewer of them can be met."""
        found: list[set[str]] = []
        for size in range(1, len(clues) + 1):
            for subset in itertools.combinations(clues, size):
                if not any(known <= set(subset) for known in found) and not self.possible(subset):
                    found.append(set(subset))
        return [[name for name in clues if name in known] for known in found]

    def largest_agreeing(self, clues: Collection[str]) -> list[str]:
        """Return clues that can be met together, as many as possible; of equally many the first listed."""
        for size in range(len(clues), 0, -1):
            for subset in itertools.combinations(clues, size):
                if self.possible(subset):
                    return list(subset)
        return []

    def least_stretch(self, clues: Collection[str], may: Collection[str]) -> dict[str, float] | None:
        """Factors by which the clues in ``may`` must be stretched, all tolerances 0, so that ``clues`` agree.

        The product of the factors (or of their inverses) is the least possible; None where that does not help.
        """
        costs = {f"{side}[{name}]": 1.0 for name in may for side in ("stretch_up", "stretch_down")}
        exact = replace(self.question, clues=tuple(replace(clue, tolerance=0.0) for clue in self.question.clues))
        strict = Inference(exact)
        result = strict._solve_tightly(costs, clues, may)
        if not result.has_point:
            return None
        strict._compiled.load(result.values)  # type: ignore[arg-type]
        model = strict._model
        return {
            name: math.exp(model.stretch_up[name].value - model.stretch_down[name].value)
            for name in may
            if abs(model.stretch_up[name].value - model.stretch_down[name].value) > 1e-6
        }

    def _solve(self, costs: dict[str, float], clues: Collection[str], may: Collection[str] = ()) -> SolveResult:
        matrix = self._compiled.matrix
        upper, lower = matrix.column_upper.copy(), matrix.column_lower.copy()
        position = self._position
        for name in self.clues:
            if name in clues and name not in may:
                for side in ("stretch_up", "stretch_down"):
                    upper[position[f"{side}[{name}]"]] = 0.0
        if "kink.used" in position and "context_step" in clues:
            lower[position["kink.used"]] = 1.0
        cost: NDArray[np.float64] = np.zeros(matrix.columns)
        for name, value in costs.items():
            cost[position[name]] = value
        program = replace(matrix, cost=cost, column_upper=upper, column_lower=lower)
        result = solve_matrix(program, SolveOptions(gap=0.0, threads=1, time_limit_s=20.0)).uninterrupted()
        if result.stop_reason not in (StopReason.optimal_within_gap, StopReason.infeasible):
            raise SolverError(f"price inference stopped early: {result.stop_reason}")
        return result


def infer_prices(table: PriceTable, reading: Reading) -> dict[str, Any]:
    """Answer `planner infer prices`.

    Returns
    -------
    dict
        intervals: unknown -> least, greatest, and whether the clues narrow it at all; where the clues disagree, those
        of the largest agreeing set of clues, named in ``intervals_from``. identifies: for each clue alone, the factor
        by which it narrows each unknown. conflicts: every irreducible conflict with the least factors that mend it.
        relaxation: the least factors that mend all clues together.
    """
    inference = Inference(question_of(table, reading))
    clues = inference.clues
    conflicts = inference.conflicts(clues)
    used = inference.largest_agreeing(clues) if conflicts else list(clues)
    prior = {unknown: inference.interval(unknown, (), tight=False) for unknown in UNKNOWNS}
    intervals = {unknown: inference.interval(unknown, used) for unknown in UNKNOWNS}
    return {
        "table": table.name,
        "title": table.title,
        "clues": {clue.name: clue.value for clue in inference.question.clues},
        "tolerance": reading.tolerance,
        "intervals_from": used,
        "intervals": {unknown: _interval(intervals[unknown], prior[unknown]) for unknown in UNKNOWNS},
        "identifies": _identifies(inference, prior),
        "conflicts": [_conflict(inference, names) for names in conflicts],
        "relaxation": inference.least_stretch(clues, clues) if conflicts else {},
        "combinations": combinations_of(table),
        "sources": table.sources,
    }


_NARROWS = 1.01


def _interval(found: tuple[float, float] | None, prior: tuple[float, float] | None) -> dict[str, Any] | None:
    if found is None or prior is None:
        return None
    low, high = found
    return {"least": low, "greatest": high, "factor": high / low, "narrowed": _factor(prior, found) > _NARROWS}


def _factor(wide: tuple[float, float], narrow: tuple[float, float]) -> float:
    return (wide[1] / wide[0]) / (narrow[1] / narrow[0])


def _identifies(inference: Inference, prior: dict[str, tuple[float, float] | None]) -> dict[str, dict[str, float]]:
    """Say by which factor each clue alone narrows each unknown; unknowns it leaves as they were are left out."""
    answer = {}
    for clue in inference.clues:
        factors = {}
        for unknown, wide in prior.items():
            if unknown == _TOUCHED_BY_SPEED and clue != "speed":
                continue
            found = inference.interval(unknown, [clue], tight=False)
            if found is not None and wide is not None and _factor(wide, found) > _NARROWS:
                factors[unknown] = _factor(wide, found)
        answer[clue] = factors
    return answer


def _conflict(inference: Inference, names: list[str]) -> dict[str, Any]:
    alone = {}
    for name in names:
        stretch = inference.least_stretch(names, [name])
        if stretch is not None:
            alone[name] = stretch.get(name, 1.0)
    least = min((max(factor, 1 / factor) for factor in alone.values()), default=None)
    return {"clues": names, "least_factor": least, "factor_if_only": alone}


def combinations_of(table: PriceTable) -> dict[str, float]:
    """Numbers in which margin, GPU price and parameters cancel.

    ``crossover_tokens_at_full_mfu`` is (p_in / p_store) / (C / W): what L* is at MFU 1 if input and storage carry the
    same margin and caches lie in HBM. ``params_per_kv_byte`` is N_active / k, what the context step says alone in fp8.
    """
    chip = load_accelerator(table.machine.hardware)
    found = {}
    if table.holding_usd_per_mtok_hour is not None:
        hours = table.input_usd_per_mtok / table.holding_usd_per_mtok_hour
        found["crossover_tokens_at_full_mfu"] = hours * 3600 / chip.drain_s()
    if table.long_context is not None:
        ratio = chip.roofline_ratio("fp8") / PRECISION_BYTES["fp8"]
        found["params_per_kv_byte"] = table.long_context.threshold_tokens * ratio
    return found
