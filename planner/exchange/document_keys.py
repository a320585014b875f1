"""Names under which engines and tools keep loads and maps, whatever their spelling."""

from __future__ import annotations

import re
from typing import Any

LOAD_KEYS = (
    *("logical_count", "logical_counts", "expert_popularity", "logical_expert_load", "logical_load"),
    *("expert_load", "expert_loads", "expert_count", "expert_counts", "tokens_per_expert", "expert_token_counts"),
    *("load", "loads", "counts", "count", "weight"),
)
"""Loads of logical experts; tried in this order."""

PHYSICAL_KEYS = ("global_physical_count", "physical_count", "physical_counts", "physical_expert_load")
"""Loads of slots, which need a map beside them."""

MAP_KEYS = (
    *("physical_to_logical_map", "last_physical_to_logical_map", "physical_to_logical", "phy2log", "phy_to_log"),
    *("physical_to_logical_expert_map", "physical2logical", "p2l"),
)
"""The expert of every slot; tried in this order."""

ENGINE_MAP_KEYS = ("layer_list", "initial_global_assignments", "model_maps", "expert_to_ep_rank", "expert_maps")
"""Keys of maps in the forms of vLLM-Ascend, TensorRT-LLM, HYGON, vLLM without copies, and of our own plan."""

DEEPEST_NESTING = 4
"""Objects in objects that are searched for a load or a map."""

_LAYER = re.compile(r"(?:.*layers?[ _.\[]?)?(\d+)\D*", re.IGNORECASE)


def normal(key: object) -> str:
    """Spell a key in lower case with underscores: ``logicalCount`` and ``Logical-Count`` are ``logical_count``."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key))
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")


def find(document: dict[Any, Any], keys: tuple[str, ...]) -> Any | None:  # noqa: ANN401 - the key as spelled
    """Return the document's own spelling of the first of ``keys`` it has, else None."""
    spelled = {normal(key): key for key in reversed(list(document))}
    return next((spelled[key] for key in keys if key in spelled), None)


def nested(document: dict[Any, Any], keys: tuple[str, ...], depth: int = 0) -> list[tuple[str, dict[Any, Any]]]:
    """Objects inside a document that have one of ``keys``, with the keys that lead there; those furthest out."""
    found = []
    for key, value in document.items():
        if not isinstance(value, dict) or depth == DEEPEST_NESTING:
            continue
        if find(value, keys) is not None:
            found.append((str(key), value))
        else:
            found += [(f"{key}.{place}", inner) for place, inner in nested(value, keys, depth + 1)]
    return found


def layer_number(key: object) -> int | None:
    """Return the layer that a key such as ``3``, ``layer_3`` or ``model.layers.3.mlp`` names; None for other keys."""
    match = _LAYER.fullmatch(str(key))
    return int(match[1]) if match and int(match[1]) <= 10_000 else None


def by_layer(document: dict[Any, Any]) -> dict[int, Any] | None:
    """Values by layer where every key names another layer, else None."""
    numbers = [layer_number(key) for key in document]
    if not numbers or None in numbers or len(set(numbers)) != len(numbers):
        return None
    return {number: value for number, value in zip(numbers, document.values(), strict=True) if number is not None}
