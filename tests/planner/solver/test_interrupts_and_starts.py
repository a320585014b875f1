"""Ctrl-C, callbacks and MIP starts: what HiGHS does in silence must be seen."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from solve_programs import knapsack, market_split

from planner.solver.highs import solve_matrix
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus, ProgressPoint, StopReason
from planner.solver.run import Run

SCRIPT = """
import json, sys
sys.path.insert(0, {folder!r})
from solve_programs import market_split
from planner.solver.highs import solve_matrix
from planner.solver.options import SolveOptions
shown = []
def watch(point):
    if not shown and point.objective < 1e9:
        shown.append(point)
        print("incumbent", file=sys.stderr, flush=True)
result = solve_matrix(market_split(), SolveOptions(time_limit_s=60), on_progress=watch)
again = solve_matrix(market_split(20, 2), SolveOptions(time_limit_s=60))
print(json.dumps([result.stop_reason, result.status, result.objective, result.bound, again.status]))
"""


def test_interrupt_keeps_the_incumbent() -> None:
    """Ctrl-C during a run ends it within seconds with the incumbent; stdout stays clean, the next run is not affected.

    Pitfalls 2 and 8: a plain ``run()`` answers late or never, and a cancelled run would stop the next one at once.
    """
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline().strip() == "incumbent"
    sent = time.perf_counter()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert time.perf_counter() - sent < 8
    assert process.returncode == 0, stderr
    reason, status, objective, bound, again = json.loads(stdout)
    assert (reason, status, again) == ("interrupted", "feasible", "optimal")
    assert objective > bound >= 0


def test_error_in_the_watcher_reaches_the_caller() -> None:
    """Pitfall 3: HiGHS swallows an exception in a callback; a watcher's error stops the run and is raised unchanged."""

    def watch(point: ProgressPoint) -> None:
        raise LookupError("broken watcher")

    began = time.perf_counter()
    with pytest.raises(LookupError, match="broken watcher"):
        solve_matrix(market_split(), SolveOptions(time_limit_s=30), on_progress=watch)
    assert time.perf_counter() - began < 10


def test_watcher_runs_in_the_callers_thread() -> None:
    """Pitfall 4: progress arrives without console output, in the caller's thread, with bounds that only grow."""
    seen: list[ProgressPoint] = []
    threads = set()

    def watch(point: ProgressPoint) -> None:
        seen.append(point)
        threads.add(threading.current_thread())

    solve_matrix(market_split(), SolveOptions(time_limit_s=0.7), on_progress=watch)
    assert threads == {threading.current_thread()}
    assert len(seen) >= 2
    objectives = [point.objective for point in seen]
    assert objectives == sorted(objectives, reverse=True)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """A run writes nothing to stdout or stderr: a command's stdout is one JSON document."""
    solve_matrix(market_split(20, 2))
    assert capfd.readouterr() == ("", "")


def test_log_file_holds_this_run_only(tmp_path: Path) -> None:
    """The log goes where the caller says, and starts afresh at each run."""
    log = tmp_path / "highs.log"
    log.write_text("stale line\n")
    solve_matrix(market_split(20, 2), SolveOptions(log_file=log))
    assert "stale line" not in log.read_text()
    assert "Solving report" in log.read_text()


def start_of(program_columns: int, values: dict[int, float]) -> np.ndarray:
    """Return a start that says only ``values``."""
    start = np.full(program_columns, np.nan)
    for column, value in values.items():
        start[column] = value
    return start


def test_start_from_integers_alone_is_accepted() -> None:
    """Pitfall 5: the integer columns are enough; acceptance is read from the log, the start is the first incumbent."""
    program = market_split()
    start = start_of(program.columns, dict.fromkeys(range(60), 0.0))
    result = solve_matrix(program, SolveOptions(time_limit_s=0.5), start)
    assert result.start_accepted is True
    assert result.history[0].objective == pytest.approx(program.row_lower.sum())  # nothing taken: every row misses half


def test_partial_start_is_completed() -> None:
    """Integer columns without a value are found by HiGHS: taking item 0 is completed to the best 10 + 13."""
    result = solve_matrix(knapsack([10, 13, 7, 8], [3, 4, 2, 3], 7), SolveOptions(gap=0), start_of(4, {0: 1.0}))
    assert result.start_accepted is True
    assert result.objective == pytest.approx(-23)


def test_infeasible_start_is_dropped_and_seen() -> None:
    """HiGHS says OK to a start that breaks a row and drops it in silence; the result says so and the optimum stands."""
    start = start_of(4, dict.fromkeys(range(4), 1.0))
    result = solve_matrix(knapsack([10, 13, 7, 8], [3, 4, 2, 3], 7), SolveOptions(gap=0), start)
    assert result.start_accepted is False
    assert result.status is PlanStatus.optimal
    assert result.objective == pytest.approx(-23)


def test_status_is_not_read_from_the_log() -> None:
    """Pitfall 5: the log of a dropped start says "Infeasible" of the nested LP, the run itself is not."""
    program = market_split()
    program = replace(program, column_upper=np.r_[np.ones(60), np.full(10, 10.0)])
    start = start_of(program.columns, dict.fromkeys(range(60), 0.0))  # needs slacks above 10
    result = solve_matrix(program, SolveOptions(time_limit_s=0.7), start)
    assert result.start_accepted is False
    assert result.stop_reason is StopReason.time_limit


def test_a_change_after_the_start_discards_it(tmp_path: Path) -> None:
    """Pitfall 6: one cost changed after the start and HiGHS forgets it, which is why the start goes in last."""
    program = knapsack([10, 13, 7, 8], [3, 4, 2, 3], 7)
    accepted = []
    for change in (False, True):
        run = Run(program, SolveOptions(), tmp_path / f"{change}.log")
        run.set_start(start_of(4, {0: 1.0, 1: 1.0, 2: 0.0, 3: 0.0}))
        if change:
            run.highs.changeColCost(0, -11.0)
        run.solve(None)
        accepted.append(run.result(run.model_status()).start_accepted)
    assert accepted == [True, False]


def test_a_run_that_ends_before_it_sees_the_interrupt_still_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presolve leaves a small program without a callback: the optimum is held, and Ctrl-C is not swallowed."""
    program = knapsack([60.0, 100.0, 120.0], [10.0, 20.0, 30.0], 50.0)
    work, calls = Run._work, iter([True])

    def later(self: Run, finished: threading.Event) -> None:
        time.sleep(0.2)
        work(self, finished)

    def interrupted(*_: object) -> None:
        if next(calls, False):
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "_work", later)
    monkeypatch.setattr(Run, "_pass_on", interrupted)
    cut = solve_matrix(program)
    monkeypatch.undo()
    assert cut.stop_reason is StopReason.interrupted
    assert cut.objective == solve_matrix(program).objective
    with pytest.raises(KeyboardInterrupt):
        cut.uninterrupted()
