"""Step time and cost of a decoding deployment against its batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.capacity import batch_in_memory, decode_period_s
from planner.costs.layout import Layouts
from planner.costs.step import Machine, decode_terms
from planner.costs.tables import machine_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.instance.instance import Instance, Pool
    from planner.plan import Deployment
    from planner.studies.serving import ServingAnswer

    Column = NDArray[np.float64]

POINTS = 60
_FREE_ARITHMETIC = 1e6
"""Factor on FLOP/s that leaves only the reading of weights."""


def decoding(deployment: Deployment) -> bool:
    """Whether a deployment decodes."""
    return deployment.phase != "prefill"


def mean_context(instance: Instance, requests_per_s: dict[str, float]) -> float:
    """Context of a sequence in service [tokens]: classes weigh by rate times answer length."""
    mix = [(entry, requests_per_s.get(entry.name, 0.0) * entry.output_tokens) for entry in instance.demand]
    total = sum(weight for _, weight in mix)
    return sum(weight * entry.mean_context_tokens for entry, weight in mix) / total if total else 1.0


def batch_curve(answer: ServingAnswer, deployment: Deployment) -> dict[str, Any]:
    """Step time and cost of a deployment against its batch.

    Returns
    -------
    dict
        ``batch`` (sequences per attention rank), ``step_s``, ``read_s`` (were arithmetic free) and
        ``usd_per_million_tokens`` [point], all places taken, decode alone; ``operating`` the plan's own point;
        ``memory_batch`` the largest that fits, ``kink_batch`` where the arithmetic of some weights outlasts their read,
        ``tpot_limit_s`` the tightest; each of the last three null where there is none.
    """
    instance = answer.instance
    pool = pool_of(instance, deployment.pool)
    context = mean_context(instance, deployment.requests_per_s)
    fitting = int(batch_in_memory(machine_for(answer, pool, deployment, 1), context)[0])
    largest = 1.3 * max(fitting, deployment.decode_batch, 2)
    batches = np.unique(np.rint(np.geomspace(1, min(largest, instance.search.largest_decode_batch), POINTS)))
    machine = machine_for(answer, pool, deployment, len(batches))
    step = decode_period_s(machine, batches, context)
    own = machine_for(answer, pool, deployment, 1)
    own_step = decode_period_s(own, np.array([float(deployment.decode_batch)]), context)
    return {
        "deployment": deployment.name,
        "batch": batches.astype(int).tolist(),
        "step_s": figures(step),
        "read_s": figures(decode_period_s(_free(machine), batches, context)),
        "usd_per_million_tokens": figures(usd_per_million(machine.layouts, pool, batches, step)),
        "operating": {
            "batch": deployment.decode_batch,
            "step_s": float(own_step[0]),
            "usd_per_million_tokens": float(
                usd_per_million(own.layouts, pool, np.array([float(deployment.decode_batch)]), own_step)[0]
            ),
        },
        "memory_batch": fitting or None,
        "kink_batch": _kink(answer, pool, deployment, context, int(batches[-1])),
        "tpot_limit_s": tightest(instance, deployment),
        "context_tokens": context,
    }


def machine_for(answer: ServingAnswer, pool: Pool, deployment: Deployment, rows: int) -> Machine:
    """One deployment's layout, as often as there are batches, with the imbalance that its map reaches."""
    instance = answer.instance
    degrees = (
        deployment.tensor_parallel,
        deployment.data_parallel,
        deployment.pipeline_parallel,
        deployment.expert_parallel,
        deployment.slots_per_gpu,
    )
    tensor, data, pipeline, ranks, slots = (np.full(rows, degree, dtype=np.int64) for degree in degrees)
    layouts = Layouts(tensor, data, pipeline, ranks, slots, pool.gpus_per_domain)
    return machine_of(instance, pool, layouts, answer.book.current)


def _free(machine: Machine) -> Machine:
    """Return the same machine with arithmetic that takes no time."""
    chip = machine.accelerator
    fast = {name: _FREE_ARITHMETIC * rate for name, rate in chip.flop_per_s.items()}
    return replace(machine, accelerator=chip.model_copy(update={"flop_per_s": fast}))


def _kink(answer: ServingAnswer, pool: Pool, deployment: Deployment, context: float, largest: int) -> int | None:
    """Smallest batch at which the arithmetic of some weights outlasts their read."""
    batches = np.unique(np.rint(np.geomspace(1, largest, 400)))
    machine = machine_for(answer, pool, deployment, len(batches))
    busy, read = (decode_terms(each, batches, context) for each in (machine, _free(machine)))
    above = np.flatnonzero(busy.experts + busy.dense > 1.001 * (read.experts + read.dense))
    return int(batches[above[0]]) if len(above) else None


def usd_per_million(layouts: Layouts, pool: Pool, batch: Column, step_s: Column) -> Column:
    """Rental of the GPUs over the tokens that they make with all places taken [USD a million tokens]."""
    tokens_per_s = batch * layouts.data_parallel * layouts.pipeline_parallel / step_s
    return np.asarray(layouts.gpus * pool.usd_per_gpu_hour / 3600.0 / tokens_per_s * 1e6)


def tightest(instance: Instance, deployment: Deployment) -> float | None:
    """Return the least time per token [s] that a class served here allows; None without a limit."""
    limits = [
        entry.tpot_s
        for entry in instance.demand
        if entry.tpot_s is not None and deployment.requests_per_s.get(entry.name, 0.0) > 0
    ]
    return min(limits, default=None)


def pool_of(instance: Instance, name: str) -> Pool:
    """Find a pool by name."""
    return next(pool for pool in instance.pools if pool.name == name)


def figures(values: Column) -> list[float]:
    """Five significant digits: more cannot be seen."""
    return [float(f"{value:.5g}") for value in values.tolist()]
