"""One HiGHS object, one run: hand the arrays over, watch, interrupt, and read how it ended.

Each run has a thread of its own. That lets the caller's thread answer Ctrl-C at once and keep the incumbent, and it
gives the run a thread pool of its own: HiGHS refuses to run when the number of threads differs from the one with which
the pool of the calling thread was started.
"""

from __future__ import annotations

import contextlib
import functools
import math
import platform
import re
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import highspy
import numpy as np
from highspy import HighsModelStatus, HighsStatus

from planner.errors import SolverError
from planner.solver.quiet import QuietHighs
from planner.solver.result import PlanStatus, ProgressPoint, SolveResult, StopReason, relative_gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from planner.solver.matrix import MatrixModel
    from planner.solver.options import SolveOptions

    Watcher = Callable[[ProgressPoint], None]

_FEASIBLE_POINT = 2  # HiGHS' kSolutionStatusFeasible: we hold a feasible point, whatever ended the run
# The only evidence HiGHS gives, the second where presolve leaves nothing to search; a start it drops goes in silence.
_START_ACCEPTED = re.compile(
    r"MIP start solution is feasible|^Assessing feasibility of MIP solution .*: feasible", re.M
)
_POLL_S = 0.05

STOP_REASONS: dict[HighsModelStatus, StopReason] = {
    HighsModelStatus.kOptimal: StopReason.optimal_within_gap,
    HighsModelStatus.kModelEmpty: StopReason.optimal_within_gap,
    HighsModelStatus.kTimeLimit: StopReason.time_limit,
    HighsModelStatus.kSolutionLimit: StopReason.node_limit,
    HighsModelStatus.kInterrupt: StopReason.interrupted,
    HighsModelStatus.__members__["kHighsInterrupt"]: StopReason.interrupted,  # missing in the type stubs
    HighsModelStatus.kInfeasible: StopReason.infeasible,
    HighsModelStatus.kUnbounded: StopReason.unbounded,
    # told apart by a second run without costs before this table is asked
    HighsModelStatus.kUnboundedOrInfeasible: StopReason.infeasible,
    HighsModelStatus.kIterationLimit: StopReason.solver_error,
    HighsModelStatus.kMemoryLimit: StopReason.solver_error,
    HighsModelStatus.kObjectiveBound: StopReason.solver_error,
    HighsModelStatus.kObjectiveTarget: StopReason.solver_error,
    HighsModelStatus.kNotset: StopReason.solver_error,
    HighsModelStatus.kLoadError: StopReason.solver_error,
    HighsModelStatus.kModelError: StopReason.solver_error,
    HighsModelStatus.kPresolveError: StopReason.solver_error,
    HighsModelStatus.kSolveError: StopReason.solver_error,
    HighsModelStatus.kPostsolveError: StopReason.solver_error,
    HighsModelStatus.kUnknown: StopReason.solver_error,
}


def check(status: HighsStatus, action: str) -> None:
    """Raise ``SolverError`` unless a HiGHS call went through; a warning counts as going through."""
    if status == HighsStatus.kError:
        raise SolverError(f"HiGHS refused to {action}")


def new_highs(matrix: MatrixModel) -> highspy.Highs:
    """Return a silent HiGHS object that holds the program.

    Raises
    ------
    SolverError
        If HiGHS refuses the program.
    """
    highs = QuietHighs()  # type: ignore[no-untyped-call]
    arrays = matrix.matrix
    check(
        highs.passModel(
            matrix.columns, matrix.rows, matrix.nonzeros,
            int(highspy.MatrixFormat.kRowwise), int(highspy.ObjSense.kMinimize), matrix.offset,
            matrix.cost, matrix.column_lower, matrix.column_upper, matrix.row_lower, matrix.row_upper,
            arrays.indptr.astype(np.int32), arrays.indices.astype(np.int32), arrays.data.astype(np.float64),
            matrix.integrality.astype(np.int32),
        ),
        "take the model",
    )  # fmt: skip
    return highs


def versions() -> dict[str, str]:
    """Return name and version of each program that takes part in a solve."""
    return dict(_versions())


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Read the packages' records once: that takes as long as a small solve."""
    packages = [(name, version(name)) for name in ("highspy", "pyomo", "numpy", "scipy")]
    return (*packages, ("python", platform.python_version()))


