"""Solve a program with HiGHS: the functions the rest of the planner calls."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from highspy import HighsModelStatus

from planner.errors import NoPlanFound
from planner.solver.matrix import CompiledModel, MatrixModel, compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus, ProgressPoint, SolveResult, StopReason, relative_gap
from planner.solver.run import Run, log_path, versions

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from planner.solver.run import Watcher


def solve_pyomo(
    model: Any,  # noqa: ANN401 - Pyomo ships no types
    options: SolveOptions | None = None,
    start: Mapping[Any, float] | None = None,
    on_progress: Watcher | None = None,
) -> SolveResult:
    """Compile a Pyomo model, solve it, and load the values into its variables if a feasible point is held.

    Parameters
    ----------
    model
        A linear Pyomo model.
    options
        Limits and seeds.
    start
        Values to start from, a Pyomo ``ComponentMap`` (its variables are not hashable); the integer ones are enough.
    on_progress
        Called in the caller's thread with each new incumbent or bound.

    Returns
    -------
    SolveResult
        Objective and bound are in the sense of the model; ``values`` are in the order of the compiled columns.

    Raises
    ------
    FormulationError
        If the model is not linear.
    SolverError
        If HiGHS refuses the options or the model, or fails without a feasible point.
    """
    options = options or SolveOptions()
    began = time.perf_counter()
    try:
        compiled = compile_pyomo(model)
    except NoPlanFound as error:
        return _without_solver(options, time.perf_counter() - began, message=str(error))
    compile_s = time.perf_counter() - began
    vector = None if start is None else compiled.start_vector(start)
    sign = -1.0 if compiled.maximise else 1.0
    watch = (lambda p: on_progress(_signed(p, sign))) if on_progress else None
    result = solve_matrix(compiled.matrix, options, vector, watch)
    if result.values is not None:
        compiled.load(result.values)
    return replace(_in_sense_of(compiled, result), build_s=result.build_s + compile_s)


def solve_matrix(
    matrix: MatrixModel,
    options: SolveOptions | None = None,
    start: NDArray[np.float64] | None = None,
    on_progress: Watcher | None = None,
    stopped: threading.Event | None = None,
) -> SolveResult:
    """Solve a program given as arrays.

    Parameters
    ----------
    matrix
        The program.
    options
        Limits and seeds.
    start
        [column] values to start from, NaN where unknown. HiGHS fixes the integer columns it is given and solves for the
        rest: an LP when all are given, else a small search. Ignored for programs without integer columns.
    on_progress
        Called in the caller's thread with each new incumbent or bound. An exception in it stops the run.
    stopped
        Set by another thread, it has the effect of a Ctrl-C, which only the main thread gets.

    Returns
    -------
    SolveResult
        After a first Ctrl-C the result holds the incumbent and says ``interrupted``; a second one gives up the run.

    Raises
    ------
    SolverError
        If HiGHS refuses the options or the model, or fails without a feasible point.
    """
    options = options or SolveOptions()
    if matrix.columns == 0:
        holds = bool(np.all((matrix.row_lower <= 0) & (matrix.row_upper >= 0)))
        return _without_solver(options, 0.0, None if not holds else matrix.offset, rows=matrix.rows)
    with log_path(options) as path:
        run = Run(matrix, options, path)
        if start is not None and matrix.integer_columns:
            run.set_start(start)
        run.solve(on_progress, stopped)
        return run.result(_tell_apart(matrix, options, run.model_status()))


def solve_lp_relaxation(
    matrix: MatrixModel, options: SolveOptions | None = None, stopped: threading.Event | None = None
) -> SolveResult:
    """Solve the program with integrality dropped; the optimum bounds the integer program from below."""
    return solve_matrix(replace(matrix, integrality=np.zeros_like(matrix.integrality)), options, stopped=stopped)


def _tell_apart(matrix: MatrixModel, options: SolveOptions, status: HighsModelStatus) -> HighsModelStatus:
    """Settle ``kUnboundedOrInfeasible``: without costs nothing is unbounded, so a feasible answer means unbounded."""
    if status != HighsModelStatus.kUnboundedOrInfeasible:
        return status
    without_costs = replace(matrix, cost=np.zeros_like(matrix.cost), offset=0.0)
    probe = solve_matrix(without_costs, replace(options, log_file=None))
    return HighsModelStatus.kUnbounded if probe.has_point else HighsModelStatus.kInfeasible


def _without_solver(
    options: SolveOptions, build_s: float, objective: float | None = None, *, rows: int = 0, message: str = ""
) -> SolveResult:
    """Record of a program that needs no solver: no columns, or a constant constraint that can never hold."""
    holds = objective is not None
    bound = math.inf if objective is None else objective
    return SolveResult(
        status=PlanStatus.optimal if holds else PlanStatus.none,
        stop_reason=StopReason.optimal_within_gap if holds else StopReason.infeasible,
        objective=objective,
        bound=bound,
        gap=relative_gap(objective, bound),
        values=np.zeros(0) if holds else None,
        row_duals=None,
        reduced_costs=None,
        build_s=build_s,
        solve_s=0.0,
        rows=rows,
        columns=0,
        nonzeros=0,
        integer_columns=0,
        start_accepted=None,
        options=options,
        versions=versions(),
        message=message,
    )


def _signed(point: ProgressPoint, sign: float) -> ProgressPoint:
    return ProgressPoint(point.seconds, sign * point.objective, sign * point.bound)


def _in_sense_of(compiled: CompiledModel, result: SolveResult) -> SolveResult:
    """Turn the signs back where the Pyomo model maximises."""
    if not compiled.maximise:
        return result
    return replace(
        result,
        objective=None if result.objective is None else -result.objective,
        bound=-result.bound,
        row_duals=None if result.row_duals is None else -result.row_duals,
        reduced_costs=None if result.reduced_costs is None else -result.reduced_costs,
        history=[_signed(point, -1.0) for point in result.history],
    )
