"""Compare placement strategies on the same case: each strategy places the experts, the rest is planned around it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.network import overlapped_s
from planner.errors import FormulationError, InstanceError, NoPlanFound, Problem
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason, relative_gap
from planner.strategies import STRATEGIES
from planner.strategies.moves import interchangeable, moved_slots, relabel
from planner.strategies.problem import PlacementRequest
from planner.strategies.routed_traffic import estimated_traffic
from planner.strategies.traffic import remote_share
from planner.studies.engine import Engine
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from planner.instance.instance import Instance
    from planner.judge.serving import DeploymentReport
    from planner.plan import Deployment
    from planner.strategies.problem import IntArray

FROM = "contiguous"
"""The running map that moves are counted from: what engines start with."""

_MEASURES = (
    "cost_usd",
    "gpus_used",
    "decode_step_s",
    "balance_mean",
    "remote_share",
    "remote_token_share",
    "remote_sends_per_token",
    "moved_fraction",
    "gap",
)


def compare_strategies(
    instances: Sequence[Instance],
    names: Sequence[str] | None = None,
    options: SolveOptions | None = None,
    *,
    token_split: bool = False,
    engine: Engine | None = None,
    on_row: Callable[[dict[str, Any], int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Plan every case with every strategy.

    Parameters
    ----------
    instances, names, options
        Cases, strategies (all by default) and limits of the solves.
    token_split
        Also tell in token_split_balance what the maps in use reach where the engine splits tokens over copies by a
        linear program.
    engine
        Where cases and strategies are solved side by side; in this process by default.
    on_row
        Called with each row as it is ready, the rows done and all rows.

    Returns
    -------
    list of rows
        case, strategy, rank (1 is best: cost, then decode step; None without a plan), cost_usd, gpus_used,
        decode_step_s (slowest decode deployment), balance_mean, crossing of host borders by three measures
        (remote_share: assignments; remote_token_share: tokens with at least one; remote_sends_per_token: distinct other
        hosts), moved_fraction of slots from the contiguous map, seconds, gap to the best proven bound of the case and
        note. Best first within a case.

    Raises
    ------
    InstanceError
        If a strategy's name is unknown.
    """
    chosen = list(STRATEGIES) if names is None else list(names)
    unknown = [name for name in chosen if name not in STRATEGIES]
    if unknown:
        remedy = f"use one of: {', '.join(STRATEGIES)}"
        raise InstanceError([Problem("--strategies", name, "no such strategy", remedy) for name in unknown])
    options = options or SolveOptions(gap=1e-3)
    tasks = [(instance, name, options, token_split) for instance in instances for name in chosen]
    rows = []
    for row in (engine or Engine()).run(_solve_one, tasks, _died):
        rows.append(row)
        if on_row is not None:
            on_row(row, len(rows), len(tasks))
    return [row for instance in instances for row in _ranked(rows, instance.name, chosen)]


def _ranked(rows: list[dict[str, Any]], case: str, names: list[str]) -> list[dict[str, Any]]:
    """Rows of one case with their gaps to its best bound, best first; those without a plan last."""
    own = sorted((row for row in rows if row["case"] == case), key=lambda row: names.index(row["strategy"]))
    bounds = [row.pop("bound_usd") for row in own]
    best = max((bound for bound in bounds if bound is not None), default=None)
    for row in own:
        if row["cost_usd"] is not None and best is not None:
            row["gap"] = relative_gap(row["cost_usd"], best)
    solved = [row for row in own if row["cost_usd"] is not None]
    solved.sort(key=lambda row: (round(row["cost_usd"], 6), row["decode_step_s"] or 0.0))
    for rank, row in enumerate(solved, 1):
        row["rank"] = rank
    return [*solved, *(row for row in own if row["cost_usd"] is None)]


def _solve_one(
    instance: Instance, name: str, options: SolveOptions, token_split: bool, attempt: int = 1
) -> dict[str, Any]:
    """One row, its bound among the keys; ``attempt`` is the engine's.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C cut the solve short: what it found is no result of a comparison.
    """
    began = time.perf_counter()
    row = _empty(instance, name, token_split)
    try:
        answer = solve_serving(instance, options, strategy=name)
    except (FormulationError, NoPlanFound) as error:
        row["note"] = str(error).splitlines()[0]
    else:
        if answer.stop_reason is StopReason.interrupted:
            raise KeyboardInterrupt
        row |= _measures(answer) | {"bound_usd": answer.bound_usd}
        row |= {"token_split_balance": _split_balance(answer)} if token_split else {}
    return row | {"seconds": time.perf_counter() - began}


