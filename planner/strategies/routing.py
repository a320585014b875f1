"""Recorded tokens with the experts each of them chose, and where a map sends them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from planner.errors import InstanceError

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

Level = Literal["gpu", "node", "rack"]


@dataclass(frozen=True, eq=False)
class TokenRouting:
    """Experts of recorded tokens.

    Attributes
    ----------
    layers
        For each layer of the load table shape [token, top_k], distinct ids in a row; ``None`` for a dense layer.
    """

    layers: tuple[IntArray | None, ...]

    @classmethod
    def of_layers(cls, recorded: list[IntArray], dense: list[bool]) -> TokenRouting:
        """Match recorded layers to the layers of a load table: all of them, or its MoE layers in order.

        Raises
        ------
        InstanceError
            If their number fits neither.
        """
        moe = dense.count(False)
        if len(recorded) == len(dense):
            return cls(tuple(None if empty else rows for rows, empty in zip(recorded, dense, strict=True)))
        if len(recorded) != moe:
            message = f"has {len(recorded)} layers, the loads have {moe} MoE layers"
            raise InstanceError.single("routing", "layers", message, "give one routing layer for each MoE layer")
        left = iter(recorded)
        return cls(tuple(None if empty else next(left) for empty in dense))

    @classmethod
    def drawn(cls, load: FloatArray, top_k: int, tokens: int, seed: int) -> TokenRouting:
        """Draw tokens whose distinct experts follow the loads and nothing else; ``load`` [layer, expert].

        Successive draws without replacement, by the largest of log load plus Gumbel noise: the loads of hot experts
        come out a little below those asked, because a token takes an expert once.
        """
        random = np.random.default_rng(seed)
        layers: list[IntArray | None] = []
        for row in np.asarray(load, dtype=float):
            if not row.any():
                layers.append(None)
                continue
            score = np.full(len(row), -np.inf)
            score[row > 0] = np.log(row[row > 0])
            noisy = score + random.gumbel(size=(tokens, len(row)))
            noisy[:, row <= 0] = -1e300 + random.random((tokens, int((row <= 0).sum())))
            layers.append(np.argpartition(-noisy, top_k - 1, axis=1)[:, :top_k].astype(np.int64))
        return cls(tuple(layers))

    @property
    def top_k(self) -> int:
        """Experts a token chooses; the most over layers."""
        return max(int(rows.shape[1]) for rows in self.layers if rows is not None)

    @property
    def tokens(self) -> int:
        """Most recorded tokens of a layer."""
        return max(len(rows) for rows in self.layers if rows is not None)

    def select(self, chosen: slice | IntArray) -> TokenRouting:
        """Keep some of the tokens of every layer."""
        return TokenRouting(tuple(None if rows is None else rows[chosen] for rows in self.layers))

    def load(self, experts: int) -> FloatArray:
        """Tokens of every expert, shape [1, layer, expert]."""
        empty = np.zeros(experts)
        counts = [
            empty if rows is None else np.bincount(rows.ravel(), minlength=experts).astype(float)
            for rows in self.layers
        ]
        return np.stack(counts)[None]


@dataclass(frozen=True, eq=False)
class UnitTable:
    """GPUs, nodes and racks on one axis, and where tokens start.

    Attributes
    ----------
    levels
        Names of the levels, the GPU first.
    unit_of_gpu
        Unit of a GPU at each level, shape [level, gpu].
    level_of_unit
        Shape [unit].
    source
        Share of the tokens that start in each class, shape [class]: one class under even dispatch, else one a node.
    remote
        Share of a class that starts outside a unit, shape [class, unit].
    gpus_in_unit
        GPUs in use, shape [unit].
    """

    levels: tuple[Level, ...]
    unit_of_gpu: IntArray
    level_of_unit: IntArray
    source: FloatArray
    remote: FloatArray
    gpus_in_unit: IntArray


def unit_table(request: PlacementRequest) -> UnitTable:
    """Build the unit table of a request; tokens start evenly on the GPUs in use."""
    levels: list[Level] = ["gpu"]
    places = [np.arange(request.gpus)]
    if request.gpus_per_node is not None:
        levels.append("node")
        places.append(request.node_of_gpu)
        if request.nodes_per_rack is not None:
            levels.append("rack")
            places.append(request.rack_of_node[request.node_of_gpu])
    sizes = [int(place.max()) + 1 for place in places]
    first = np.concatenate([[0], np.cumsum(sizes)])
    unit_of_gpu = np.stack([place + first[level] for level, place in enumerate(places)]).astype(np.int64)
    used = request.slots > 0
    gpus_in_unit = np.zeros(int(first[-1]), dtype=np.int64)
    for row in unit_of_gpu:
        gpus_in_unit += np.bincount(row[used], minlength=len(gpus_in_unit))
    classes = request.node_of_gpu if request.dispatch == "nearest" else np.zeros(request.gpus, dtype=np.int64)
    inside = np.zeros((int(classes.max()) + 1, len(gpus_in_unit)))
    for row in unit_of_gpu:
        np.add.at(inside, (classes[used], row[used]), 1.0)
    per_class = np.bincount(classes[used], minlength=len(inside)).astype(float)
    remote = 1.0 - inside / np.maximum(per_class, 1.0)[:, None]
    level_of_unit = np.repeat(np.arange(len(sizes)), sizes)
    return UnitTable(tuple(levels), unit_of_gpu, level_of_unit, per_class / per_class.sum(), remote, gpus_in_unit)


def serving_chance(request: PlacementRequest, row: IntArray, units: UnitTable) -> FloatArray:
    """Chance that a token of each class finds an expert in each unit, shape [class, expert, unit].

    Even: one of the n copies at random. Nearest: one of those in the own node, else in the own rack, else of all.
    """
    gpu = np.repeat(np.arange(request.gpus), request.slot_width)
    held = row >= 0
    copies = np.zeros((request.experts, request.gpus))
    np.add.at(copies, (row[held], gpu[held]), 1.0)
    share = np.empty((len(units.source), request.experts, request.gpus))
    rack_of_gpu = request.rack_of_node[request.node_of_gpu]
    for source in range(len(units.source)):
        eligible = copies
        if request.dispatch == "nearest":
            near = copies * (rack_of_gpu == request.rack_of_node[source])
            own = copies * (request.node_of_gpu == source)
            eligible = np.where(near.any(axis=1, keepdims=True), near, copies)
            eligible = np.where(own.any(axis=1, keepdims=True), own, eligible)
        share[source] = eligible / np.maximum(eligible.sum(axis=1, keepdims=True), 1.0)
    chance = np.zeros((*share.shape[:2], len(units.level_of_unit)))
    for units_of_level in units.unit_of_gpu:
        np.add.at(np.moveaxis(chance, 2, 0), units_of_level, np.moveaxis(share, 2, 0))
    return np.minimum(chance, 1.0)
