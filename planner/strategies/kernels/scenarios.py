"""Annealing for several load vectors at once and for nearest dispatch.

Energy: sum over scenarios and GPUs of (load / mean)^p, p a power of two. It beats the sum of largest loads on loads the
search never saw, and every change of one GPU shows in it, which a maximum hides. A copy of expert e in node q carries
the fraction [e, q] of its tokens; under the even split all GPUs form one node, so that a swap changes no fraction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.strategies.kernels.compiled import RandomState, compiled, random_below, random_unit

if TYPE_CHECKING:
    from planner.strategies.kernels.packing import Float, Int64

REPLICA_SHARE = 0.2
"""Share of the moves that pass a copy to another expert instead of swapping two slots."""

GAIN_SHARE = 0.5
"""Share of those moves in which an expert of the fuller GPU gains the copy."""

RETILTED_EVERY = 100
"""Moves after which the factors of the scenarios are set anew and the risk is taken."""

SOFTNESS = 100.0
"""Scenarios within a hundredth of the largest load share the weight of the tail: were it all on the worst of them, they
would take turns."""

LEAST_SUM = 1e-250
"""Power sums are taken to be at least this, so that their inverse stays finite."""

TOURNAMENT = 3
"""GPUs drawn, of which the fullest is worked on, in half of the moves."""


class Layout(NamedTuple):
    """Where GPUs are and where tokens start."""

    pace: Float
    """Relative speed, shape [gpu]; 0 for a GPU without slots."""
    slots: Int64
    """Shape [gpu]."""
    node: Int64
    """Shape [gpu]."""
    rack: Int64
    """Shape [node]."""
    source: Float
    """Share of the tokens that start in a node, shape [node]."""
    doublings: int
    """The energy is a sum of load^(2^doublings)."""


class Risk(NamedTuple):
    """How the scenarios count: (1 - tail weight) mean + tail weight CVaR of their largest loads."""

    probability: Float
    """Shape [scenario], sum 1."""
    tail_share: float
    """CVaR is the mean over the worst scenarios that hold this much of the probability."""
    tail_weight: float
    order: float
    """Scenarios count by largest load^order: 1 is the mean itself, more looks to the worst of them."""


class State(NamedTuple):
    """What the search changes in place."""

    assign: Int64
    """Expert of each slot, shape [gpu, slot]."""
    copies: Int64
    """Shape [expert, node]."""
    owned: Int64
    """Shape [expert]."""
    holder: Int64
    """GPUs of an expert's copies, shape [expert, gpu]; the first ``owned`` entries are valid."""
    fraction: Float
    """Shape [expert, node]."""
    load: Float
    """Load over mean and speed, shape [gpu, scenario]."""
    energy: Float
    """Shape [gpu]."""
    tilt: Float
    """Factor of each scenario in the energy, shape [scenario]."""


class Undo(NamedTuple):
    """Scratch that takes a move back."""

    touched: Int64
    """GPUs changed by the move, shape [gpu]; the first ``number[0]`` entries are valid."""
    number: Int64
    """Shape [1]."""
    mark: npt.NDArray[np.bool_]
    """Shape [gpu]."""
    load: Float
    """Their loads before, shape [gpu, scenario]."""


@compiled
def refresh_fraction(state: State, layout: Layout, expert: int) -> None:
    """Recompute the fraction row of one expert; the rule is that of `planner.strategies.dispatch.copy_fraction`."""
    nodes = len(layout.source)
    for node in range(nodes):
        state.fraction[expert, node] = 0.0
        if state.copies[expert, node] > 0:
            state.fraction[expert, node] = layout.source[node] / state.copies[expert, node]
    if nodes == 1:
        return
    for node in range(nodes):
        if state.copies[expert, node] > 0:
            continue
        near = 0
        for other in range(nodes):
            if layout.rack[other] == layout.rack[node]:
                near += state.copies[expert, other]
        for other in range(nodes):
            if state.copies[expert, other] > 0 and (near == 0 or layout.rack[other] == layout.rack[node]):
                state.fraction[expert, other] += layout.source[node] / (near if near > 0 else state.owned[expert])


