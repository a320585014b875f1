"""From a running map to a new one: which slots move, which GPU takes which block, and where a copy comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from planner.strategies.problem import IntArray, PlacementRequest

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Move:
    """One expert's weights on their way to a slot."""

    layer: int
    expert: int
    source: int | None
    """GPU that sends; ``None``: no GPU in service holds the expert, it is loaded from storage."""
    target: int
    """GPU that receives."""
    slot: int
    """Slot on that GPU, from 0."""


def held_before(running: IntArray, experts: int) -> BoolArray:
    """Whether each GPU holds each expert, bool [gpu, expert]; ``running`` [gpu, slot] with -1 for empty slots."""
    home = np.zeros((len(running), experts), dtype=np.bool_)
    gpu, slot = np.nonzero(running >= 0)
    home[gpu, running[gpu, slot]] = True
    return home


def moved_slots(running: IntArray, planned: IntArray, gpus: int) -> IntArray:
    """Count the slots whose expert was not on that GPU before, shape [layer]; maps [layer, slots_total], rank-major."""
    experts = int(max(running.max(), planned.max())) + 1
    moved = np.zeros(len(planned), dtype=np.int64)
    for layer, (old_row, row) in enumerate(zip(running, planned, strict=True)):
        home, blocks = held_before(old_row.reshape(gpus, -1), experts), row.reshape(gpus, -1)
        gpu, slot = np.nonzero(blocks >= 0)
        moved[layer] = (~home[gpu, blocks[gpu, slot]]).sum()
    return moved


def interchangeable(request: PlacementRequest) -> IntArray:
    """Class of each GPU, shape [gpu]: a layer's blocks may trade places within a class and change nothing but moves.

    GPUs of a class have the same speed and slots, and lie in the same node where nodes are told apart.
    """
    keys = np.stack([request.relative_speed, request.slots.astype(float), request.node_of_gpu.astype(float)], axis=1)
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).ravel().astype(np.int64)


def relabel(running: IntArray, planned: IntArray, classes: IntArray) -> IntArray:
    """Give the blocks of one layer to the GPUs so that the fewest slots move: an assignment problem in each class.

    Parameters
    ----------
    running, planned
        Experts, shape [gpu, slot], -1 for empty; the numbers of slots may differ.
    classes
        `interchangeable`, shape [gpu].
    """
    from scipy.optimize import linear_sum_assignment

    experts = int(max(running.max(), planned.max())) + 1
    kept = held_before(planned, experts).astype(np.int64) @ held_before(running, experts).T.astype(np.int64)
    placed = planned.copy()
    for number in np.unique(classes):
        members = np.flatnonzero(classes == number)
        block, gpu = linear_sum_assignment(kept[np.ix_(members, members)], maximize=True)
        placed[members[gpu]] = planned[members[block]]
    return placed


def in_place(running: IntArray, planned: IntArray) -> IntArray:
    """Order the slots of each GPU so that what stays keeps its slot; arriving experts fill the others in turn."""
    ordered = np.full_like(planned, -1)
    for gpu, (old, new) in enumerate(zip(running, planned, strict=True)):
        left = [int(expert) for expert in new if expert >= 0]
        places = list(range(len(left)))
        for slot, expert in enumerate(old[: len(left)].tolist()):
            if expert in left:
                ordered[gpu, slot] = expert
                left.remove(expert)
                places.remove(slot)
        ordered[gpu, places] = left
    return ordered


def list_moves(running: IntArray, planned: IntArray, alive: BoolArray, near: IntArray, layer: int) -> list[Move]:
    """Name a source for every moved slot of one layer.

    A copy comes from a GPU of its own domain where one holds it (scale-up is the faster link), else from any in
    service; among those from the one that has the fewest to send so far.

    Parameters
    ----------
    running, planned
        Experts, shape [gpu, slot], -1 for empty.
    alive
        Whether a GPU can still send, shape [gpu].
    near
        Scale-up domain of each GPU, shape [gpu].
    """
    home = held_before(running, int(max(running.max(), planned.max())) + 1)
    sends = np.zeros(len(running), dtype=np.int64)
    arriving = [
        (int(expert), gpu, slot)
        for gpu, block in enumerate(planned)
        for slot, expert in enumerate(block)
        if expert >= 0 and not home[gpu, expert]
    ]
    holders = {expert: np.flatnonzero(home[:, expert] & alive) for expert, _, _ in arriving}
    moves = []
    for expert, gpu, slot in sorted(arriving, key=lambda entry: (len(holders[entry[0]]), entry)):
        choice = holders[expert]
        close = choice[near[choice] == near[gpu]]
        choice = close if len(close) else choice
        source = int(choice[np.argmin(sends[choice])]) if len(choice) else None
        if source is not None:
            sends[source] += 1
        moves.append(Move(layer, expert, source, gpu, slot))
    return sorted(moves, key=lambda move: (move.target, move.slot))
