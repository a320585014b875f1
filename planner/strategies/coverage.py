"""What is lost with a GPU or a node, and whether any one of them may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from planner.errors import NoPlanFound

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

Survive = Literal["gpu", "node"]


def lost_experts(physical_to_logical_map: IntArray, domain: IntArray) -> IntArray:
    """Count the experts whose every copy lies in a domain: lost with it.

    Parameters
    ----------
    physical_to_logical_map
        Shape [layer, slots_total], rank-major.
    domain
        Domain of each GPU, from 0, shape [gpu].

    Returns
    -------
    array, shape [layer, domain]
    """
    width = physical_to_logical_map.shape[1] // len(domain)
    of_slot = np.repeat(domain, width)
    domains, experts = int(domain.max()) + 1, int(physical_to_logical_map.max()) + 1
    lost = np.zeros((len(physical_to_logical_map), domains), dtype=np.int64)
    for layer, row in enumerate(physical_to_logical_map):
        held = np.zeros((experts, domains), dtype=np.bool_)
        held[row[row >= 0], of_slot[row >= 0]] = True
        alone = held[held.sum(axis=1) == 1]
        lost[layer] = alone.sum(axis=0)
    return lost


def coverage(request: PlacementRequest, physical_to_logical_map: IntArray) -> dict[str, float | None]:
    """Experts of a layer that are lost at worst and on average over GPUs (nodes) in use; ``None`` with one node."""
    rows = physical_to_logical_map[~request.dense_layers]
    answer: dict[str, float | None] = {}
    for name, domain in (("gpu", np.arange(request.gpus)), ("node", request.node_of_gpu)):
        used = np.unique(domain[request.slots > 0])
        several = len(used) > 1
        lost = lost_experts(rows, domain)[:, used] if several else np.zeros((1, 1))
        answer[f"{name}_worst"] = int(lost.max()) if several else None
        answer[f"{name}_mean"] = float(lost.mean()) if several else None
    return answer


def domains_of(request: PlacementRequest, survive: Survive) -> IntArray:
    """Domain of each GPU, shape [gpu]."""
    return np.arange(request.gpus) if survive == "gpu" else request.node_of_gpu


def useful_slots(slots: IntArray, domain: IntArray, experts: int) -> int:
    """Sum over domains of min(slots, experts): a second copy in a domain does not help against its loss.

    Two copies of each expert in two domains can be placed if and only if this is at least twice the experts
    (Gale and Ryser: every expert asks for two domains, a domain serves each expert once).
    """
    per_domain = np.bincount(domain, weights=slots).astype(np.int64)
    return int(np.minimum(per_domain, experts).sum())


def least_slots(experts: int, gpus: int, alive: IntArray, domain: IntArray) -> int | None:
    """Fewest equal slots a GPU with which any one domain may be lost; ``None`` if no number does."""
    for slots in range(1, experts + 1):
        if useful_slots(np.where(alive > 0, slots, 0), domain, experts) >= 2 * experts:
            return slots
    return None


def check_slots(request: PlacementRequest, survive: Survive) -> None:
    """Refuse what cannot survive.

    Raises
    ------
    NoPlanFound
        Too few slots, or one domain only; the reason says how many slots would do.
    """
    domain, experts = domains_of(request, survive), request.experts
    have = useful_slots(request.slots, domain, experts)
    if have >= 2 * experts:
        return
    least = least_slots(experts, request.gpus, (request.slots > 0).astype(np.int64), domain)
    remedy = f"give at least {least} slots a GPU" if least else f"two {survive}s in use at least are needed"
    raise NoPlanFound(
        [
            f"to lose any one {survive} every expert needs copies on two {survive}s: {2 * experts} slots, "
            f"{have} can count ({int(request.slots.sum())} in all): {remedy}"
        ]
    )


def covered_start(weight: FloatArray, slots: IntArray, domain: IntArray) -> IntArray:
    """Give every expert two domains, then the slots left to the hottest copies; shape [gpu, slot].

    The two domains with most slots left: then the others can always be served too (Gale and Ryser).

    Parameters
    ----------
    weight
        Load, shape [expert].
    slots, domain
        Shape [gpu].
    """
    left, load = slots.astype(np.int64), np.zeros(len(slots))
    held = np.zeros((len(slots), len(weight)), dtype=np.bool_)
    count = np.full(len(weight), 2)
    for expert in np.argsort(-weight, kind="stable").tolist():
        room = np.bincount(domain, weights=np.minimum(left, 1) * left)
        for chosen in np.argsort(-room, kind="stable")[:2].tolist():
            inside = np.flatnonzero((domain == chosen) & (left > 0))
            _book(held, left, load, int(inside[np.lexsort((load[inside], -left[inside]))[0]]), expert, weight, count)
    while left.sum():
        order = np.argsort(-weight / count, kind="stable")
        gpu = int(np.argmax(left))
        expert = int(next(entry for entry in order if not held[gpu, entry]))
        count[expert] += 1
        _book(held, left, load, gpu, expert, weight, count)
    assign = np.full((len(slots), int(slots.max())), -1, dtype=np.int64)
    for gpu, row in enumerate(held):
        assign[gpu, : row.sum()] = np.flatnonzero(row)
    return assign


def _book(
    held: npt.NDArray[np.bool_],
    left: IntArray,
    load: FloatArray,
    gpu: int,
    expert: int,
    weight: FloatArray,
    count: IntArray,
) -> None:
    held[gpu, expert] = True
    left[gpu] -= 1
    load[gpu] += weight[expert] / count[expert]