@compiled
def add_expert(state: State, layout: Layout, undo: Undo, weight: Float, expert: int, sign: float) -> None:
    """Add (or take off) the load of all copies of an expert; remember the GPUs touched."""
    for index in range(state.owned[expert]):
        gpu = state.holder[expert, index]
        if not undo.mark[gpu]:
            undo.mark[gpu] = True
            undo.touched[undo.number[0]] = gpu
            undo.number[0] += 1
            undo.load[gpu] = state.load[gpu]
        factor = sign * state.fraction[expert, layout.node[gpu]] / layout.pace[gpu]
        for scenario in range(weight.shape[0]):
            state.load[gpu, scenario] += factor * weight[scenario, expert]


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
def risk_of(largest: Float, risk: Risk) -> float:
    """Risk of the scenarios' largest loads [scenario]."""
    total, left = 0.0, risk.tail_share
    for scenario in np.argsort(-largest, kind="mergesort"):
        taken = min(left, risk.probability[scenario])
        left -= taken
        weight = (1.0 - risk.tail_weight) * risk.probability[scenario] + risk.tail_weight * taken / risk.tail_share
        total += weight * largest[scenario]
    return total


@compiled
def soft_weights(largest: Float, risk: Risk) -> Float:
    """Slope of a smoothed risk in each scenario's largest load, shape [scenario], sum 1.

    CVaR is the largest sum q_k T_k with q_k <= p_k / tail share; smoothed by an entropy, q_k falls off exponentially
    below the worst, cut off at its limit. What is cut off goes to the others.
    """
    limit = risk.probability / risk.tail_share
    wish = risk.probability * np.exp(SOFTNESS * (largest / np.max(largest) - 1.0))
    tail = np.zeros(len(wish))
    for _ in range(len(wish)):
        free, rest = 0.0, 1.0
        for scenario in range(len(wish)):
            if tail[scenario] >= limit[scenario]:
                rest -= limit[scenario]
            else:
                free += wish[scenario]
        if free <= 0.0:
            break
        cut = False
        for scenario in range(len(wish)):
            if tail[scenario] < limit[scenario]:
                tail[scenario] = wish[scenario] * rest / free
                if tail[scenario] >= limit[scenario]:
                    tail[scenario], cut = limit[scenario], True
        if not cut:
            break
    return (1.0 - risk.tail_weight) * risk.probability + risk.tail_weight * tail


@compiled
def retilt(state: State, layout: Layout, risk: Risk) -> float:
    """Set the factors of the scenarios anew and the energy of all GPUs with them; return the risk.

    The energy is sum_k q_k E_k^(order / p), E_k = sum_g load_gk^p, written as sum_k tilt_k E_k with tilt_k = q_k
    E_k^(order / p - 1): for a rising concave power the tangent, so that what lowers it lowers the energy itself. The
    weights q are the slope of the risk.
    """
    gpus, scenarios = state.load.shape
    largest, power_sum = np.zeros(scenarios), np.zeros(scenarios)
    for gpu in range(gpus):
        for scenario in range(scenarios):
            power = state.load[gpu, scenario]
            largest[scenario] = max(largest[scenario], power)
            for _ in range(layout.doublings):
                power *= power
            power_sum[scenario] += power
    exponent = risk.order / 2.0**layout.doublings - 1.0
    weight = soft_weights(largest, risk)
    for scenario in range(scenarios):
        state.tilt[scenario] = weight[scenario] * max(power_sum[scenario], LEAST_SUM) ** exponent
    for gpu in range(gpus):
        state.energy[gpu] = gpu_energy(state.load[gpu], state.tilt, layout.doublings)
    return risk_of(largest, risk)


@compiled
def new_state(weight: Float, assign: Int64, layout: Layout) -> State:
    """Build the search state of an assignment; ``weight`` [scenario, expert] is scaled to a mean GPU load of 1."""
    experts, gpus = weight.shape[1], len(layout.slots)
    count = np.zeros(experts, dtype=np.int64)
    copies = np.zeros((experts, len(layout.source)), dtype=np.int64)
    holder = np.zeros((experts, np.sum(layout.slots)), dtype=np.int64)
    for gpu in range(gpus):
        for slot in range(layout.slots[gpu]):
            expert = assign[gpu, slot]
            holder[expert, count[expert]] = gpu
            count[expert] += 1
            copies[expert, layout.node[gpu]] += 1
    scenarios = weight.shape[0]
    state = State(
        assign,
        copies,
        count,
        holder,
        np.zeros(copies.shape),
        np.zeros((gpus, scenarios)),
        np.zeros(gpus),
        np.ones(scenarios),
    )
    undo = new_undo(gpus, scenarios)
    for expert in range(experts):
        refresh_fraction(state, layout, expert)
        add_expert(state, layout, undo, weight, expert, 1.0)
    return state


