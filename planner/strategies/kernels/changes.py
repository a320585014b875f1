"""Books of a placement under change: try a list of slot changes, keep it or take it back.

Energy: the sum over scenarios and GPUs of tilt * load^p, p a power of two (see `planner.strategies.kernels.scenarios`).
A move is a list of one to three changes (gpu, slot, new expert). A slot is moved if its expert was not on its GPU
before. Every expert keeps copies in at least ``least`` domains: 1 for a plain plan, 2 where any one may be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.strategies.kernels.compiled import compiled

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float, Int64

Bool = npt.NDArray[np.bool_]


class Ground(NamedTuple):
    """What stays as it is during a search."""

    weight: Float
    """Load of each expert, shape [scenario, expert]."""
    tilt: Float
    """Weight of each scenario in the energy, shape [scenario]."""
    pace: Float
    """Relative speed, shape [gpu]; 0 for a GPU without slots."""
    slots: Int64
    """Shape [gpu]."""
    node: Int64
    """Shape [gpu]; all 0 under the even split."""
    rack: Int64
    """Shape [node]."""
    source: Float
    """Share of the tokens that start in a node, shape [node]."""
    home: Bool
    """Whether a GPU held an expert before, shape [gpu, expert]."""
    before: Int64
    """What a GPU held before, shape [gpu, slot before], -1 where nothing."""
    domain: Int64
    """What may be lost at once: the domain of each GPU, shape [gpu]."""
    least: int
    """Domains that must hold a copy of every expert: 1 or 2."""
    doublings: int
    """The energy is the sum of load^(2^doublings)."""


class Books(NamedTuple):
    """What a move changes."""

    assign: Int64
    """Expert of each slot, shape [gpu, slot]."""
    copies: Int64
    """Shape [expert, node]."""
    owned: Int64
    """Copies, shape [expert]."""
    holder: Int64
    """GPUs of the copies, shape [expert, most copies]; the first ``owned`` entries are valid."""
    fraction: Float
    """Share of an expert's tokens that a copy of it in a node carries, shape [expert, node]."""
    load: Float
    """Shape [gpu, scenario]."""
    energy: Float
    """Shape [gpu]."""
    moved: Int64
    """Moved slots (gpu, slot), shape [slots_total, 2]; as many as ``number[0]`` are valid."""
    number: Int64
    """Moved slots, GPUs touched by a move, experts touched by it; shape [3]."""
    touched: Int64
    """Shape [gpu]."""
    mark: Bool
    """Whether a GPU is touched, shape [gpu]."""
    old_load: Float
    """Loads before the move, shape [gpu, scenario]."""
    expert: Int64
    """Experts touched, shape [6]."""
    changes: Int64
    """The move: rows (gpu, slot, new expert, expert before), shape [3, 4]."""


@compiled
def gpu_energy(load: Float, tilt: Float, doublings: int) -> float:
    """Sum over scenarios of tilt * load^(2^doublings) for one GPU, ``load`` and ``tilt`` [scenario]."""
    total = 0.0
    for scenario in range(len(load)):
        power = load[scenario]
        for _ in range(doublings):
            power *= power
        total += tilt[scenario] * power
    return total


@compiled
def refresh_fraction(books: Books, ground: Ground, expert: int) -> None:
    """Recompute the fractions of an expert; the rule is that of `planner.strategies.dispatch.copy_fraction`."""
    nodes = len(ground.source)
    copies, fraction = books.copies[expert], books.fraction[expert]
    for node in range(nodes):
        fraction[node] = ground.source[node] / copies[node] if copies[node] > 0 else 0.0
    for node in range(nodes if nodes > 1 else 0):
        if copies[node] > 0:
            continue
        near = 0
        for other in range(nodes):
            if ground.rack[other] == ground.rack[node]:
                near += copies[other]
        for other in range(nodes):
            if copies[other] > 0 and (near == 0 or ground.rack[other] == ground.rack[node]):
                fraction[other] += ground.source[node] / (near if near > 0 else books.owned[expert])


