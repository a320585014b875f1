"""Price of going from a running map to a new one, and whether it pays before the next plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.moves import Move, list_moves
from planner.strategies.rounds import colour_edges

if TYPE_CHECKING:
    from planner.strategies.problem import IntArray, PlacementRequest


@dataclass(frozen=True, eq=False)
class Links:
    """How an expert's weights travel.

    Attributes
    ----------
    expert_bytes
        Weights of one expert of one layer [B].
    scale_up_bytes_per_s, scale_up_latency_s
        Between GPUs of a scale-up domain, one way, per GPU.
    scale_out_bytes_per_s, scale_out_latency_s
        Between domains, and from storage where no GPU holds the expert.
    domain_gpus
        GPUs of a scale-up domain, numbered one after another.
    """

    expert_bytes: float
    scale_up_bytes_per_s: float
    scale_up_latency_s: float
    scale_out_bytes_per_s: float
    scale_out_latency_s: float
    domain_gpus: int

    def seconds(self, move: Move) -> float:
        """Time of one move by itself [s]."""
        if move.source is not None and move.source // self.domain_gpus == move.target // self.domain_gpus:
            return self.scale_up_latency_s + self.expert_bytes / self.scale_up_bytes_per_s
        return self.scale_out_latency_s + self.expert_bytes / self.scale_out_bytes_per_s


@dataclass(frozen=True, eq=False)
class Migration:
    """Moves in rounds, layer after layer.

    A layer's rounds read the old weights; arriving experts wait aside and take their slots once the layer's last round
    is over, so that no copy is overwritten before it was sent.
    """

    rounds: dict[int, list[list[Move]]]
    """By layer; layers without a move are left out."""
    links: Links | None

    @property
    def moves(self) -> list[Move]:
        """All moves in order."""
        return [move for rounds in self.rounds.values() for entry in rounds for move in entry]

    @property
    def from_storage(self) -> int:
        """Moves of experts that no GPU in service holds."""
        return sum(move.source is None for move in self.moves)

    @property
    def aside(self) -> int:
        """Most experts that a GPU receives in a layer: the room it needs beside its slots."""
        most = 0
        for rounds in self.rounds.values():
            targets = [move.target for entry in rounds for move in entry]
            most = max(most, max(targets.count(target) for target in set(targets)))
        return most

    def layer_seconds(self, layer: int) -> float:
        """Time of a layer's rounds [s]; a round takes as long as its slowest move. 0 without links."""
        return 0.0 if self.links is None else round_seconds(self.rounds.get(layer, []), self.links)

    @property
    def seconds(self) -> float | None:
        """Time of the whole migration [s]; ``None`` without links."""
        return None if self.links is None else sum(self.layer_seconds(layer) for layer in self.rounds)


def plan_migration(
    request: PlacementRequest, running: IntArray, planned: IntArray, links: Links | None = None
) -> Migration:
    """List the moves of every layer and put them in rounds.

    Parameters
    ----------
    running, planned
        Maps, shape [layer, slots_total], rank-major; the slots a GPU has may differ. Dense layers are left out.
    links
        Prices; without them all GPUs count as near where the request knows no nodes.
    """
    gpus = request.gpus
    near = np.arange(gpus) // links.domain_gpus if links is not None else request.node_of_gpu
    alive = np.asarray(request.slots > 0)
    rounds: dict[int, list[list[Move]]] = {}
    for layer in np.flatnonzero(~request.dense_layers).tolist():
        old, new = running[layer].reshape(gpus, -1), planned[layer].reshape(gpus, -1)
        moves = list_moves(old, new, alive, near, layer)
        if moves:
            rounds[layer] = in_rounds(moves)
    return Migration(rounds, links)


def round_seconds(rounds: list[list[Move]], links: Links) -> float:
    """Time of rounds one after another [s]."""
    return float(sum(max(map(links.seconds, entry)) for entry in rounds))


def in_rounds(moves: list[Move]) -> list[list[Move]]:
    """Colour the moves of one layer; each one from storage has a sender of its own."""
    edges = [(-1 - number if move.source is None else move.source, move.target) for number, move in enumerate(moves)]
    colour = colour_edges(edges)
    return [
        [move for move, own in zip(moves, colour, strict=True) if own == number] for number in range(max(colour) + 1)
    ]


@dataclass(frozen=True)
class Verdict:
    """Whether a migration pays before the next plan.

    Attributes
    ----------
    before, after
        Time of the MoE layers under the running and the new map, in any one unit.
    migration_s
        Time of the migration [s].
    remaining_s
        Time of MoE-bound work until the next plan [s], under the running map.
    """

    before: float
    after: float
    migration_s: float
    remaining_s: float

    @property
    def gain_fraction(self) -> float:
        """Part of the balance-limited time that is saved: 1 - after / before (case BR08)."""
        return 1.0 - self.after / self.before

    @property
    def gain_s(self) -> float:
        """Time saved until the next plan [s]."""
        return self.remaining_s * self.gain_fraction

    @property
    def break_even_s(self) -> float | None:
        """Least time until the next plan for which the migration pays [s]; ``None`` if it never does."""
        return self.migration_s / self.gain_fraction if self.gain_fraction > 0 else None

    @property
    def pays(self) -> bool:
        """Whether more time is saved than spent."""
        return self.gain_s > self.migration_s
