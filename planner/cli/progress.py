"""One line on stderr that tells how a long solve is doing."""

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
def points_bar(title: str, *, shown: bool) -> Iterator[Callable[[dict[str, Any], int, int], None]]:
    """Show how many points are done, how fast, and how long is left; plain lines where stderr is no terminal.

    Yields the function to call with each new row, the points done and all points.
    """
    if not shown:
        yield lambda row, done, points: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    began = time.perf_counter()
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("points", total=None)
        last = began

        def update(row: dict[str, Any], done: int, points: int) -> None:
            nonlocal last
            progress.update(bar, completed=done, total=points)
            now = time.perf_counter()
            if not console.is_terminal and (now - last > _LINE_S or done == points):
                last = now
                sys.stderr.write(f"{title}: {done} of {points} points, {now - began:.0f} s\n")

        yield update
