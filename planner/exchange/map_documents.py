"""Placement maps in JSON-like documents, in the forms that engines and tools write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.arrays import to_array, whole_numbers
from planner.exchange.document_keys import LOAD_KEYS, MAP_KEYS, by_layer, find, nested
from planner.exchange.expert_map import ExpertMap, pad_ranks

if TYPE_CHECKING:
    from collections.abc import Callable

INVERSE_KEYS = ("logical_to_physical_map", "log2phy", "logical_to_physical")


def map_of_document(document: Any, file: str, model: str | None, gpus: int | None) -> ExpertMap:  # noqa: ANN401
    """Find the map in a document; ``model`` and ``gpus`` choose where it has several.

    Raises
    ------
    InstanceError
        If there is none, or it is damaged.
    """
    if not isinstance(document, dict):
        if isinstance(document, list) and document and all(isinstance(entry, dict) for entry in document):
            return _ascend({"layer_list": document}, file)
        return _rows(document, file, "top level", "a bare list")
    forms: dict[str, Callable[[], ExpertMap]] = {
        "model_maps": lambda: _by_model(document["model_maps"], file, model, gpus),
        "layer_list": lambda: _ascend(document, file),
        "initial_global_assignments": lambda: _tensorrt(document, file),
        "expert_to_ep_rank": lambda: _ranks_of_experts(document["expert_to_ep_rank"], file),
        "expert_maps": lambda: _plan(document["expert_maps"], file, gpus),
    }
    for form, read in forms.items():
        if form in document:
            return read()
    key, inverse = find(document, MAP_KEYS), find(document, INVERSE_KEYS)
    if key is not None:
        return _rows(document[key], file, str(key), "physical-to-logical map")
    if inverse is not None:
        return _inverted(document[inverse], file, str(inverse))
    layers, inside = by_layer(document), nested(document, (*forms, *MAP_KEYS))
    if inside:
        return map_of_document(inside[0][1], file, model, gpus)
    if layers is not None:
        return _absolute(layers, file, "top level", "rows by layer")
    raise _no_map(document, file)


def _rows(value: Any, file: str, key: str, kind: str) -> ExpertMap:  # noqa: ANN401 - whatever the key holds
    """Read one row for all layers, a row a layer, or a list of ranks a layer."""
    if isinstance(value, dict):
        layers = by_layer(value)
        if layers is None:
            raise InstanceError.single(file, key, "is an object whose keys are not layers", "give a list of rows")
        return _absolute(layers, file, key, kind)
    table = whole_numbers(to_array(value, file, key), file, key)
    if table.size == 0 or table.ndim > 3:
        raise InstanceError.single(file, key, f"has shape {list(table.shape)}", "give one row of experts a layer")
    _refuse_ids(table, file, key)
    if table.ndim == 1:
        note = "one row for all layers"
        return ExpertMap(table[None], f"{kind}, {note}", shared=True)
    if table.ndim == 3:
        return ExpertMap(table.reshape(len(table), -1), f"{kind} by rank", gpus=table.shape[1])
    return ExpertMap(table, kind)


def _refuse_ids(table: Any, file: str, key: str) -> None:  # noqa: ANN401 - an array of integers
    if table.size == 0:
        raise InstanceError.single(file, key, "holds no slot", "give one row of experts a layer")
    if table.min() < -1 or table.max() < 0 or table.max() > 10_000:
        message = f"has ids from {table.min()} to {table.max()}"
        raise InstanceError.single(file, key, message, "give expert ids from 0, or -1 for an empty slot")


def _absolute(layers: dict[int, Any], file: str, key: str, kind: str) -> ExpertMap:
    numbers = sorted(layers)
    found = _rows([layers[number] for number in numbers], file, key, kind)
    return ExpertMap(found.rows, kind, gpus=found.gpus, layers=tuple(numbers))


def _tensorrt(document: dict[str, Any], file: str) -> ExpertMap:
    """Read ``initial_global_assignments`` by decoder layer, and check ``num_slots``."""
    layers = document["initial_global_assignments"]
    numbered = by_layer(layers) if isinstance(layers, dict) else None
    if numbered is None:
        raise InstanceError.single(file, "initial_global_assignments", "is not keyed by layer", "give layer: [ids]")
    found = _absolute(numbered, file, "initial_global_assignments", "TensorRT-LLM load balancer")
    slots = document.get("num_slots", found.rows.shape[1])
    if slots != found.rows.shape[1]:
        message = f"is {slots}, the rows have {found.rows.shape[1]} slots"
        raise InstanceError.single(file, "num_slots", message, "make them equal")
    return found


def _ascend(document: dict[str, Any], file: str) -> ExpertMap:
    """Read vLLM-Ascend's layer_list / device_list / device_expert; devices may hold unequal numbers of experts."""
    problems: list[Problem] = []
    blocks: dict[int, list[list[int]]] = {}
    for index, layer in enumerate(_list(document["layer_list"])):
        place = f"layer_list[{index}]"
        try:
            devices = {int(device["device_id"]): device["device_expert"] for device in layer["device_list"]}
            number = int(layer.get("layer_id", index))
            ids = [[np.int32(expert).item() for expert in devices[rank]] for rank in range(len(devices))]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problems.append(Problem(file, place, f"is damaged: {error!r}", "give devices 0, 1, ... with device_expert"))
            continue
        if number in blocks or (blocks and len(next(iter(blocks.values()))) != len(ids)) or not ids:
            problems.append(Problem(file, place, "repeats a layer or has another number of devices", "give one map"))
        blocks[number] = ids
    if problems or not blocks:
        raise InstanceError(problems or [Problem(file, "layer_list", "is empty", "give one entry a MoE layer")])
    counts = {len(held) for layer in blocks.values() for held in layer}
    rows, width = pad_ranks([blocks[number] for number in sorted(blocks)])
    _refuse_ids(rows, file, "layer_list")
    warnings: tuple[str, ...] = ()
    if len(counts) > 1:
        warnings = (f"devices hold {min(counts)} to {width} experts in a layer: empty slots are -1",)
    return ExpertMap(rows, "vLLM-Ascend expert map", gpus=len(next(iter(blocks.values()))), warnings=warnings)


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - whatever the key holds
    return value if isinstance(value, list) else []