@dataclass(eq=False)
class Run:
    """One program in one HiGHS object, solved once."""

    matrix: MatrixModel
    options: SolveOptions
    log_path: Path
    highs: highspy.Highs = field(init=False)
    build_s: float = 0.0
    solve_s: float = 0.0
    start_given: bool = False
    history: list[ProgressPoint] = field(default_factory=list)
    run_status: HighsStatus = HighsStatus.kError
    asked_to_stop: bool = False

    def __post_init__(self) -> None:
        began = time.perf_counter()
        self.highs = new_highs(self.matrix)
        settings = self.options.as_highs() | {"log_file": str(self.log_path)}
        for name, value in settings.items():
            check(self.highs.setOptionValue(name, value), f"set option {name} to {value!r}")
        self.build_s = time.perf_counter() - began

    def set_start(self, start: NDArray[np.float64]) -> None:
        """Hand over a start. Nothing may be changed after it: any later change makes HiGHS drop it."""
        if start.shape != (self.matrix.columns,):
            raise SolverError(f"the start has shape {start.shape}, the matrix needs ({self.matrix.columns},)")
        known = np.flatnonzero(~np.isnan(start)).astype(np.int32)
        values = np.where(self.matrix.integrality[known] != 0, np.round(start[known]), start[known])
        check(self.highs.setSolution(len(known), known, values), "take the start")
        self.start_given = True

    def solve(self, on_progress: Watcher | None, stopped: threading.Event | None = None) -> None:
        """Run HiGHS in a thread of its own; return when it is done, was interrupted or stopped, or failed."""
        stop, finished = threading.Event(), threading.Event()
        began = time.perf_counter()
        points = self._watch(stop, began)
        worker = threading.Thread(target=self._work, args=(finished,), name="highs", daemon=True)
        worker.start()
        while not finished.is_set():
            try:
                finished.wait(_POLL_S)
                self._pass_on(points, on_progress)
                if stopped is not None and stopped.is_set() and not finished.is_set():
                    stop.set()
                    self.asked_to_stop = True
            except KeyboardInterrupt:
                if stop.is_set():
                    raise
                stop.set()
                self.asked_to_stop = True
            except BaseException:
                stop.set()
                finished.wait()
                raise
        worker.join()
        self._pass_on(points, on_progress)
        self.solve_s = time.perf_counter() - began

    def _work(self, finished: threading.Event) -> None:
        try:
            self.run_status = self.highs.run()
        finally:
            self.highs.resetThreadScheduler(False)
            finished.set()

    def _watch(self, stop: threading.Event, began: float) -> deque[ProgressPoint]:
        """Subscribe callbacks. They only record: an exception in one would end the run as a solve error."""
        points: deque[ProgressPoint] = deque()

        def record(event: Any) -> None:  # noqa: ANN401 - highspy's callback event
            with contextlib.suppress(Exception):
                data = event.data_out
                seconds = time.perf_counter() - began
                points.append(ProgressPoint(seconds, float(data.mip_primal_bound), float(data.mip_dual_bound)))

        def interrupt(event: Any) -> None:  # noqa: ANN401 - highspy's callback event
            with contextlib.suppress(Exception):
                event.interrupt(stop.is_set())

        for callback in (self.highs.cbMipImprovingSolution, self.highs.cbMipLogging):
            callback.subscribe(record)
        for callback in (self.highs.cbMipInterrupt, self.highs.cbSimplexInterrupt, self.highs.cbIpmInterrupt):
            callback.subscribe(interrupt)
        return points

    def _pass_on(self, points: deque[ProgressPoint], on_progress: Watcher | None) -> None:
        while points:
            point = points.popleft()
            if self.history and point[1:] == self.history[-1][1:]:
                continue
            self.history.append(point)
            if on_progress:
                on_progress(point)

    def model_status(self) -> HighsModelStatus:
        """Return HiGHS' own word for how it ended."""
        return self.highs.getModelStatus()

    def result(self, model_status: HighsModelStatus) -> SolveResult:
        """Translate what HiGHS holds into our record."""
        info = self.highs.getInfo()
        reason = STOP_REASONS[model_status] if self.run_status != HighsStatus.kError else StopReason.solver_error
        holds = info.primal_solution_status == _FEASIBLE_POINT
        if reason is StopReason.solver_error and not holds:
            raise SolverError(f"HiGHS failed: {self.highs.modelStatusToString(model_status)}\n{self._log_tail()}")
        solution = self.highs.getSolution()
        optimal = reason is StopReason.optimal_within_gap
        objective = float(info.objective_function_value) if holds else None
        bound = self._bound(reason, objective, float(info.mip_dual_bound))
        with_duals = optimal and not self.matrix.integer_columns and bool(solution.dual_valid)
        return SolveResult(
            status=(PlanStatus.optimal if optimal else PlanStatus.feasible) if holds else PlanStatus.none,
            # a run that ended by itself before it saw the Ctrl-C must not swallow it
            stop_reason=StopReason.interrupted if self.asked_to_stop else reason,
            objective=objective,
            bound=bound,
            gap=relative_gap(objective, bound),
            values=np.array(solution.col_value, dtype=np.float64) if holds else None,
            row_duals=np.array(solution.row_dual, dtype=np.float64) if with_duals else None,
            reduced_costs=np.array(solution.col_dual, dtype=np.float64) if with_duals else None,
            build_s=self.build_s,
            solve_s=self.solve_s,
            rows=self.matrix.rows,
            columns=self.matrix.columns,
            nonzeros=self.matrix.nonzeros,
            integer_columns=self.matrix.integer_columns,
            start_accepted=_START_ACCEPTED.search(self._log()) is not None if self.start_given else None,
            options=self.options,
            nodes=max(0, int(info.mip_node_count)) if self.matrix.integer_columns else 0,
            history=[*self.history, ProgressPoint(self.solve_s, math.inf if objective is None else objective, bound)],
            versions=versions(),
        )

    def _bound(self, reason: StopReason, objective: float | None, mip_bound: float) -> float:
        if reason is StopReason.infeasible:
            return math.inf
        if reason is StopReason.unbounded:
            return -math.inf
        if not self.matrix.integer_columns:
            return objective if reason is StopReason.optimal_within_gap and objective is not None else -math.inf
        if objective is not None and mip_bound > objective:
            if mip_bound > objective + 1e-6 * max(1.0, abs(objective)):
                raise SolverError(f"HiGHS reports a bound of {mip_bound} above its own solution of {objective}")
            return objective  # rounding in the last digits
        return mip_bound

    def _log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.is_file() else ""

    def _log_tail(self) -> str:
        return "\n".join(self._log().splitlines()[-10:])


@contextlib.contextmanager
def log_path(options: SolveOptions) -> Iterator[Path]:
    """Give the caller's log file, emptied, or one that goes away; the log is where an accepted start shows."""
    if options.log_file is not None:
        path = Path(options.log_file)
        try:
            path.write_text("", encoding="utf-8")
        except OSError as error:
            raise SolverError(f"cannot write the log file {path}: {error.strerror}") from error
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="planner-highs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "highs.log"
