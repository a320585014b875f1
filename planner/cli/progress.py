"""How a long run is doing, on stderr: a line for a solve, a bar for what is counted."""

from __future__ import annotations

import math
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from planner.solver.result import ProgressPoint

_QUIET_S = 1.0
_INTERVAL_S = 0.2
_LINE_S = 5.0
_LONGEST_TITLE = 24


class ProgressLine:
    """Shows incumbent, bound and gap after a first second, and wipes itself at the end."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._in_place = sys.stderr.isatty()
        self._began = time.perf_counter()
        self._last = 0.0
        self._written = False

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._written and self._in_place:
            sys.stderr.write("\r\x1b[K")

    def update(self, label: str, point: ProgressPoint) -> None:
        """Take a new incumbent or bound."""
        seconds = time.perf_counter() - self._began
        if not self._shown or seconds < _QUIET_S or seconds - self._last < (_INTERVAL_S if self._in_place else 5.0):
            return
        self._last = seconds
        text = f"{seconds:6.1f} s  {label}: incumbent {_number(point.objective)}  bound {_number(point.bound)}"
        if math.isfinite(point.objective) and math.isfinite(point.bound) and point.objective:
            text += f"  gap {100 * (point.objective - point.bound) / abs(point.objective):.2f} %"
        sys.stderr.write(f"\r\x1b[K{text}" if self._in_place else text + "\n")
        sys.stderr.flush()
        self._written = True


def _number(value: float) -> str:
    return f"{value:,.2f}" if math.isfinite(value) else "-"


@contextmanager
def points_bar(
    title: str, *, shown: bool, what: str = "points"
) -> Iterator[Callable[[dict[str, Any], int, int], None]]:
    """Show how many points are done, how fast, and how long is left.

    Yields the function to call with each new row, the points done and all points.
    """
    with counted_bar(title, shown=shown, what=what) as advance:
        yield lambda row, done, points: advance("", done, points)


@contextmanager
def counted_bar(title: str, *, shown: bool, what: str) -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar with rate and time left after a first second; plain lines every five where stderr is no terminal.

    Yields the function to call with the name of the stage (empty: ``title``), what is done of it, and all of it. A new
    stage starts its own clock.
    """
    if not shown:
        yield lambda stage, done, all_of_it: None
        return
    bar = _Bar(title, what) if sys.stderr.isatty() else _Lines(title, what)
    try:
        yield bar.advance
    finally:
        bar.close()


class _Lines:
    """Plain lines, at most one every five seconds, and a last one for what took longer than that."""

    def __init__(self, title: str, what: str) -> None:
        self.title, self.what = title, what
        self.stage, self.began, self.last = "", time.perf_counter(), time.perf_counter()
        self.at_start, self.latest, self.told = 0, "", True

    def advance(self, stage: str, done: int, all_of_it: int) -> None:
        """Take what is done of a stage."""
        now = time.perf_counter()
        if stage != self.stage:
            # of a resumed run what was there is no work of this one
            self.stage, self.began, self.at_start = stage, now, done
        seconds = now - self.began
        pace = _pace(done - self.at_start, all_of_it - done, seconds)
        self.latest, self.told = (
            f"{stage or self.title}: {done} of {all_of_it} {self.what}, {seconds:.0f} s{pace}",
            False,
        )
        if now - self.last >= _LINE_S:
            self._tell(now)

    def _tell(self, now: float) -> None:
        self.last, self.told = now, True
        sys.stderr.write(self.latest + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Tell the end of what has been told about."""
        if not self.told and self.last > self.began:
            self._tell(time.perf_counter())


def _pace(done: int, left: int, seconds: float) -> str:
    """Rate and time left, once something is done."""
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    shown = f"{rate:.1f}/s" if rate >= 1 else f"{60 * rate:.1f}/min"
    return f", {shown}" + (f", {left / rate:.0f} s left" if left > 0 else "")


class _Bar:
    """A bar of rich on a terminal, there after a first second and gone at the end."""

    def __init__(self, title: str, what: str) -> None:
        self.title, self.what = title, what
        self.began = time.perf_counter()
        self.stage: str | None = None
        self.at_start, self.stage_began = 0, self.began
        self.progress: Any = None
        self.task: Any = None

    def advance(self, stage: str, done: int, all_of_it: int) -> None:
        """Take what is done of a stage."""
        now = time.perf_counter()
        if stage != self.stage:
            self.stage, self.at_start, self.stage_began = stage, done, now
        if self.progress is None and now - self.began < _QUIET_S and done < all_of_it:
            return
        if self.progress is None:
            self._open()
        pace = _pace(done - self.at_start, all_of_it - done, now - self.stage_began)
        name = (stage or self.title)[:_LONGEST_TITLE]
        self.progress.update(self.task, description=name, completed=done, total=all_of_it, pace=pace.removeprefix(", "))

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}", markup=False),
        )
        # one writer on the terminal: lines that others print would tear the bar, so they are left alone
        self.progress = Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self.progress.start()
        self.task = self.progress.add_task(self.title[:_LONGEST_TITLE], total=None, pace="")

    def close(self) -> None:
        """Wipe the bar."""
        if self.progress is not None:
            self.progress.stop()
