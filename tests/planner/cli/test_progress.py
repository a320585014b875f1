"""Progress: a bar with rate and time left on a terminal, few plain lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from planner.cli import progress

if TYPE_CHECKING:
    from pathlib import Path

SWEEP = """
name = "six"
title = "Six rates"
case = "tiny_mixtral_island"
[grid]
"demand.chat.requests_per_s" = [3, 6, 9, 12, 15, 18]
"""


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of the module."""
    clock = Clock()
    monkeypatch.setattr(progress.time, "perf_counter", clock)
    return clock


def test_plain_lines_come_at_most_every_five_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """A point a second for 12 s: lines after 5 and 10 s and one at the end, with rate and time left."""
    with progress.counted_bar("rates", shown=True, what="points") as advance:
        for done in range(1, 13):
            clock.now += 1.0
            advance("", done, 12)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "rates: 5 of 12 points, 5 s, 1.0/s, 7 s left"
    assert told[1] == "rates: 10 of 12 points, 10 s, 1.0/s, 2 s left"
    assert told[2] == "rates: 12 of 12 points, 12 s, 1.0/s"
    assert len(told) == 3


def test_slow_work_has_its_rate_a_minute(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Two points in 30 s are 4 a minute; the three left take 45 s."""
    with progress.counted_bar("slow", shown=True, what="points") as advance:
        for done in (1, 2):
            clock.now += 15.0
            advance("", done, 5)
    assert "slow: 2 of 5 points, 30 s, 4.0/min, 45 s left" in capsys.readouterr().err


def test_short_or_quiet_work_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Two seconds off a terminal, or --quiet: not a line."""
    for shown, seconds in ((True, 1.0), (False, 30.0)):
        with progress.counted_bar("work", shown=shown, what="points") as advance:
            for done in (1, 2):
                clock.now += seconds
                advance("", done, 2)
    assert capsys.readouterr().err == ""


def on_a_terminal(command: list[str], folder: Path) -> tuple[str, str]:
    """Return stdout, and all that was written to the terminal that is stderr."""
    leader, follower = pty.openpty()
    settings = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=follower, env=settings)
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(leader)
    out = process.communicate()[0]
    assert process.returncode == 0, written
    return out.decode(), written.decode()


def test_the_bar_shows_rate_and_time_left_and_goes(tmp_path: Path) -> None:
    """Eight steps in 2.4 s on a terminal: a bar, a rate, seconds left, one line, wiped at the end."""
    script = (
        "import time\nfrom planner.cli.progress import counted_bar\n"
        "with counted_bar('work', shown=True, what='points') as advance:\n"
        "    for done in range(1, 9):\n        time.sleep(0.3)\n        advance('', done, 8)\n"
    )
    _, written = on_a_terminal([sys.executable, "-c", script], tmp_path)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert re.search(r"work .* 7/8 .* \d\.\d/s, \d s left", plain)
    assert max(len(part) for part in re.split(r"[\r\n]", plain)) <= 80
    assert written.rstrip("\r\n").endswith(("\x1b[2K", "\x1b[?25h"))


def test_a_sweep_prints_its_answer_once_on_a_terminal(tmp_path: Path) -> None:
    """The bar and the table do not repeat each other: each line of the answer stands once, on stdout."""
    (tmp_path / "six.toml").write_text(SWEEP)
    out, written = on_a_terminal([sys.executable, "-m", "planner", "sweep", "six.toml"], tmp_path)
    lines = [line for line in out.splitlines() if line.strip()]
    assert lines.count("Six rates") == 1
    assert sum("6 of 6 points done" in line for line in lines) == 1
    assert "points done" not in written
    rows = [line for line in lines if re.match(r"\d+ +\d+\.\d\d ", line)]
    assert [row.split()[0] for row in rows] == ["3", "6", "9", "12", "15", "18"]
