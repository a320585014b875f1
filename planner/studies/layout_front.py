"""The cheapest decode layout for each time per token: what else a decoding deployment could have been."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from planner.costs.capacity import batch_in_memory, decode_period_s
from planner.costs.layout import enumerate_layouts
from planner.costs.tables import machine_of
from planner.studies.curves import figures, machine_for, mean_context, pool_of, usd_per_million

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.costs.layout import Layouts
    from planner.plan import Deployment
    from planner.studies.serving import ServingAnswer

    Column = NDArray[np.float64]

BATCHES = 40
MOST_FRONTS = 4
MOST_POINTS = 80


class _Option(NamedTuple):
    """One layout at one batch."""

    pool: str
    layouts: Layouts
    row: int
    batch: int


def layout_front(answer: ServingAnswer, deployment: Deployment) -> dict[str, Any]:
    """Decode layouts and batches that no other one beats in both time per token and cost per token.

    Every layout of every pool that the search allows is priced at ``BATCHES`` batches and at the deployment's own, all
    places taken, at the mean context of what the deployment serves, with the proven least imbalance of its experts. So
    no placement puts a layout below its point, and the deployment itself, drawn with the imbalance that it reaches, is
    not below the front.
    """
    instance = answer.instance
    context = mean_context(instance, deployment.requests_per_s)
    grid = np.geomspace(1, instance.search.largest_decode_batch, BATCHES)
    batches = np.unique(np.append(np.rint(grid), float(deployment.decode_batch)))
    times: list[Column] = []
    costs: list[Column] = []
    options: list[_Option] = []
    for pool in instance.pools:
        layouts = enumerate_layouts(instance.model, pool, instance.search)
        if not len(layouts):
            continue
        machine = machine_of(instance, pool, layouts, answer.book.optimistic)
        places = batch_in_memory(machine, context)
        for batch in batches:
            column = np.full(len(layouts), batch)
            step = decode_period_s(machine, column, context)
            times.append(np.where(batch <= places, step, np.inf))
            costs.append(np.where(batch <= places, usd_per_million(layouts, pool, column, step), np.inf))
            options += [_Option(pool.name, layouts, row, int(batch)) for row in range(len(layouts))]
    return {
        "deployment": deployment.name,
        **_front(np.concatenate(times), np.concatenate(costs), options),
        "chosen": _chosen(answer, deployment, context),
        "limits_s": {
            entry.name: entry.tpot_s
            for entry in instance.demand
            if entry.tpot_s is not None and deployment.requests_per_s.get(entry.name, 0.0) > 0
        },
        "context_tokens": context,
    }


def _front(times: Column, costs: Column, options: list[_Option]) -> dict[str, Any]:
    """Keep the points that nothing beats in both, from quick to cheap; thinned out where there are very many."""
    kept, cheapest = [], np.inf
    for index in np.lexsort((costs, times)):
        if costs[index] < cheapest:
            kept.append(int(index))
            cheapest = costs[index]
    places = np.unique(np.rint(np.linspace(0, max(len(kept) - 1, 0), MOST_POINTS)).astype(int))
    shown = [kept[place] for place in places] if kept else []
    return {
        "looked_at": int(np.isfinite(times).sum()),
        "tpot_s": figures(times[shown]),
        "usd_per_million_tokens": figures(costs[shown]),
        "layout": [_label(options[index]) for index in shown],
    }


def _label(option: _Option) -> str:
    layouts, row = option.layouts, option.row
    degrees = f"TP{layouts.tensor_parallel[row]} DP{layouts.data_parallel[row]} EP{layouts.expert_parallel[row]}"
    stages = f" PP{layouts.pipeline_parallel[row]}" if layouts.pipeline_parallel[row] > 1 else ""
    return f"{layouts.gpus[row]} GPUs of {option.pool}, {degrees}{stages}, batch {option.batch}"


def _chosen(answer: ServingAnswer, deployment: Deployment, context: float) -> dict[str, float]:
    pool = pool_of(answer.instance, deployment.pool)
    machine = machine_for(answer, pool, deployment, 1)
    batch = np.array([float(deployment.decode_batch)])
    step = decode_period_s(machine, batch, context)
    cost = usd_per_million(machine.layouts, pool, batch, step)
    return {"tpot_s": float(step[0]), "usd_per_million_tokens": float(cost[0])}
