"""Compare placement strategies on the same case: each strategy places the experts, the rest is planned around it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import FormulationError, InstanceError, NoPlanFound, Problem
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason, relative_gap
from planner.strategies import STRATEGIES
from planner.studies.serving import ServingAnswer, solve_serving
from planner.topology.crossing import assignment_crossing_share, copies_per_domain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.instance.instance import Instance


def compare_strategies(
    instances: Sequence[Instance],
    names: Sequence[str] | None = None,
    options: SolveOptions | None = None,
    *,
    token_split: bool = False,
) -> list[dict[str, Any]]:
    """Plan every case with every strategy.

    Returns
    -------
    list of rows
        case, strategy, cost_usd (None where no plan exists), gpus_used, balance_mean, remote_share, seconds, gap to
        the best proven bound of the case, and note; with ``token_split`` also token_split_balance, what the maps in use
        reach where the engine splits tokens over copies by a linear program.

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
    rows = []
    for instance in instances:
        rows += _compare_one(instance, chosen, options or SolveOptions(gap=1e-3), token_split=token_split)
    return rows


def _compare_one(
    instance: Instance, names: list[str], options: SolveOptions, *, token_split: bool
) -> list[dict[str, Any]]:
    rows, bounds = [], []
    for name in names:
        began = time.perf_counter()
        row: dict[str, Any] = {"case": instance.name, "strategy": name, "cost_usd": None, "gpus_used": None}
        row |= {"balance_mean": None, "remote_share": None, "gap": None, "note": ""}
        row |= {"token_split_balance": None} if token_split else {}
        try:
            answer = solve_serving(instance, options, strategy=name)
        except (FormulationError, NoPlanFound) as error:
            row["note"] = str(error).splitlines()[0]
        else:
            if answer.stop_reason is StopReason.interrupted:
                raise KeyboardInterrupt
            row |= _measures(answer)
            row |= {"token_split_balance": _split_balance(answer)} if token_split else {}
            bounds.append(answer.bound_usd)
        rows.append(row | {"seconds": time.perf_counter() - began})
    if bounds:
        for row in rows:
            row["gap"] = None if row["cost_usd"] is None else relative_gap(row["cost_usd"], max(bounds))
    return rows


def _measures(answer: ServingAnswer) -> dict[str, Any]:
    placed = [answer.book.placements[key] for key in answer.book.placements if _in_use(answer, key)]
    return {
        "cost_usd": answer.cost_usd,
        "gpus_used": sum(answer.evaluation.gpus_used.values()),
        "balance_mean": float(np.mean([result.balance.mean() for result in placed])) if placed else 1.0,
        "remote_share": _remote_share(answer),
    }


def _split_balance(answer: ServingAnswer) -> float:
    from planner.strategies.token_split import token_split_balance

    book = answer.book
    maps = {key: placed.physical_to_logical_map for key, placed in book.placements.items() if _in_use(answer, key)}
    reached = [float(np.nanmean(token_split_balance(book.request(key), rows))) for key, rows in maps.items()]
    return float(np.mean(reached)) if reached else 1.0


def _in_use(answer: ServingAnswer, key: tuple[int, int]) -> bool:
    return f"{key[0]}x{key[1]}" in answer.plan.expert_maps


def _remote_share(answer: ServingAnswer) -> float | None:
    """Token-expert assignments that leave the sender's host, over all maps in use; sources are spread evenly."""
    instance, shares = answer.instance, []
    for deployment in answer.plan.deployments:
        if not deployment.slots_per_gpu:
            continue
        pool = next(pool for pool in instance.pools if pool.name == deployment.pool)
        slots = deployment.expert_parallel * deployment.slots_per_gpu
        host = np.arange(slots) // deployment.slots_per_gpu // pool.accelerator.gpus_per_host
        hosts = int(host[-1]) + 1
        source = np.bincount(host[:: deployment.slots_per_gpu], minlength=hosts) / deployment.expert_parallel
        for row, load in zip(answer.plan.expert_maps[deployment.map_key], instance.expert_load, strict=True):
            copies = copies_per_domain(np.asarray(row), host, instance.model.routed_experts, hosts)
            shares.append(assignment_crossing_share(copies, load, source))
    return max(0.0, float(np.mean(shares))) if shares else None