@compiled
def add_load(books: Books, ground: Ground, expert: int, sign: float) -> None:
    """Add (or take off) the load of all copies of an expert; remember the GPUs touched and their loads before."""
    for index in range(books.owned[expert]):
        gpu = books.holder[expert, index]
        if not books.mark[gpu]:
            books.mark[gpu] = True
            books.touched[books.number[1]] = gpu
            books.number[1] += 1
            books.old_load[gpu] = books.load[gpu]
        factor = sign * books.fraction[expert, ground.node[gpu]] / ground.pace[gpu]
        for scenario in range(ground.weight.shape[0]):
            books.load[gpu, scenario] += factor * ground.weight[scenario, expert]


@compiled
def set_slot(books: Books, ground: Ground, gpu: int, slot: int, expert: int) -> None:
    """Put an expert in a slot instead of the copy that is there."""
    loser = books.assign[gpu, slot]
    index = 0
    while books.holder[loser, index] != gpu:
        index += 1
    books.owned[loser] -= 1
    books.holder[loser, index] = books.holder[loser, books.owned[loser]]
    books.copies[loser, ground.node[gpu]] -= 1
    books.holder[expert, books.owned[expert]] = gpu
    books.owned[expert] += 1
    books.copies[expert, ground.node[gpu]] += 1
    books.assign[gpu, slot] = expert


@compiled
def list_moved(books: Books, ground: Ground) -> None:
    """List the moved slots anew."""
    number = 0
    for gpu in range(len(ground.slots)):
        for slot in range(ground.slots[gpu]):
            if not ground.home[gpu, books.assign[gpu, slot]]:
                books.moved[number, 0], books.moved[number, 1] = gpu, slot
                number += 1
    books.number[0] = number


@compiled
def open_books(assign: Int64, ground: Ground) -> Books:
    """Enter an assignment whose slots are all filled."""
    scenarios, experts = ground.weight.shape
    gpus, nodes, total = len(ground.slots), len(ground.source), np.sum(ground.slots)
    books = Books(
        assign,
        np.zeros((experts, nodes), dtype=np.int64),
        np.zeros(experts, dtype=np.int64),
        np.zeros((experts, total), dtype=np.int64),
        np.zeros((experts, nodes)),
        np.zeros((gpus, scenarios)),
        np.zeros(gpus),
        np.zeros((total, 2), dtype=np.int64),
        np.zeros(3, dtype=np.int64),
        np.zeros(gpus, dtype=np.int64),
        np.zeros(gpus, dtype=np.bool_),
        np.zeros((gpus, scenarios)),
        np.zeros(6, dtype=np.int64),
        np.zeros((3, 4), dtype=np.int64),
    )
    for gpu in range(gpus):
        for slot in range(ground.slots[gpu]):
            expert = assign[gpu, slot]
            books.holder[expert, books.owned[expert]] = gpu
            books.owned[expert] += 1
            books.copies[expert, ground.node[gpu]] += 1
    for expert in range(experts):
        refresh_fraction(books, ground, expert)
        add_load(books, ground, expert, 1.0)
    books.mark[:] = False
    for gpu in range(gpus):
        books.energy[gpu] = gpu_energy(books.load[gpu], ground.tilt, ground.doublings)
    list_moved(books, ground)
    return books


@compiled
def extra_moved(books: Books, ground: Ground, length: int) -> int:
    """Count the moved slots that the changes add."""
    extra = 0
    for row in range(length):
        gpu, slot, expert = books.changes[row, 0], books.changes[row, 1], books.changes[row, 2]
        extra += int(ground.home[gpu, books.assign[gpu, slot]]) - int(ground.home[gpu, expert])
    return extra


