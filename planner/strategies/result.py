"""What a placement strategy answers, and the load every GPU sees under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies import bounds, risk
from planner.strategies.dispatch import copies_per_node, copy_fraction
from planner.strategies.problem import PlacementRequest

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class PlacementResult:
    """A map with its quality.

    Attributes
    ----------
    physical_to_logical_map
        Expert in each slot, shape [layer, slots_total], rank-major, -1 for an empty slot; slots_total is GPUs times the
        largest slot count.
    balance
        Mean load / largest GPU load, expected over scenarios, shape [layer]; NaN for dense layers.
    bound
        Proven upper bound on ``balance`` over all placements, shape [layer]; NaN for dense layers.
    imbalance
        Largest GPU load / mean load, shape [scenario, layer]; NaN where there is no load.
    risk
        Objective over scenarios (`planner.strategies.risk`), shape [layer]; NaN for dense layers.
    risk_bound
        Proven lower bound on ``risk`` over all placements, shape [layer]; NaN for dense layers.
    scenario_balance
        Mean over layers of the balance of each scenario, shape [scenario].
    seconds
        Wall time of the strategy.
    strategy
        Its name.
    interrupted
        Whether Ctrl-C cut the search short; the map is valid all the same.
    """

    physical_to_logical_map: IntArray
    balance: FloatArray
    bound: FloatArray
    imbalance: FloatArray
    risk: FloatArray
    risk_bound: FloatArray
    scenario_balance: FloatArray
    seconds: float
    strategy: str
    interrupted: bool = False

    @property
    def gap(self) -> FloatArray:
        """1 - balance / bound, shape [layer]; NaN for dense layers."""
        return np.asarray(np.maximum(1.0 - self.balance / self.bound, 0.0))


def gpu_load(
    physical_to_logical_map: IntArray, load: FloatArray, gpus: int, request: PlacementRequest | None = None
) -> FloatArray:
    """Tokens that land on every GPU.

    Parameters
    ----------
    physical_to_logical_map
        Shape [layer, slots_total], rank-major, -1 for empty. Two copies on one GPU take their share twice.
    load
        Tokens, shape [scenario, layer, expert] or [layer, expert].
    gpus
        GPUs; must divide slots_total.
    request
        Where given, its dispatch rule and layout; even split otherwise.

    Returns
    -------
    array, shape [scenario, layer, gpu]
    """
    tokens = np.asarray(load, dtype=float)
    tokens = tokens[None] if tokens.ndim == 2 else tokens
    width = physical_to_logical_map.shape[1] // gpus
    if request is None:
        request = PlacementRequest(tokens, gpus, width)
    node = np.repeat(request.node_of_gpu, width)
    result = np.zeros((*tokens.shape[:2], gpus))
    for layer, row in enumerate(physical_to_logical_map):
        fraction = copy_fraction(copies_per_node(row, request), request)
        expert = np.maximum(row, 0)
        carried = np.where(row >= 0, tokens[:, layer, expert] * fraction[expert, node], 0.0)
        result[:, layer] = carried.reshape(len(tokens), gpus, width).sum(axis=2)
    return result


def imbalance(load_per_gpu: FloatArray, speed: FloatArray | None = None) -> FloatArray:
    """Largest load / mean load over GPUs (last axis); NaN where nothing is loaded.

    With ``speed`` [gpu] the largest load / speed over total load / total speed; GPUs of speed 0 are out of service.
    """
    gpus = load_per_gpu.shape[-1]
    pace = np.ones(gpus) if speed is None else np.asarray(speed, dtype=float)
    used = pace > 0
    largest = (load_per_gpu[..., used] / pace[used]).max(axis=-1)
    mean = load_per_gpu.sum(axis=-1) / pace.sum()
    return np.asarray(np.where(mean > 0, largest / np.where(mean > 0, mean, 1.0), np.nan))


def identity_row(request: PlacementRequest) -> IntArray:
    """Map row that numbers the slots 0, 1, 2, ... modulo the experts, shape [slots_total]; empty slots are -1."""
    held = np.arange(request.slot_width) < request.slots[:, None]
    numbers = np.cumsum(held.ravel()) - 1
    return np.where(held.ravel(), numbers % request.experts, -1)


def mean_over(values: FloatArray, axis: int | None = None) -> FloatArray:
    """Mean that leaves NaN out; NaN where nothing is left."""
    seen = ~np.isnan(values)
    count = seen.sum(axis=axis)
    total = np.where(seen, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def assess(
    request: PlacementRequest,
    physical_to_logical_map: IntArray,
    seconds: float,
    strategy: str,
    *,
    interrupted: bool = False,
) -> PlacementResult:
    """Score a map: balance against the fast bound, layer by layer and scenario by scenario."""
    per_gpu = gpu_load(physical_to_logical_map, request.load, request.gpus, request)
    largest = imbalance(per_gpu, request.relative_speed)
    balance = 1.0 / largest
    lowest = bounds.scenario_imbalance_bound(request)
    return PlacementResult(
        physical_to_logical_map=physical_to_logical_map,
        balance=risk.expected(balance, request.scenario_probability),
        bound=risk.expected(1.0 / lowest, request.scenario_probability),
        imbalance=largest,
        risk=risk.risk(largest, request),
        risk_bound=risk.risk(lowest, request),
        scenario_balance=mean_over(balance, axis=1),
        seconds=seconds,
        strategy=strategy,
        interrupted=interrupted,
    )
