"""What a placement strategy is asked for: loads, GPUs, slots, the layout of nodes and racks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from planner.errors import InstanceError, NoPlanFound, Problem

if TYPE_CHECKING:
    from planner.strategies.traffic_aim import TrafficAim

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Dispatch = Literal["even", "nearest"]

DEFAULT_GAP = 1e-4
"""A layer this close to its bound is not searched further."""

DEFAULT_CVAR_SHARE = 0.25
"""Probability of the scenarios that count as the tail where nothing is said."""


@dataclass(frozen=True, eq=False)
class PlacementRequest:
    """Loads to balance and the GPUs to balance them over.

    Parameters
    ----------
    load
        Tokens, shape [scenario, layer, expert]. A layer that is zero in every scenario is dense and is passed through.
    gpus
        GPUs, numbered node by node and rack by rack.
    slots_per_gpu
        Expert slots of every GPU, or of each GPU, shape [gpu]; a GPU with no slot is left out (dead).
    gpus_per_node, nodes_per_rack
        Layout; the last node and the last rack may be partly filled. ``None``: one node, one rack.
    router_groups
        Groups of the model's router (DeepSeek-V3: 8); only EPLB's hierarchical policy and the matheuristic look at
        them.
    locality_tolerance
        Load over the bound that the fullest GPU may have so that router groups live on fewer nodes (matheuristic).
    seed
        Seed of the search; the same seed gives the same map unless the time limit cuts the search short.
    time_limit_s
        Seconds after which no further improvement is tried.
    speed
        Relative speed, shape [gpu]; ``None``: all equal.
    dispatch
        ``even``: every copy of an expert takes the same share. ``nearest``: tokens go to the copies in their own node,
        else in their own rack, else to all copies evenly.
    gap
        A layer is good enough once 1 - balance / bound is at most this.
    scenario_weights
        Probability of each scenario up to a common factor, shape [scenario]; ``None``: all alike.
    cvar_share, cvar_weight
        The objective over scenarios is (1 - ``cvar_weight``) times the mean of largest over mean load plus
        ``cvar_weight`` times its mean over the worst scenarios that hold ``cvar_share`` of the probability
        (`planner.strategies.risk`).
    workers
        Layers searched at a time; ``None``: one a core. The map does not depend on it.
    traffic
        Recorded routing and what destinations cost, for strategies that look at it.

    Raises
    ------
    InstanceError
        Wrong shapes, negative or non-finite numbers.
    NoPlanFound
        Fewer slots than experts.
    """

    load: FloatArray
    gpus: int
    slots_per_gpu: int | IntArray
    gpus_per_node: int | None = None
    nodes_per_rack: int | None = None
    router_groups: int = 1
    locality_tolerance: float = 0.02
    seed: int = 0
    time_limit_s: float | None = None
    speed: FloatArray | None = None
    dispatch: Dispatch = "even"
    gap: float = DEFAULT_GAP
    scenario_weights: FloatArray | None = None
    cvar_share: float = DEFAULT_CVAR_SHARE
    cvar_weight: float = 0.0
    workers: int | None = None
    traffic: TrafficAim | None = None

    def __post_init__(self) -> None:
        problems = [*self._load_problems(), *self._layout_problems(), *self._risk_problems()]
        if problems:
            raise InstanceError(Problem("placement request", key, message) for key, message in problems)
        if int(self.slots.sum()) < self.experts:
            used = int((self.slots > 0).sum())
            raise NoPlanFound(
                [
                    f"{int(self.slots.sum())} expert slots on {used} GPUs in service are fewer than {self.experts} "
                    f"experts: give at least {-(-self.experts // max(used, 1))} slots per GPU or more GPUs"
                ]
            )

    def _load_problems(self) -> list[tuple[str, str]]:
        load = np.asarray(self.load)
        if load.ndim != 3 or 0 in load.shape:
            return [("load", f"has shape {list(load.shape)}, expected [scenario, layer, expert], none of them empty")]
        if not (np.isfinite(load).all() and (load >= 0).all()):
            return [("load", "has values that are negative or not finite")]
        return []

    def _layout_problems(self) -> list[tuple[str, str]]:
        problems = [
            (name, f"is {value}, must be at least 1")
            for name in ("gpus", "gpus_per_node", "nodes_per_rack", "router_groups")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if not 0 <= self.locality_tolerance < 1:
            problems.append(("locality_tolerance", f"is {self.locality_tolerance}, must be from 0 to below 1"))
        slots = np.asarray(self.slots_per_gpu)
        if slots.ndim > 1 or (slots.ndim == 1 and slots.shape != (self.gpus,)):
            problems.append(("slots_per_gpu", f"has shape {list(slots.shape)}, expected one number or [{self.gpus}]"))
        elif (slots < 0).any() or (slots.ndim == 0 and slots < 1):
            problems.append(("slots_per_gpu", "must be at least 1, or 0 for a GPU that is left out"))
        if self.speed is not None:
            speed = np.asarray(self.speed)
            if speed.shape != (self.gpus,) or not (np.isfinite(speed).all() and (speed > 0).all()):
                problems.append(("speed", f"must be {self.gpus} positive numbers"))
        if self.dispatch not in ("even", "nearest"):
            problems.append(("dispatch", f"is {self.dispatch!r}, must be even or nearest"))
        return problems

    def _risk_problems(self) -> list[tuple[str, str]]:
        problems = []
        weights = np.ones(len(self.load)) if self.scenario_weights is None else np.asarray(self.scenario_weights, float)
        if weights.shape != (len(self.load),) or not (np.isfinite(weights).all() and (weights > 0).all()):
            problems.append(("scenario_weights", f"must be {len(self.load)} positive numbers, one a scenario"))
        if not 0.0 < self.cvar_share <= 1.0:
            problems.append(("cvar_share", f"is {self.cvar_share}, must be above 0 and at most 1"))
        if not 0.0 <= self.cvar_weight <= 1.0:
            problems.append(("cvar_weight", f"is {self.cvar_weight}, must be from 0 to 1"))
        if self.workers is not None and self.workers < 1:
            problems.append(("workers", f"is {self.workers}, must be at least 1"))
        return problems

    @property
    def scenarios(self) -> int:
        """Number of load scenarios."""
        return int(self.load.shape[0])

    @property
    def scenario_probability(self) -> FloatArray:
        """Probability of each scenario, shape [scenario], sum 1."""
        weights = np.ones(self.scenarios) if self.scenario_weights is None else np.asarray(self.scenario_weights, float)
        return np.asarray(weights / weights.sum())

    @property
    def layers(self) -> int:
        """Number of layers, dense ones included."""
        return int(self.load.shape[1])

    @property
    def experts(self) -> int:
        """Logical experts a layer."""
        return int(self.load.shape[2])

    @property
    def slots(self) -> IntArray:
        """Expert slots of each GPU, shape [gpu]."""
        return np.broadcast_to(np.asarray(self.slots_per_gpu, dtype=np.int64), (self.gpus,))

    @property
    def slot_width(self) -> int:
        """Columns a GPU has in the map: the largest slot count."""
        return int(self.slots.max())

    @property
    def equal_slots(self) -> int | None:
        """Slots per GPU where all GPUs have the same number, else ``None``."""
        return self.slot_width if int(self.slots.min()) == self.slot_width else None

    @property
    def dense_layers(self) -> npt.NDArray[np.bool_]:
        """Which layers carry no expert load in any scenario, shape [layer]."""
        return np.asarray(~(np.asarray(self.load) > 0).any(axis=(0, 2)))

    @property
    def relative_speed(self) -> FloatArray:
        """Speed of each GPU, 0 where it has no slot, shape [gpu]."""
        speed = np.ones(self.gpus) if self.speed is None else np.asarray(self.speed, dtype=float)
        return np.where(self.slots > 0, speed, 0.0)

    @property
    def unit_mean_load(self) -> FloatArray:
        """Load over the mean load of a GPU of speed 1 in its scenario and layer, shape [scenario, layer, expert]."""
        load = np.asarray(self.load, dtype=float)
        mean = load.sum(axis=2, keepdims=True) / self.relative_speed.sum()
        return np.asarray(load / np.where(mean > 0, mean, 1.0))

    @property
    def equal_speed(self) -> bool:
        """Whether all GPUs in use are equally fast."""
        return self.speed is None or bool(np.ptp(np.asarray(self.speed)[self.slots > 0]) == 0)

    @property
    def node_of_gpu(self) -> IntArray:
        """Node of each GPU, shape [gpu]."""
        return np.arange(self.gpus) // (self.gpus_per_node or self.gpus)

    @property
    def nodes(self) -> int:
        """Number of nodes, the last one possibly partly filled."""
        return int(self.node_of_gpu[-1]) + 1

    @property
    def rack_of_node(self) -> IntArray:
        """Rack of each node, shape [node]; without ``nodes_per_rack`` every node is a rack of its own."""
        return np.arange(self.nodes) // (self.nodes_per_rack or 1)

    @property
    def source_share(self) -> FloatArray:
        """Share of the tokens that start in each node (uniform over the GPUs in use), shape [node]."""
        share = np.bincount(self.node_of_gpu, weights=(self.slots > 0).astype(float), minlength=self.nodes)
        return np.asarray(share / share.sum())
