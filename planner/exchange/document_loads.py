"""Loads in JSON-like documents: dictionaries and lists from JSON, ``.pt`` or ``.npz`` files."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange.arrays import to_array
from planner.exchange.csv_loads import AMOUNTS, EXPERTS, LAYERS, long_form
from planner.exchange.document_keys import (
    ENGINE_MAP_KEYS,
    LOAD_KEYS,
    MAP_KEYS,
    PHYSICAL_KEYS,
    by_layer,
    find,
    nested,
    normal,
)
from planner.exchange.load_checks import MOST_EXPERTS, RawLoad, ranges
from planner.exchange.sglang_records import logical_counts, read_records, slot_map

HISTORY_KEYS = ("load_history", "history", "steps")
A_MAP = "is a placement map, not a load"
MAP_REMEDY = "give token counts; `planner import map` reads it"


def load_of_document(document: Any, file: str) -> RawLoad:  # noqa: ANN401 - whatever a file holds
    """Find the load in a document.

    Raises
    ------
    InstanceError
        If there is none; what there is instead is named.
    """
    if isinstance(document, dict):
        return _of_dictionary(document, file)
    if isinstance(document, list) and document and all(isinstance(entry, dict) for entry in document):
        return _of_rows(document, file)
    kind = "an array" if isinstance(document, np.ndarray) else "a bare list"
    return RawLoad(to_array(document, file, "top level"), "top level", kind)


def _of_dictionary(document: dict[Any, Any], file: str) -> RawLoad:
    if "records" in document and isinstance(document["records"], list):
        return read_records(document, file)
    key = find(document, LOAD_KEYS)
    if key is not None:
        return _under(document, key, file)
    slots, placed = find(document, PHYSICAL_KEYS), find(document, MAP_KEYS)
    if slots is not None and placed is not None:
        counts = to_array(document[slots], file, str(slots))
        rows = slot_map(document, file)
        return RawLoad(logical_counts(counts, rows, file, str(slots)), str(slots), "counts of slots with their map")
    if placed is not None or find(document, ENGINE_MAP_KEYS) is not None:
        found = placed if placed is not None else find(document, ENGINE_MAP_KEYS)
        raise InstanceError.single(file, str(found), A_MAP, MAP_REMEDY)
    history = find(document, HISTORY_KEYS)
    if history is not None and isinstance(document[history], list):
        return _of_rows(document[history], file)
    layers = by_layer(document)
    inner = nested(document, (*LOAD_KEYS, *PHYSICAL_KEYS, "records"))
    if inner:
        return _of_inner(inner, file)
    if layers is not None:
        return _of_layers(layers, file, "top level")
    raise _no_load(document, file)


def _of_inner(inner: list[tuple[str, dict[Any, Any]]], file: str) -> RawLoad:
    """Read the load of an object inside the document: the first, the main model, where there are several."""
    place, document = inner[0]
    raw = _of_dictionary(document, file)
    if len(inner) > 1:
        raw.warnings.append(f"holds several loads: {place} is read, not {', '.join(other for other, _ in inner[1:])}")
    return raw


def _under(document: dict[Any, Any], key: str, file: str) -> RawLoad:
    value = document[key]
    kind = "SGLang logical counts" if normal(key) == "logical_count" else f"JSON {key}"
    if isinstance(value, dict):
        layers = by_layer(value)
        if layers is None:
            raise InstanceError.single(file, key, "is an object whose keys are not layers", "give lists of counts")
        return _of_layers(layers, file, key)
    return RawLoad(to_array(value, file, key), key, kind)


def _of_layers(layers: dict[int, Any], file: str, key: str) -> RawLoad:
    """Table with the row of each layer at its number; layers that are not there are zero, that is dense."""
    if max(layers) > MOST_EXPERTS:
        raise InstanceError.single(file, key, f"names layer {max(layers)}", "give the layers of one model")
    table = to_array([layers[number] for number in sorted(layers)], file, key)
    if table.ndim != 2:
        return RawLoad(table, key, "counts by layer")
    rows = np.zeros((max(layers) + 1, table.shape[1]))
    rows[sorted(layers)] = table
    absent = np.setdiff1d(np.arange(len(rows)), list(layers))
    warnings = [f"layers {ranges(absent)} are not in the file: taken as dense"] if len(absent) else []
    return RawLoad(rows, key, "counts by layer", warnings)


def _of_rows(rows: list[Any], file: str) -> RawLoad:
    """Read a list of objects: rows of layer, expert and count; one layer each; or one step each."""
    if not all(isinstance(row, dict) and row for row in rows) or not rows:
        raise InstanceError.single(file, "", "is a list that mixes objects and other things", "give one form of rows")
    names = {normal(key): key for key in rows[0]}
    layer, expert, amount = (
        next((names[name] for name in group if name in names), None) for group in (LAYERS, EXPERTS, AMOUNTS)
    )
    if layer is not None and expert is not None and amount is not None and not isinstance(rows[0][amount], list):
        cells = [
            ["layer", "expert", "count"],
            *([str(row.get(key)) for key in (layer, expert, amount)] for row in rows),
        ]
        return RawLoad(long_form(cells, cells[0], file), "count", "rows of layer, expert, count")
    if "global_physical_count" in names or "topk_ids_of_layer" in names:
        return read_records({"records": rows}, file)
    key = find(rows[0], LOAD_KEYS)
    if key is None or any(key not in row for row in rows):
        raise _no_load(rows[0], file)
    if layer is not None and all(str(row.get(layer)).isdecimal() for row in rows):
        return _of_layers({int(row[layer]): row[key] for row in rows}, file, str(key))
    table = np.stack([to_array(row[key], file, str(key)) for row in _same_shape(rows, key, file)])
    return RawLoad(table, str(key), "one table a step")


def _same_shape(rows: list[Any], key: Any, file: str) -> list[Any]:  # noqa: ANN401 - a key as spelled
    shapes = {to_array(row[key], file, str(key)).shape for row in rows}
    if len(shapes) > 1:
        raise InstanceError.single(file, str(key), f"steps have shapes {sorted(map(list, shapes))}", "give equal steps")
    return rows


def _no_load(document: dict[Any, Any], file: str) -> InstanceError:
    """Say what the document holds instead of a load."""
    found = ", ".join(map(str, list(document)[:6])) or "nothing"
    prefix = document.get("load_prefix")
    if isinstance(prefix, list):
        experts = document.get("num_logical_experts", "all")
        message = f"is an excerpt: the first {len(prefix)} of {experts} counts of one layer"
        return InstanceError.single(file, "load_prefix", message, "give the counts of all experts")
    message = f"missing; the file has {found}"
    return InstanceError.single(file, "logical_count", message, "add the key")
