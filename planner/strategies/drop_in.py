"""The drop-in for EPLB's function: its arguments, its shapes, NumPy or torch, and a better placement."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.strategies.groups_on_nodes import place_groups_on_nodes
from planner.strategies.local_search import LocalSearch
from planner.strategies.problem import PlacementRequest
from planner.strategies.redundancy import nearest_redundant

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray

WHERE = "rebalance_experts"


def rebalance_experts(
    weight: Any,  # noqa: ANN401 - an array or a torch tensor
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    *,
    groups_on_nodes: bool = False,
) -> tuple[Any, Any, Any]:
    """Answer like EPLB's function of this name, with the local search.

    No expert has two copies on one GPU unless a GPU has more slots than there are experts.

    Parameters
    ----------
    weight
        Load, shape [layer, expert]; a NumPy array, nested lists, or a torch tensor on any device.
    num_replicas
        Slots of a layer in all; a multiple of ``num_gpus``.
    num_groups, num_nodes
        EPLB keeps every router group on one node where groups divide by nodes, which costs it up to half of the
        balance. Here they only count with ``groups_on_nodes``.
    num_gpus
        Number of GPUs, node by node.
    groups_on_nodes
        Keep every router group on one node, an equal number of groups on each, as EPLB's hierarchical policy does.

    Returns
    -------
    phy2log, shape [layer, slot]
        Expert of each slot, rank-major. All three are 64-bit integers, and tensors on the device of ``weight`` if that
        is a tensor.
    log2phy, shape [layer, expert, most copies]
        Slots of each expert, padded with -1.
    logcnt, shape [layer, expert]
        Copies of each expert.

    Raises
    ------
    InstanceError
        If the slots do not spread evenly over the GPUs, hold not every expert, the arguments are not positive, the load
        is negative or not finite, or groups cannot be kept on nodes.
    """
    load = _to_numpy(weight)
    sizes = {
        "num_replicas": num_replicas,
        "num_groups": num_groups,
        "num_nodes": num_nodes,
        "num_gpus": num_gpus,
    }
    problems = [Problem(WHERE, name, f"is {size}, must be at least 1") for name, size in sizes.items() if size < 1]
    if load.ndim != 2:
        problems.append(Problem(WHERE, "weight", f"has {load.ndim} axes, expected [layer, expert]"))
    if problems:
        raise InstanceError(problems)
    _check_slots(load.shape[1], num_replicas, num_gpus)
    slots = num_replicas // num_gpus
    if groups_on_nodes and num_nodes > 1:
        phy2log = place_groups_on_nodes(load, slots, num_groups, num_nodes, num_gpus)
    else:
        phy2log = LocalSearch().place(PlacementRequest(load[None], num_gpus, slots)).physical_to_logical_map
    return _like(weight, phy2log, *_inverse(phy2log, load.shape[1]))


def _check_slots(experts: int, slots: int, gpus: int) -> None:
    if slots % gpus == 0 and slots >= experts:
        return
    lower, higher = nearest_redundant(experts, gpus, max(slots - experts, 0))
    valid = [str(experts + extra) for extra in (lower, higher) if extra is not None]
    message = f"{slots} slots for {experts} experts do not spread evenly over {gpus} GPUs"
    raise InstanceError.single(WHERE, "num_replicas", message, f"nearest valid: {' or '.join(dict.fromkeys(valid))}")


def _inverse(phy2log: IntArray, experts: int) -> tuple[IntArray, IntArray]:
    """Slots of each expert, padded with -1, and the number of its copies."""
    logcnt = np.stack([np.bincount(row, minlength=experts) for row in phy2log])
    log2phy = np.full((*logcnt.shape, int(logcnt.max())), -1, dtype=np.int64)
    for layer, row in enumerate(phy2log):
        order = np.argsort(row, kind="stable")
        first = np.cumsum(logcnt[layer]) - logcnt[layer]
        log2phy[layer, row[order], np.arange(len(row)) - first[row[order]]] = order
    return log2phy, logcnt


def _is_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, without importing torch."""
    return type(value).__module__.partition(".")[0] == "torch"


def _to_numpy(weight: Any) -> FloatArray:  # noqa: ANN401 - an array or a torch tensor
    if _is_tensor(weight):
        on_cpu = weight.detach().cpu()
        try:
            weight = on_cpu.numpy()
        except TypeError:  # NumPy has no bfloat16
            weight = on_cpu.float().numpy()
    try:
        return np.asarray(weight, dtype=float)
    except (TypeError, ValueError) as error:
        raise InstanceError.single(
            WHERE, "weight", f"is no table of numbers: {error}", "give [layer, expert]"
        ) from error


def _like(weight: Any, *arrays: IntArray) -> tuple[Any, Any, Any]:  # noqa: ANN401 - an array or a torch tensor
    """Return three arrays in the kind of ``weight``."""
    whole = [np.ascontiguousarray(array, dtype=np.int64) for array in arrays]
    if _is_tensor(weight):
        torch = sys.modules["torch"]
        first, second, third = (torch.as_tensor(array, device=weight.device) for array in whole)
    else:
        first, second, third = whole
    return first, second, third