def _empty(instance: Instance, name: str, token_split: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"case": instance.name, "strategy": name, "rank": None} | dict.fromkeys(_MEASURES)
    row |= {"token_split_balance": None} if token_split else {}
    return row | {"seconds": None, "note": "", "bound_usd": None}


def _died(instance: Instance, name: str, options: SolveOptions, token_split: bool, fault: str) -> dict[str, Any]:
    return _empty(instance, name, token_split) | {"note": fault}


def _split_balance(answer: ServingAnswer) -> float:
    from planner.strategies.token_split import token_split_balance

    book = answer.book
    maps = {key: placed.physical_to_logical_map for key, placed in book.placements.items() if _in_use(answer, key)}
    reached = [float(np.nanmean(token_split_balance(book.request(key), rows))) for key, rows in maps.items()]
    return float(np.mean(reached)) if reached else 1.0


def _measures(answer: ServingAnswer) -> dict[str, Any]:
    placed = [answer.book.placements[key] for key in answer.book.placements if _in_use(answer, key)]
    steps = [_decode_step_s(answer, report.terms_s) for report in _decoding(answer)]
    return {
        "cost_usd": answer.cost_usd,
        "gpus_used": sum(answer.evaluation.gpus_used.values()),
        "decode_step_s": max(steps, default=None),
        "balance_mean": float(np.mean([result.balance.mean() for result in placed])) if placed else 1.0,
        **_crossing(answer),
    }


def _decoding(answer: ServingAnswer) -> list[DeploymentReport]:
    phases = {entry.name: entry.phase for entry in answer.plan.deployments}
    return [report for report in answer.evaluation.deployments if phases[report.name] != "prefill" and report.terms_s]


def _decode_step_s(answer: ServingAnswer, terms: Mapping[str, float]) -> float:
    """Time of a decode step of one stage with the overlap taken off."""
    communication = terms["all_reduce"] + terms["all_to_all"]
    rest = sum(terms.values()) - communication
    return float(overlapped_s(communication, rest, answer.instance.overlap_share))


def _in_use(answer: ServingAnswer, key: tuple[int, int]) -> bool:
    return f"{key[0]}x{key[1]}" in answer.plan.expert_maps


def _crossing(answer: ServingAnswer) -> dict[str, float | None]:
    """Mean over the maps in use of what leaves a host, and of the slots moved from the contiguous map."""
    found = [_crossing_of(answer, entry) for entry in answer.plan.deployments if entry.slots_per_gpu]
    names = ("remote_share", "remote_token_share", "remote_sends_per_token", "moved_fraction")
    return {name: float(np.mean([entry[name] for entry in found])) if found else None for name in names}


def _crossing_of(answer: ServingAnswer, entry: Deployment) -> dict[str, float]:
    instance = answer.instance
    pool = next(pool for pool in instance.pools if pool.name == entry.pool)
    hosts = min(pool.accelerator.gpus_per_host, entry.expert_parallel)
    request = PlacementRequest(instance.expert_load[None], entry.expert_parallel, entry.slots_per_gpu, hosts)
    rows = np.asarray(answer.plan.expert_maps[entry.map_key])
    traffic = estimated_traffic(request, rows, instance.model.experts_per_token)
    top_k, nodes = instance.model.experts_per_token, request.nodes
    sends = float(traffic.per_level(traffic.sends)[list(traffic.units.levels).index("node")]) if nodes > 1 else 0.0
    share = remote_share(request, rows) or 0.0
    running = STRATEGIES[FROM].place(request).physical_to_logical_map
    return {
        "remote_share": max(0.0, share),
        "remote_token_share": 1.0 - (1.0 - min(max(share, 0.0), 1.0)) ** top_k,
        "remote_sends_per_token": sends,
        "moved_fraction": _moved(request, running, rows),
    }


def _moved(request: PlacementRequest, running: IntArray, planned: IntArray) -> float:
    """Share of the slots whose expert was not on their GPU before, after the best relabelling inside hosts."""
    classes, gpus = interchangeable(request), request.gpus
    settled = [
        relabel(old.reshape(gpus, -1), new.reshape(gpus, -1), classes).ravel()
        for old, new in zip(running, planned, strict=True)
    ]
    return float(moved_slots(running, np.array(settled), gpus).sum()) / planned.size