def _by_model(maps: Any, file: str, model: str | None, gpus: int | None) -> ExpertMap:  # noqa: ANN401
    """Choose among maps by model class: the named one, else the first, which is the main model."""
    if not isinstance(maps, dict) or not maps:
        raise InstanceError.single(file, "model_maps", "is not an object of maps", "give one map a model class")
    name = next(iter(maps)) if model is None else model
    if name not in maps:
        raise InstanceError.single(file, "model_maps", f"has no {name}", f"one of {', '.join(map(str, maps))}")
    entry = maps[name] if isinstance(maps[name], dict) else {MAP_KEYS[0]: maps[name]}
    found = map_of_document(entry, file, None, gpus)
    others = [str(other) for other in maps if other != name]
    note = (f"holds maps of several models: {name} is read, not {', '.join(others)}",) if others and not model else ()
    return ExpertMap(
        found.rows, "maps by model", found.gpus, found.layers, found.shared, warnings=(*found.warnings, *note)
    )


def _ranks_of_experts(value: Any, file: str) -> ExpertMap:  # noqa: ANN401 - whatever the key holds
    """Read the rank of every expert, for all layers or a row a layer: a map without copies."""
    key = "expert_to_ep_rank"
    if isinstance(value, dict):
        experts = by_layer(value)
        if experts is None or sorted(experts) != list(range(len(experts))):
            raise InstanceError.single(file, key, "does not name every expert once", "give one rank an expert")
        value = [experts[expert] for expert in sorted(experts)]
    table = whole_numbers(to_array(value, file, key), file, key, "ranks")
    if table.ndim not in (1, 2) or table.size == 0 or table.min() < 0 or table.max() > 100_000:
        raise InstanceError.single(file, key, "is not a list of ranks", "give one rank from 0 an expert")
    ranks = int(table.max()) + 1
    rows, _ = pad_ranks(
        [[np.flatnonzero(row == rank).tolist() for rank in range(ranks)] for row in np.atleast_2d(table)]
    )
    return ExpertMap(rows, "ranks of experts, without copies", gpus=ranks, shared=table.ndim == 1)


def _plan(maps: Any, file: str, gpus: int | None) -> ExpertMap:  # noqa: ANN401 - whatever the key holds
    """Choose among the maps of a plan by the number of ranks, which their names say: ranks x slots."""
    if not isinstance(maps, dict) or not maps:
        raise InstanceError.single(file, "expert_maps", "holds no map", "solve a case with experts")
    known = [name for name in maps if re.fullmatch(r"\d{1,6}x\d{1,6}", str(name))]
    names = [name for name in known if gpus is None or str(name).startswith(f"{gpus}x")]
    if len(names) != 1:
        message = f"holds the maps {', '.join(map(str, maps))}; {'none' if not names else 'several'} fit"
        raise InstanceError.single(file, "expert_maps", message, "name the number of GPUs of one of them")
    ranks = int(str(names[0]).partition("x")[0])
    found = _rows(maps[names[0]], file, f"expert_maps.{names[0]}", "map of a plan")
    return ExpertMap(found.rows, "map of a plan, MoE layers", gpus=ranks)


def _inverted(value: Any, file: str, key: str) -> ExpertMap:  # noqa: ANN401 - whatever the key holds
    """Turn the slots of every expert [layer, expert, copy], padded with -1, into a map."""
    table = whole_numbers(to_array(value, file, key), file, key, "slots")
    if table.ndim != 3 or table.size == 0 or table.max() < 0 or table.max() > 10**6:
        raise InstanceError.single(file, key, f"has shape {list(table.shape)}", "expected [layer, expert, copy]")
    rows = np.full((len(table), int(table.max()) + 1), -1, dtype=np.int64)
    layer, expert, copy = np.nonzero(table >= 0)
    rows[layer, table[layer, expert, copy]] = expert
    return ExpertMap(rows, "logical-to-physical map")


def _no_map(document: dict[str, Any], file: str) -> InstanceError:
    """Say what the document holds instead of a map."""
    problems = []
    for key, value in document.items():
        rank = str(key).removeprefix("rank").removesuffix("_slots")
        if str(key).startswith("rank") and rank.isdecimal() and isinstance(value, list):
            problems.append(Problem(file, key, f"is an excerpt: the slots of rank {rank} alone", "give all ranks"))
            doubled = sorted({entry for entry in value if isinstance(entry, int) and value.count(entry) > 1})
            problems.extend(
                Problem(
                    file,
                    key,
                    f"rank {rank} holds expert {expert} {value.count(expert)} times: {len(set(value))} distinct "
                    f"experts in {len(value)} slots",
                    "one copy of an expert on a rank is enough",
                )
                for expert in doubled
            )
    if problems:
        return InstanceError(problems)
    if find(document, LOAD_KEYS) is not None:
        return InstanceError.single(file, str(find(document, LOAD_KEYS)), "is a load, not a map", "plan with it first")
    found = ", ".join(map(str, list(document)[:6])) or "nothing"
    return InstanceError.single(file, MAP_KEYS[0], f"missing; the file has {found}", "give a placement map")