@compiled
def new_undo(gpus: int, scenarios: int) -> Undo:
    """Empty scratch."""
    return Undo(
        np.zeros(gpus, dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros(gpus, dtype=np.bool_),
        np.zeros((gpus, scenarios)),
    )


@compiled
def held_by(state: State, expert: int, gpu: int) -> bool:
    """Whether a GPU has a copy of an expert."""
    for index in range(state.owned[expert]):  # noqa: SIM110 - numba compiles no any() over a generator
        if state.holder[expert, index] == gpu:
            return True
    return False


@compiled
def gain_copy(state: State, layout: Layout, expert: int, gpu: int) -> None:
    """Enter a copy in the books, except in ``assign``."""
    state.holder[expert, state.owned[expert]] = gpu
    state.owned[expert] += 1
    state.copies[expert, layout.node[gpu]] += 1


@compiled
def drop_copy(state: State, layout: Layout, expert: int, gpu: int) -> None:
    """Strike a copy from the books, except from ``assign``."""
    index = 0
    while state.holder[expert, index] != gpu:
        index += 1
    state.owned[expert] -= 1
    state.holder[expert, index] = state.holder[expert, state.owned[expert]]
    state.copies[expert, layout.node[gpu]] -= 1


@compiled
def book_copy(state: State, layout: Layout, gpu: int, slot: int, expert: int) -> None:
    """Put ``expert`` in a slot instead of the copy that is there, in the books."""
    drop_copy(state, layout, state.assign[gpu, slot], gpu)
    gain_copy(state, layout, expert, gpu)
    state.assign[gpu, slot] = expert


@compiled
def book_swap(state: State, layout: Layout, spots: Int64) -> None:
    """Exchange two slots in the books."""
    expert, partner = state.assign[spots[0], spots[1]], state.assign[spots[2], spots[3]]
    book_copy(state, layout, spots[0], spots[1], partner)
    book_copy(state, layout, spots[2], spots[3], expert)


@compiled
def swap_in_node(state: State, layout: Layout, weight: Float, spots: Int64, undo: Undo, allowed: float) -> bool:
    """Try to swap two slots, ``spots`` = (gpu, slot, other gpu, other slot), where no fraction changes."""
    gpu, other = spots[0], spots[2]
    expert, partner = state.assign[gpu, spots[1]], state.assign[other, spots[3]]
    node = layout.node[gpu]
    for scenario in range(weight.shape[0]):
        moved = (
            weight[scenario, expert] * state.fraction[expert, node]
            - weight[scenario, partner] * state.fraction[partner, node]
        )
        undo.load[gpu, scenario] = state.load[gpu, scenario] - moved / layout.pace[gpu]
        undo.load[other, scenario] = state.load[other, scenario] + moved / layout.pace[other]
    energy = gpu_energy(undo.load[gpu], state.tilt, layout.doublings)
    other_energy = gpu_energy(undo.load[other], state.tilt, layout.doublings)
    if energy + other_energy - state.energy[gpu] - state.energy[other] > allowed:
        return False
    state.load[gpu], state.load[other] = undo.load[gpu], undo.load[other]
    state.energy[gpu], state.energy[other] = energy, other_energy
    book_swap(state, layout, spots)
    return True


@compiled
def try_general(state: State, layout: Layout, weight: Float, spots: Int64, undo: Undo, allowed: float) -> bool:
    """Try a move that changes fractions: a swap (gainer < 0), or expert ``spots[4]`` = gainer into the first slot."""
    gpu, slot, gainer = spots[0], spots[1], spots[4]
    undo.number[0] = 0
    first = state.assign[gpu, slot]
    second = state.assign[spots[2], spots[3]] if gainer < 0 else gainer
    add_expert(state, layout, undo, weight, first, -1.0)
    add_expert(state, layout, undo, weight, second, -1.0)
    if gainer < 0:
        book_swap(state, layout, spots)
    else:
        book_copy(state, layout, gpu, slot, gainer)
    refresh_fraction(state, layout, first)
    refresh_fraction(state, layout, second)
    add_expert(state, layout, undo, weight, first, 1.0)
    add_expert(state, layout, undo, weight, second, 1.0)
    change = 0.0
    for index in range(undo.number[0]):
        changed = undo.touched[index]
        change += gpu_energy(state.load[changed], state.tilt, layout.doublings) - state.energy[changed]
        undo.mark[changed] = False
    if change <= allowed:
        for index in range(undo.number[0]):
            changed = undo.touched[index]
            state.energy[changed] = gpu_energy(state.load[changed], state.tilt, layout.doublings)
        return True
    if gainer < 0:
        book_swap(state, layout, spots)
    else:
        book_copy(state, layout, gpu, slot, first)
    refresh_fraction(state, layout, first)
    refresh_fraction(state, layout, second)
    for index in range(undo.number[0]):
        state.load[undo.touched[index]] = undo.load[undo.touched[index]]
    return False


@compiled
def draw_gpu(state: State, layout: Layout, draws: int, random: RandomState) -> int:
    """Draw a GPU that has slots: the fullest of ``draws``."""
    best = -1
    while draws > 0:
        gpu = random_below(random, len(layout.slots))
        if layout.slots[gpu] > 0:
            draws -= 1
            if best < 0 or state.energy[gpu] > state.energy[best]:
                best = gpu
    return best


@compiled
def pass_copy(
    state: State,
    layout: Layout,
    weight: Float,
    spots: Int64,
    gpu: int,
    other: int,
    undo: Undo,
    allowed: float,
    random: RandomState,
) -> bool:
    """Turn a copy on ``gpu`` into one of an expert of ``other`` if it can be spared, or the other way round."""
    if random_unit(random) < GAIN_SHARE:
        gpu, other = other, gpu
    gainer = state.assign[other, random_below(random, layout.slots[other])]
    spots[0], spots[1] = gpu, random_below(random, layout.slots[gpu])
    loser = state.assign[gpu, spots[1]]
    if loser == gainer or state.owned[loser] < 2 or held_by(state, gainer, gpu):
        return False
    spots[4] = gainer
    return try_general(state, layout, weight, spots, undo, allowed)


@compiled
def one_move(
    state: State, layout: Layout, weight: Float, spots: Int64, undo: Undo, allowed: float, random: RandomState
) -> bool:
    """Draw a move that keeps copies on distinct GPUs and try it."""
    gpu = draw_gpu(state, layout, TOURNAMENT if random_unit(random) < 0.5 else 1, random)
    other = draw_gpu(state, layout, 1, random)
    if random_unit(random) < REPLICA_SHARE:
        return pass_copy(state, layout, weight, spots, gpu, other, undo, allowed, random)
    spots[0], spots[1] = gpu, random_below(random, layout.slots[gpu])
    spots[2], spots[3] = other, random_below(random, layout.slots[other])
    expert, partner = state.assign[gpu, spots[1]], state.assign[other, spots[3]]
    if gpu == other or expert == partner or held_by(state, partner, gpu) or held_by(state, expert, other):
        return False
    if layout.node[gpu] == layout.node[other]:
        return swap_in_node(state, layout, weight, spots, undo, allowed)
    spots[4] = -1
    return try_general(state, layout, weight, spots, undo, allowed)


@compiled
def anneal(
    weight: Float, assign: Int64, layout: Layout, risk: Risk, moves: int, heat: float, random: RandomState
) -> float:
    """Search from ``assign``; change it to the assignment of least risk seen, and return that risk.

    A move may raise the energy by ``heat`` times its excess over the perfect balance times an exponential variate; the
    heat falls to zero linearly over ``moves``. Loads are scaled to start with a largest of 1: high powers stay finite.
    """
    largest = np.max(new_state(weight, assign, layout).load)
    scaled = weight / largest
    state = new_state(scaled, assign.copy(), layout)
    undo = new_undo(len(layout.slots), weight.shape[0])
    spots = np.zeros(5, dtype=np.int64)
    perfect = np.full(weight.shape[0], 1.0 / largest)
    best = retilt(state, layout, risk)
    total, floor, allowed = 0.0, 0.0, 0.0
    for move in range(moves):
        if move % RETILTED_EVERY == 0:
            reached = retilt(state, layout, risk)
            if reached < best:
                best = reached
                assign[:] = state.assign
            total = np.sum(state.energy)
            floor = np.sum(layout.slots > 0) * gpu_energy(perfect, state.tilt, layout.doublings)
        if heat > 0.0:
            excess = max(total - floor, 0.0)
            allowed = -heat * (1.0 - move / moves) * excess * np.log(1.0 - random_unit(random))
        if one_move(state, layout, scaled, spots, undo, allowed, random):
            total = np.sum(state.energy)
    reached = retilt(state, layout, risk)
    if reached < best:
        best = reached
        assign[:] = state.assign
    return best * largest
