"""What happens to the workers of an engine whose driver is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

DRIVER = """
import os, pathlib, sys, time
from planner.studies.engine import Engine

def sleep(folder, number, attempt):
    pathlib.Path(folder, str(os.getpid())).touch()
    time.sleep(300)
    return {}

list(Engine("processes", 2).run(sleep, [(sys.argv[1], 0), (sys.argv[1], 1)], None))
"""


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody waits for does not."""
    status = Path("/proc", str(pid), "stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_workers_end_with_a_driver_that_was_killed(tmp_path: Path) -> None:
    """After SIGKILL of the driver both workers, deep in a task of five minutes, are gone within seconds."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)])
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    workers = [int(entry.name) for entry in tmp_path.iterdir()]
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until = time.monotonic() + 20
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.1)
