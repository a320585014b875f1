"""Write the moves of a migration: layer by layer, round by round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from planner.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from planner.strategies.migration import Migration
    from planner.strategies.moves import Move

MOVES_NAME = "moves.json"
ORDER = (
    "In a round a GPU sends at most one expert and receives at most one. A layer's rounds read the weights of the "
    "running map: arriving experts wait aside and take their slots after the layer's last round. "
    "from null: load from storage."
)


def write_moves(folder: Path, migration: Migration) -> Path:
    """Write ``moves.json``; only layers that change are listed.

    Each layer has ``rounds``, a list of lists of moves ``{"expert", "from", "to", "slot"}``: GPU that sends, GPU that
    receives, slot on it.
    """
    layers = [
        {"layer": layer, "rounds": [[_row(move) for move in entry] for entry in rounds]}
        for layer, rounds in sorted(migration.rounds.items())
    ]
    document = {"order": ORDER, "expert_bytes": None if migration.links is None else migration.links.expert_bytes}
    write_text(folder / MOVES_NAME, json.dumps(document | {"layers": layers}) + "\n")
    return folder / MOVES_NAME


def _row(move: Move) -> dict[str, Any]:
    return {"expert": move.expert, "from": move.source, "to": move.target, "slot": move.slot}
