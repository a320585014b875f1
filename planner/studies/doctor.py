"""Does this installation work: versions, machine, and a solve whose answer is known."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from dataclasses import dataclass
from typing import Any

from planner.errors import PlannerError

NEEDED = (
    "pyomo",
    "highspy",
    "networkx",
    "numpy",
    "scipy",
    "numba",
    "pydantic",
    "pint",
    "typer",
    "rich",
    "plotly",
    "joblib",
)
OPTIONAL = {
    "ray": "sweeps on a cluster (pip install 'moe-planner[ray]')",
    "torch": "tensors in and out of rebalance_experts",
}
KNOWN_CASE, KNOWN_USD = "tiny_mixtral_island", 12.0
"""A shipped case whose optimum is enumerated in the tests."""


@dataclass(frozen=True)
class Check:
    """One thing looked at: what was found, and what to do where it is not well."""

    name: str
    well: bool
    found: str
    remedy: str = ""


def examine() -> dict[str, Any]:
    """Return versions, machine and checks; ``well`` is whether all checks passed."""
    checks = [_python(), *_packages(), _instances(), _solver(), _search()]
    return {
        "well": all(check.well for check in checks),
        "checks": [vars(check) for check in checks],
        "versions": {name: _version(name) for name in ("moe-planner", *NEEDED, *OPTIONAL)},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "cores": os.process_cpu_count() if hasattr(os, "process_cpu_count") else len(os.sched_getaffinity(0)),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "free_disk_bytes": shutil.disk_usage(".").free,
        },
        "optional": [
            {"name": name, "present": importlib.util.find_spec(name) is not None, "for": use}
            for name, use in OPTIONAL.items()
        ],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _python() -> Check:
    return Check("Python 3.11 or newer", True, platform.python_version())


def _packages() -> list[Check]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    found = f"missing: {', '.join(missing)}" if missing else f"{len(NEEDED)} packages"
    return [Check("packages", not missing, found, "pip install moe-planner" if missing else "")]


def _instances() -> Check:
    from planner.instance import library

    counts = {kind: len(library.names(kind)) for kind in ("cases", "models", "hardware", "prices")}
    found = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return Check("shipped data", all(counts.values()), found, "install the package again")


def _solver() -> Check:
    """Solve a case with a known optimum by the whole road: tables, program, HiGHS, placement, judge."""
    from planner.studies.api import solve_case

    began = time.perf_counter()
    try:
        solved = solve_case(KNOWN_CASE)
    except PlannerError as error:
        return Check("solver", False, str(error), "install highspy and pyomo again")
    cost, seconds = solved.payload["cost_usd"], time.perf_counter() - began
    well = abs(cost - KNOWN_USD) <= 1e-6 * KNOWN_USD
    return Check("solver", well, f"{KNOWN_CASE} costs {cost:.2f} $, known {KNOWN_USD:.2f}; {seconds:.1f} s")


def _search() -> Check:
    """Place a layer whose optimum is known (16 equal experts on 8 GPUs) and say how long the compiled search took."""
    import numpy as np

    from planner.strategies.api import place

    began = time.perf_counter()
    placed = place(np.ones((1, 16)), 8, 2)
    seconds = time.perf_counter() - began
    note = "compiled code is cached" if seconds < 2 else "compiled now, cached for the next time"
    return Check("placement search", float(placed.balance[0]) == 1.0, f"balance 1.0 in {seconds:.2f} s: {note}")
