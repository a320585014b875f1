"""One point of a sweep: a changed case, solved with its certificate, as one flat row."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import PlannerError
from planner.instance.loading_case import load_case
from planner.plan import Plan
from planner.solver.options import SolveOptions  # noqa: TC001 - a field of a dataclass that travels
from planner.solver.result import StopReason
from planner.studies.lifecycle import LifecycleAnswer
from planner.studies.plan_case import plan_case
from planner.studies.shelf import PlacementShelf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.instance.instance import Instance
    from planner.plan import Deployment
    from planner.studies.serving import ServingAnswer

UNCOMPARED = ("seconds", "worker", "attempt")
"""Columns that may differ between two runs of the same sweep."""


@dataclass(frozen=True)
class Task:
    """Everything a worker needs to solve points: it travels to other processes and machines.

    Attributes
    ----------
    base_plan
        JSON of the plan of the unchanged case, to start from; empty for none.
    shelf
        Folder of placements that workers share; empty for none.
    """

    case: str
    options: SolveOptions
    base_plan: str = ""
    shelf: str = ""


@lru_cache(maxsize=4)
def _base_plan(text: str) -> Plan | None:
    return Plan.model_validate_json(text) if text else None


@lru_cache(maxsize=4)
def _shelf(folder: str) -> PlacementShelf:
    return PlacementShelf(Path(folder) if folder else None)


def solve_point(task: Task, point: Mapping[str, Any], changes: Mapping[str, Any], attempt: int = 1) -> dict[str, Any]:
    """Solve one point; an error is a row that says so.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the solve: that is no result of the point.
    """
    began = time.perf_counter()
    row = failed_row(point)
    try:
        instance = load_case(task.case, changes)
        answer = plan_case(instance, task.options, shelf=_shelf(task.shelf), start=_base_plan(task.base_plan))
    except PlannerError as error:
        # no plan is an answer; bad input and solver failure are not
        row |= {"status": "none" if error.exit_code == 1 else "failed", "reasons": str(error).splitlines()}
        row["time_limited"] = getattr(error, "stop_reason", "") == StopReason.time_limit
    except (ArithmeticError, ValueError, TypeError, KeyError, IndexError, AssertionError) as error:
        row["reasons"] = [f"{type(error).__name__}: {error}"]
    else:
        if answer.stop_reason is StopReason.interrupted:
            raise KeyboardInterrupt
        row |= _columns(answer)
    return row | {"seconds": time.perf_counter() - began, "worker": _worker(), "attempt": attempt}


def failed_row(point: Mapping[str, Any], *reasons: str) -> dict[str, Any]:
    """Row of a point that has no answer; all columns are there."""
    row: dict[str, Any] = {"point": dict(point), "status": "failed"} | dict.fromkeys(_COLUMNS)
    return row | {"reasons": list(reasons), "seconds": None, "worker": None, "attempt": None}


_COLUMNS = (
    "cost_usd",
    "bound_usd",
    "gap",
    "stop_reason",
    "time_limited",
    "gpus_used",
    "gpus_paid",
    "domains_used",
    "widest_domains",
    "pools",
    "layout",
    "member",
    "decode_batch",
    "worst_ttft_s",
    "worst_tpot_s",
    "imbalance",
)


def _columns(answer: ServingAnswer | LifecycleAnswer) -> dict[str, Any]:
    """Decisions of a plan as numbers and short text."""
    evaluation, plan = answer.evaluation, answer.plan
    instance: Instance = answer.chosen.instance if isinstance(answer, LifecycleAnswer) else answer.instance
    reports = evaluation.deployments
    return {
        "status": str(answer.status),
        "cost_usd": answer.cost_usd,
        "bound_usd": answer.bound_usd,
        "gap": answer.gap,
        "stop_reason": str(answer.stop_reason),
        "time_limited": answer.stop_reason is StopReason.time_limit,
        "gpus_used": sum(evaluation.gpus_used.values()),
        "gpus_paid": sum(evaluation.gpus_paid.values()),
        "domains_used": sum(use.domains for use in plan.domains),
        "widest_domains": max((_domains_of(entry, instance) for entry in plan.deployments), default=0),
        "pools": ", ".join(sorted({entry.pool for entry in plan.deployments})),
        "layout": "; ".join(_layout(entry) for entry in plan.deployments),
        "member": instance.model.name,
        "decode_batch": max((entry.decode_batch for entry in plan.deployments), default=0),
        "worst_ttft_s": max((value for report in reports for value in report.ttft_s.values()), default=None),
        "worst_tpot_s": max((value for report in reports for value in report.tpot_s.values()), default=None),
        "imbalance": max((report.imbalance_mean for report in reports), default=None),
    }


def _layout(entry: Deployment) -> str:
    degrees = f"tp{entry.tensor_parallel} dp{entry.data_parallel} ep{entry.expert_parallel}"
    stages = f" pp{entry.pipeline_parallel}" if entry.pipeline_parallel > 1 else ""
    return f"{entry.phase} {entry.replicas}x{entry.gpus} {degrees}{stages}"


def _domains_of(entry: Deployment, instance: Instance) -> int:
    pool = next(pool for pool in instance.pools if pool.name == entry.pool)
    return -(-entry.stage_gpus // pool.gpus_per_domain)


def _worker() -> str:
    return f"{os.uname().nodename}:{os.getpid()}"
