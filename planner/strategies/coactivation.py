"""Search with recorded routing: experts that tokens use together share a GPU, a node, a rack."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from formulations.base import refuse
from planner.errors import InstanceError
from planner.strategies.local_search import LocalSearch
from planner.strategies.regroup import regroup
from planner.strategies.result import PlacementResult, assess, gpu_load, imbalance, mean_over
from planner.strategies.routing import unit_table

if TYPE_CHECKING:
    from planner.strategies.kernels.coactivation import Aim
    from planner.strategies.kernels.token_tables import Tokens, Units, Work
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.routing import TokenRouting
    from planner.strategies.traffic_aim import TrafficAim

DEFAULT_FLOOR = 0.9
"""Balance floor where neither a weight nor hardware says what a destination costs."""

MOVES_PER_SLOT = 2_000
MOST_MOVES = 300_000

SEARCHED_TOKENS = 2_048
"""Recorded tokens of a layer that the search looks at, evenly spaced; more cost time and change little."""

HINGE = 10.0
"""Cost of a GPU's load above the cap, in remote destinations for each mean GPU load."""

TIE_WEIGHT = 1e-3
"""Weight of the largest load under a floor: among equal traffic the better balanced."""

HEAT = 0.002
"""Starting temperature over the energy of the start."""

SCHEDULE = ((4, 0.8, 1.0), (0, 0.2, 0.05))
"""Doublings of the power mean, share of the moves and share of the heat of each part."""

PRIOR_TOKENS = 0.5
"""Tokens added to every expert's count (Krichevsky and Trofimov): an expert that the recording missed is not free."""

FOLDS = 4
CHECKED_LAYERS = 4
"""Layers that cross-validation looks at."""

FOLD_EFFORT = 0.25
HIGHEST_FLOOR = 0.985
"""A floor with its margin is not raised beyond this: the search would have nothing left to choose."""


