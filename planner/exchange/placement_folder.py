"""What a placement's folder holds beside its map: the ranks and the dense layers, which a map file cannot say.

SGLang takes a map file only if it holds the map and nothing else, so this stands in ``placement.json``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.exchange.content import decode, parse_json, read_bytes
from planner.exchange.maps import write_map
from planner.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

MAP_NAME = "physical_to_logical_map.json"
FACTS_NAME = "placement.json"


def write_placement(folder: Path, request: PlacementRequest, result: PlacementResult) -> Path:
    """Write the map and the facts about it; return the path of the map."""
    facts = {
        "gpus": request.gpus,
        "experts": request.experts,
        "dense_layers": np.flatnonzero(request.dense_layers).tolist(),
        "strategy": result.strategy,
        "seed": request.seed,
        "dispatch": request.dispatch,
    }
    write_text(folder / FACTS_NAME, json.dumps(facts, indent=1) + "\n")
    write_map(folder / MAP_NAME, result.physical_to_logical_map)
    return folder / MAP_NAME


class PlacementFacts(NamedTuple):
    """What a placement's folder says, each ``None`` where it does not."""

    gpus: int | None = None
    dense: tuple[int, ...] | None = None
    dispatch: str | None = None


def placement_facts(folder: Path) -> PlacementFacts:
    """Ranks, dense layers and dispatch rule of a placement's folder.

    Raises
    ------
    InstanceError
        If the file of facts is damaged.
    """
    path = folder / FACTS_NAME
    if not path.is_file():
        return PlacementFacts()
    facts = parse_json(decode(read_bytes(path), str(path)), str(path))
    facts = facts if isinstance(facts, dict) else {}
    gpus, dense, dispatch = facts.get("gpus"), facts.get("dense_layers"), facts.get("dispatch")
    whole = isinstance(dense, list) and all(isinstance(layer, int) and layer >= 0 for layer in dense)
    return PlacementFacts(
        gpus if isinstance(gpus, int) and gpus > 0 else None,
        tuple(dense) if whole and dense is not None else None,
        dispatch if isinstance(dispatch, str) else None,
    )