@compiled
def lawful(books: Books, ground: Ground, length: int) -> bool:
    """Whether the changes leave every expert a copy and put no second copy of one on a GPU."""
    changes, assign = books.changes, books.assign
    for row in range(length):
        gpu, slot, expert = changes[row, 0], changes[row, 1], changes[row, 2]
        loser = assign[gpu, slot]
        held = 0
        for index in range(books.owned[expert]):
            if books.holder[expert, index] == gpu:
                held += 1
        for other in range(length):
            was = assign[changes[other, 0], changes[other, 1]]
            if changes[other, 0] == gpu:
                held += int(changes[other, 2] == expert) - int(was == expert)
                if other != row and changes[other, 1] == slot:
                    return False
        if loser == expert or held > 1 or not still_covered(books, ground, length, loser):
            return False
    return True


@compiled
def still_covered(books: Books, ground: Ground, length: int, expert: int) -> bool:
    """Whether an expert that loses a copy keeps copies in enough domains after the changes."""
    changes, assign = books.changes, books.assign
    net = books.owned[expert]
    for row in range(length):
        net += int(changes[row, 2] == expert) - int(assign[changes[row, 0], changes[row, 1]] == expert)
    if ground.least == 1 or net < ground.least:
        return bool(net >= ground.least)
    seen, first = 0, -1
    for index in range(books.owned[expert] + length):
        if index < books.owned[expert]:
            gpu = books.holder[expert, index]
            for row in range(length):
                if changes[row, 0] == gpu and assign[gpu, changes[row, 1]] == expert:
                    gpu = -1
                    break
        else:
            row = index - books.owned[expert]
            gpu = changes[row, 0] if changes[row, 2] == expert else -1
        if gpu >= 0 and ground.domain[gpu] != first:
            first = ground.domain[gpu]
            seen += 1
            if seen == 2:
                return True
    return False


@compiled
def attempt(books: Books, ground: Ground, length: int, room: int, allowed: float) -> bool:
    """Try the changes; keep them if they are lawful, add at most ``room`` moved slots and ``allowed`` energy."""
    if extra_moved(books, ground, length) > room or not lawful(books, ground, length):
        return False
    _note_experts(books, length)
    books.number[1] = 0
    for index in range(books.number[2]):
        add_load(books, ground, books.expert[index], -1.0)
    for row in range(length):
        gpu, slot = books.changes[row, 0], books.changes[row, 1]
        books.changes[row, 3] = books.assign[gpu, slot]
        set_slot(books, ground, gpu, slot, books.changes[row, 2])
    for index in range(books.number[2]):
        refresh_fraction(books, ground, books.expert[index])
        add_load(books, ground, books.expert[index], 1.0)
    change = 0.0
    for index in range(books.number[1]):
        gpu = books.touched[index]
        books.mark[gpu] = False
        change += gpu_energy(books.load[gpu], ground.tilt, ground.doublings) - books.energy[gpu]
    if change <= allowed:
        for index in range(books.number[1]):
            gpu = books.touched[index]
            books.energy[gpu] = gpu_energy(books.load[gpu], ground.tilt, ground.doublings)
        list_moved(books, ground)
        return True
    for row in range(length - 1, -1, -1):
        set_slot(books, ground, books.changes[row, 0], books.changes[row, 1], books.changes[row, 3])
    for index in range(books.number[2]):
        refresh_fraction(books, ground, books.expert[index])
    for index in range(books.number[1]):
        books.load[books.touched[index]] = books.old_load[books.touched[index]]
    return False


@compiled
def _note_experts(books: Books, length: int) -> None:
    """List the experts that the changes touch, each once."""
    number = 0
    for row in range(length):
        for expert in (books.changes[row, 2], books.assign[books.changes[row, 0], books.changes[row, 1]]):
            known = False
            for index in range(number):
                known = known or books.expert[index] == expert
            if not known:
                books.expert[number] = expert
                number += 1
    books.number[2] = number
