"""Loads of GPUs and links, layer by layer, for a drawing of where the experts are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.strategies.problem import PlacementRequest
from planner.strategies.result import gpu_load
from planner.strategies.routed_traffic import estimated_traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.instance.instance import Instance, Pool
    from planner.plan import Deployment
    from planner.strategies.result import PlacementResult
    from planner.strategies.routed_traffic import Traffic
    from planner.studies.serving import ServingAnswer

Rows = list[list[float]]
MOST_DRAWN_GPUS = 2048
"""Beyond that the page is no longer light, nor the drawing quick."""


def drawing_of(answer: ServingAnswer, deployment: Deployment) -> dict[str, Any]:
    """Work out the loads of one pipeline stage of a deployment.

    Returns
    -------
    dict
        ``ranks`` of ``gpus_per_rank`` GPUs with ``slots`` expert slots each, in domains and hosts of ``per_domain`` and
        ``per_host`` GPUs. ``load`` [layer][rank] over the mean; ``port`` [layer][rank] and ``uplink`` [layer][domain]
        bytes of dispatch and combine in a step, null where no token leaves: tokens start evenly on all ranks and draw
        their experts independently by the loads.
    """
    instance = answer.instance
    pool = next(pool for pool in instance.pools if pool.name == deployment.pool)
    ranks, slots = deployment.expert_parallel, deployment.slots_per_gpu
    shards = deployment.stage_gpus // ranks
    rows = np.asarray(answer.plan.expert_maps[deployment.map_key], dtype=np.int64)
    request = PlacementRequest(
        load=instance.expert_load[None],
        gpus=ranks,
        slots_per_gpu=slots,
        gpus_per_node=max(1, min(ranks, pool.gpus_per_domain // shards)),
    )
    drawn = {
        "name": deployment.name,
        "map": deployment.map_key,
        "ranks": ranks,
        "gpus_per_rank": shards,
        "slots": slots,
        "per_domain": pool.gpus_per_domain,
        "per_host": min(pool.accelerator.gpus_per_host, pool.gpus_per_domain),
        "stages": deployment.pipeline_parallel,
        "unit": "B",
        "layers": list(range(len(rows))),
        "load": relative(gpu_load(rows, request.load, ranks, request)[0]),
    }
    return drawn | _links(instance, pool, deployment, request, rows)


def _links(
    instance: Instance, pool: Pool, deployment: Deployment, request: PlacementRequest, rows: NDArray[np.int64]
) -> dict[str, Any]:
    """Bytes that each rank's port and each domain's uplink take in of one layer and step."""
    if deployment.data_parallel == 1 or deployment.expert_parallel == 1:
        return {"port": None, "uplink": None}
    links, model = instance.calibration.network, instance.model
    traffic = estimated_traffic(request, rows, model.experts_per_token)
    width = model.hidden_size * (links.dispatch_bytes_per_number + links.combine_bytes_per_number)
    moved = width * _tokens(instance, deployment) * deployment.data_parallel
    sends = traffic.sends if links.deduplicates(decode=deployment.phase != "prefill") else traffic.assignments
    spans = deployment.stage_gpus > pool.gpus_per_domain
    return {
        "port": rounded(level_of(traffic, traffic.sends, 0) * moved, 0),
        "uplink": rounded(level_of(traffic, sends, 1) * moved, 0) if spans else None,
    }


def level_of(traffic: Traffic, sends: NDArray[np.float64], level: int) -> NDArray[np.float64]:
    """Columns of the units of one level, shape [layer, unit]."""
    return np.asarray(sends[:, traffic.units.level_of_unit == level])


def _tokens(instance: Instance, deployment: Deployment) -> float:
    """Tokens that an attention rank works on at once; of a prefill batch those of the first class it serves.

    Classes whose prefix is kept go by names of their own; a deployment for them alone counts as for the first class.
    """
    if deployment.phase != "prefill":
        return float(deployment.decode_batch)
    served = (entry for entry in instance.demand if deployment.requests_per_s.get(entry.name, 0.0) > 0)
    first = next(served, instance.demand[0])
    return float(deployment.prefill_requests * first.new_input_tokens)


def placement_views(
    request: PlacementRequest, result: PlacementResult, report: dict[str, Any], top_k: int | None
) -> dict[str, Any]:
    """Numbers and drawing of a placement straight from recorded loads; loads are means over the scenarios.

    ``port`` is sends a token into each GPU, without ``top_k`` sends an assignment; ``uplink`` the same of nodes, where
    there are several. More GPUs than ``MOST_DRAWN_GPUS`` are not drawn.
    """
    busy = np.flatnonzero(~request.dense_layers)
    views: dict[str, Any] = {"summary": {"gpus": request.gpus} | report, "drawings": [], "maps": {}, "expert_load": []}
    if request.gpus > MOST_DRAWN_GPUS:
        return views
    mean = np.asarray(request.load, dtype=float).mean(axis=0)[busy]
    return views | {
        "drawings": [_placement_drawing(request, result, busy, top_k)],
        "maps": {"map": result.physical_to_logical_map[busy].tolist()},
        "expert_load": rounded(mean / mean.mean(axis=1, keepdims=True), 2),
    }


def _placement_drawing(
    request: PlacementRequest, result: PlacementResult, busy: NDArray[np.intp], top_k: int | None
) -> dict[str, Any]:
    rows = result.physical_to_logical_map
    node = request.gpus_per_node or request.gpus
    traffic = estimated_traffic(request, rows, top_k or 1)
    spans = request.gpus > node
    return {
        "name": result.strategy,
        "map": "map",
        "ranks": request.gpus,
        "gpus_per_rank": 1,
        "slots": request.slot_width,
        "per_domain": node,
        "per_host": min(node, 8),
        "stages": 1,
        "unit": "assignments" if top_k is None else "sends",
        "layers": busy.tolist(),
        "load": relative(gpu_load(rows, request.load, request.gpus, request).mean(axis=0)[busy]),
        "port": rounded(level_of(traffic, traffic.sends, 0)[busy], 4),
        "uplink": rounded(level_of(traffic, traffic.sends, 1)[busy], 4) if spans else None,
    }


def relative(load: NDArray[np.float64]) -> Rows:
    """Divide loads by the mean of their layer, shape [layer, rank]."""
    mean = load.mean(axis=1, keepdims=True)
    return rounded(load / np.where(mean > 0, mean, 1.0), 4)


def rounded(values: NDArray[np.float64] | Sequence[Sequence[float]], decimals: int) -> Rows:
    """Make lists of numbers with few decimals; whole numbers without any."""
    table = np.round(np.asarray(values, dtype=float), decimals)
    return [[int(value) if decimals == 0 else value for value in row] for row in table.tolist()]