class CoActivation:
    """Fewer destinations a token under a balance floor, for a price of a destination, or in seconds of a step."""

    name = "coactivation"

    def supports(self, request: PlacementRequest) -> str | None:
        """One load scenario with recorded routing."""
        if request.traffic is None:
            return "it needs recorded routing: give --routing"
        if request.scenarios > 1:
            return "it plans for one load scenario"
        return None

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Anneal every layer from the balanced placement, until the time limit or Ctrl-C.

        Raises
        ------
        FormulationError
            If the request is not supported.
        InstanceError
            If the routing does not fit the loads.
        """
        refuse(self.supports(request))
        start = time.perf_counter()
        deadline = None if request.time_limit_s is None else start + request.time_limit_s
        balanced = LocalSearch().place(replace(request, traffic=None))
        rows, interrupted = balanced.physical_to_logical_map.copy(), balanced.interrupted
        try:
            floor = planned_floor(request)
            if not interrupted:
                _anneal_all(request, rows, floor, MOVES_PER_SLOT, deadline)
        except KeyboardInterrupt:
            interrupted = True
        return assess(request, rows, time.perf_counter() - start, self.name, interrupted=interrupted)


@lru_cache(maxsize=4)
def planned_floor(request: PlacementRequest) -> float | None:
    """Balance floor that the search plans for: the one asked plus the margin; ``None`` where destinations are priced.

    What a floor loses on tokens that the search never saw grows as (1/n + 1/m)^0.5 with n tokens to plan on and m to
    run; the factor is measured by planning on three quarters of the recording and running on the rest, four times over.
    """
    aim = _aim_of(request)
    if aim.floor is None and (aim.weight is not None or aim.step is not None):
        return None
    floor = DEFAULT_FLOOR if aim.floor is None else aim.floor
    if not aim.margin or aim.routing.tokens < 2 * FOLDS:
        return floor
    run = aim.routing.tokens if aim.step is None else aim.step.step_tokens(request)
    margin = unseen_loss(request, floor) * float(np.sqrt(1.0 / aim.routing.tokens + 1.0 / run))
    return max(floor, min(floor + margin, HIGHEST_FLOOR))


def unseen_loss(request: PlacementRequest, floor: float) -> float:
    """Balance lost on unseen tokens over (1/n + 1/m)^0.5, by cross-validation on some layers; at least 0.

    The mean over the folds plus their standard deviation, so that most unseen tokens keep the floor and not half.
    """
    part = _some_layers(request)
    aim = _aim_of(part)
    losses = []
    for fold in range(FOLDS):
        numbers = np.arange(aim.routing.tokens)
        held_out = numbers % FOLDS == fold
        planned, run = aim.routing.select(numbers[~held_out]), aim.routing.select(numbers[held_out])
        rows = plan_on(part, planned, floor, FOLD_EFFORT)
        seen, unseen = (balance_on(part, rows, routing) for routing in (planned, run))
        losses.append((seen - unseen) / (1.0 / planned.tokens + 1.0 / run.tokens) ** 0.5)
    return max(float(np.mean(losses) + np.std(losses, ddof=1)), 0.0)


def plan_on(request: PlacementRequest, routing: TokenRouting, floor: float | None, effort: float = 1.0) -> IntArray:
    """Map of a plan made on some tokens only, shape [layer, slots_total]; ``effort`` scales the moves."""
    aim = replace(_aim_of(request), routing=routing, margin=False)
    part = replace(request, load=routing.load(request.experts), traffic=aim)
    rows = LocalSearch().place(replace(part, traffic=None)).physical_to_logical_map.copy()
    _anneal_all(part, rows, floor, int(effort * MOVES_PER_SLOT))
    return rows


def balance_on(request: PlacementRequest, rows: IntArray, routing: TokenRouting) -> float:
    """Balance of a map under the loads of some tokens, mean over layers."""
    load = gpu_load(rows, routing.load(request.experts), request.gpus, request)
    return float(mean_over((1.0 / imbalance(load, request.relative_speed))[0]))


def _aim_of(request: PlacementRequest) -> TrafficAim:
    if request.traffic is None:
        raise InstanceError.single("placement request", "traffic", "missing", "give recorded routing")
    if len(request.traffic.routing.layers) != request.layers:
        message = f"has {len(request.traffic.routing.layers)} layers, the loads {request.layers}"
        raise InstanceError.single("placement request", "traffic", message)
    return request.traffic


def _some_layers(request: PlacementRequest) -> PlacementRequest:
    """Return the request for a few evenly spaced layers that have routing, tokens cut to the fewest of them."""
    aim = _aim_of(request)
    recorded = [layer for layer, rows in enumerate(aim.routing.layers) if rows is not None]
    chosen = [recorded[i] for i in np.linspace(0, len(recorded) - 1, CHECKED_LAYERS).round().astype(int)]
    chosen = sorted(set(chosen))
    rows = [aim.routing.layers[layer] for layer in chosen]
    fewest = min(min(len(row) for row in rows if row is not None), SEARCHED_TOKENS)
    routing = replace(aim.routing, layers=tuple(rows)).select(slice(0, fewest))
    return replace(request, load=request.load[:, chosen], traffic=replace(aim, routing=routing))


def _anneal_all(
    request: PlacementRequest, rows: IntArray, floor: float | None, moves_per_slot: int, deadline: float | None = None
) -> None:
    """Search all layers with routing, side by side; ``rows`` [layer, slots_total] takes each layer once it is done."""
    from planner.strategies.parallel import default_workers, map_ordered

    layers = [layer for layer, recorded in enumerate(_aim_of(request).routing.layers) if recorded is not None]

    def search(layer: int) -> None:
        if deadline is None or time.perf_counter() < deadline:
            rows[layer] = _anneal(request, layer, rows[layer], floor, moves_per_slot)

    for _ in map_ordered(search, layers, min(default_workers(), len(layers))):
        pass


def _anneal(request: PlacementRequest, layer: int, row: IntArray, floor: float | None, moves_per_slot: int) -> IntArray:
    """Search one layer from ``row`` [slots_total]; the start is returned where the search gains nothing."""
    from planner.strategies.kernels import coactivation as kernel
    from planner.strategies.kernels.compiled import random_state
    from planner.strategies.kernels.token_tables import new_state

    tokens = _tokens(request, layer)
    work, units, aim = _terms(request, layer, row, floor)
    random = random_state(request.seed, layer)
    moves = min(moves_per_slot * int(request.slots.sum()), MOST_MOVES)
    start = row.reshape(request.gpus, request.slot_width)
    before = kernel.energy_of(new_state(start.copy(), units, work, tokens), units, work, aim)
    assign = start.copy()
    after = before
    for doublings, share, heat in SCHEDULE:
        part = aim._replace(doublings=doublings)
        after = kernel.anneal(assign, units, work, tokens, part, int(share * moves), heat * HEAT * before, random)
        if doublings and regroup(request, assign, units, tokens, random):
            after = kernel.anneal(assign, units, work, tokens, part, int(share * moves), heat * HEAT * before, random)
    return (assign if after <= before else start).ravel()


def _tokens(request: PlacementRequest, layer: int) -> Tokens:
    """Prepare the tokens of a layer for the kernel; without de-duplication each assignment counts as a token."""
    from planner.strategies.kernels.token_tables import Tokens

    aim = _aim_of(request)
    rows = aim.routing.layers[layer]
    if rows is None:
        raise InstanceError.single("placement request", "traffic", f"layer {layer} has no routing")
    if len(rows) > SEARCHED_TOKENS:
        rows = rows[np.linspace(0, len(rows) - 1, SEARCHED_TOKENS).round().astype(int)]
    number = len(rows)
    if aim.step is not None and not aim.step.deduplicate:
        rows = rows.reshape(-1, 1)
    order = np.argsort(rows.ravel(), kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(rows.ravel(), minlength=request.experts))])
    weight = np.full(len(rows), 1.0 / number)
    return Tokens(
        np.array(rows, dtype=np.int64), weight, start.astype(np.int64), (order // rows.shape[1]).astype(np.int64)
    )


def _terms(request: PlacementRequest, layer: int, row: IntArray, floor: float | None) -> tuple[Work, Units, Aim]:
    """Work, units and aim of a layer; times are over the mean GPU time at ``row``, or over the mean GPU load."""
    from planner.strategies.kernels.coactivation import Aim
    from planner.strategies.kernels.token_tables import Work

    aim, load = _aim_of(request), request.load[0, layer] + PRIOR_TOKENS
    chance = aim.routing.top_k * load / load.sum()
    pace = request.relative_speed
    count = len(unit_table(request).level_of_unit)
    none = np.zeros(count)
    if floor is not None or aim.step is None:
        work = Work(chance, pace, 1.0, pace.sum() / aim.routing.top_k, 0.0, 0.0)
        price = np.ones(count) if floor is not None else np.full(count, aim.weight or 0.0)
        wanted = Aim(1.0, np.inf, 0.0, 0) if floor is None else Aim(TIE_WEIGHT, 1.0 / floor, HINGE, 0)
        return work, _units(request, price, none), wanted
    return _terms_in_seconds(request, chance, row, load)


def _terms_in_seconds(
    request: PlacementRequest, chance: FloatArray, row: IntArray, load: FloatArray
) -> tuple[Work, Units, Aim]:
    """Work, units and aim in seconds over the mean GPU time of ``row``."""
    from planner.strategies.kernels.coactivation import Aim
    from planner.strategies.kernels.token_tables import Work
    from planner.strategies.objective import expert_seconds

    step = _aim_of(request).step
    if step is None:
        raise InstanceError.single("placement request", "traffic", "has no step model")
    tokens = step.step_tokens(request)
    times = expert_seconds(request, row, load, step)
    scale = 1.0 / times[times > 0].mean()
    work = Work(
        chance * step.model.experts_per_token / _aim_of(request).routing.top_k,
        request.relative_speed,
        tokens,
        scale * step.seconds_per_assignment * tokens,
        step.half_tokens / tokens,
        scale * step.seconds_per_touched_slot,
    )
    port = step.port_seconds_per_byte(request, unit_table(request)) * tokens * step.bytes_per_send * scale
    return work, _units(request, np.zeros(len(port)), port), Aim(1.0, np.inf, 0.0, 0)


def _units(request: PlacementRequest, price: FloatArray, port: FloatArray) -> Units:
    from planner.strategies.kernels.token_tables import Units

    table = unit_table(request)
    near = request.dispatch == "nearest"
    return Units(
        np.array(request.slots),
        table.unit_of_gpu,
        request.node_of_gpu if near else np.zeros(request.gpus, dtype=np.int64),
        request.rack_of_node if near else np.zeros(1, dtype=np.int64),
        table.source,
        table.remote,
        price,
        port,
    )
