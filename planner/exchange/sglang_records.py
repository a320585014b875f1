"""SGLang recorder dumps of the modes per_pass and per_token: counts of slots, mapped back to experts.

A dump is ``{"records": [...], "last_physical_to_logical_map": [layer, slot]}``, one file a rank, as JSON or ``.pt``.
The counts of different ranks add up. (SGLang, ``expert_distribution.py``; the map may have changed while recording,
only the last one is kept.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange.arrays import to_array, whole_numbers
from planner.exchange.document_keys import MAP_KEYS, find
from planner.exchange.load_checks import MOST_EXPERTS, RawLoad

if TYPE_CHECKING:
    from numpy.typing import NDArray


def logical_counts(
    counts: NDArray[Any], physical_to_logical_map: NDArray[np.int64], file: str, key: str
) -> NDArray[np.float64]:
    """Add up the counts of the slots of each expert.

    Parameters
    ----------
    counts
        Shape [layer, slot] or [step, layer, slot].
    physical_to_logical_map
        Expert of each slot, shape [layer, slot]; -1 is an empty slot.
    file, key
        For the message.

    Returns
    -------
    array, shape [layer, expert] or [step, layer, expert]

    Raises
    ------
    InstanceError
        If the shapes do not agree.
    """
    placed = physical_to_logical_map
    if placed.ndim != 2 or counts.ndim not in (2, 3) or counts.shape[-2:] != placed.shape:
        message = f"has shape {list(counts.shape)}, its map {list(placed.shape)}"
        raise InstanceError.single(file, key, message, "give the map that was in force, [layer, slot]")
    steps = np.asarray(counts if counts.ndim == 3 else counts[None], dtype=float)
    result = np.zeros((*steps.shape[:2], int(placed.max()) + 1))
    layer, slot = np.nonzero(placed >= 0)
    np.add.at(result.transpose(1, 2, 0), (layer, placed[layer, slot]), steps.transpose(1, 2, 0)[layer, slot])
    return np.asarray(result if counts.ndim == 3 else result[0])


def read_records(document: dict[str, Any], file: str) -> RawLoad:
    """Sum the records of one dump, shape [step, layer, expert] with the passes as steps.

    Raises
    ------
    InstanceError
        If records or the map are missing, or their shapes do not agree.
    """
    records = document["records"]
    if not records or not all(isinstance(record, dict) for record in records):
        raise InstanceError.single(file, "records", "is empty or no list of records", "record with traffic running")
    placed = slot_map(document, file)
    passes: dict[Any, NDArray[np.float64]] = {}
    for index, record in enumerate(records):
        counts = _counts_of(record, placed, file, f"records[{index}]")
        forward = record.get("forward_pass_id", index)
        forward = forward if isinstance(forward, (int, str)) else index
        passes[forward] = passes[forward] + counts if forward in passes else counts
    table = np.stack(list(passes.values()))
    ranks = sorted({record["rank"] for record in records if isinstance(record.get("rank"), int)})
    warnings = []
    if len(ranks) == 1:
        warnings.append(f"holds the records of rank {ranks[0]} alone: give the folder of all ranks' files to sum them")
    kind = "SGLang per_token records" if "topk_ids_of_layer" in records[0] else "SGLang per_pass records"
    return RawLoad(table, "records", kind, warnings, axes_known=True)


def slot_map(document: dict[str, Any], file: str) -> NDArray[np.int64]:
    """Return the map [layer, slot] of a dump.

    Raises
    ------
    InstanceError
        If there is none.
    """
    key = find(document, MAP_KEYS)
    if key is None:
        message = "missing: records count slots, and only the map tells the expert of a slot"
        raise InstanceError.single(file, "last_physical_to_logical_map", message, "give the whole dump")
    placed = whole_numbers(to_array(document[key], file, str(key)), file, str(key))
    if placed.ndim != 2 or placed.size == 0 or not -1 <= placed.min() <= placed.max() <= MOST_EXPERTS:
        message = f"has shape {list(placed.shape)}, or ids that are no experts"
        raise InstanceError.single(file, str(key), message, "expected expert ids [layer, slot]")
    return placed


def _counts_of(record: dict[str, Any], placed: NDArray[np.int64], file: str, place: str) -> NDArray[np.float64]:
    """Take the counts of one record by expert: as recorded, else counted from the slots that the tokens chose."""
    if "global_physical_count" in record:
        key = f"{place}.global_physical_count"
        return logical_counts(to_array(record["global_physical_count"], file, key), placed, file, key)
    if "topk_ids_of_layer" not in record:
        raise InstanceError.single(file, place, "has no global_physical_count", "record in per_pass or per_token mode")
    key = f"{place}.topk_ids_of_layer"
    slots = chosen_slots(record, file, key)
    if len(slots) != len(placed) or slots.max(initial=-1) >= placed.shape[1]:
        message = f"has shape {list(slots.shape)} with slots to {slots.max(initial=-1)}, its map {list(placed.shape)}"
        raise InstanceError.single(file, key, message, "give the map that was in force, [layer, slot]")
    counts = np.zeros(placed.shape)
    for layer, row in enumerate(slots):
        counts[layer] = np.bincount(row[row >= 0], minlength=placed.shape[1])
    return logical_counts(counts, placed, file, key)


def chosen_slots(record: dict[str, Any], file: str, key: str) -> NDArray[np.int64]:
    """Slots the tokens of one record chose, shape [layer, token, top_k]; -1 is none.

    Raises
    ------
    InstanceError
        If the entry has another shape.
    """
    slots = to_array(record["topk_ids_of_layer"], file, key)
    if slots.ndim != 3:
        raise InstanceError.single(file, key, f"has shape {list(slots.shape)}", "expected [layer, token, top_k]")
    return whole_numbers(slots, file, key, "slots")


def sum_ranks(dumps: list[tuple[str, RawLoad]]) -> RawLoad:
    """Sum the dumps of several ranks.

    Raises
    ------
    InstanceError
        If one of them is not such a dump, or has another shape.
    """
    tables = []
    for file, raw in dumps:
        table = np.asarray(raw.table, dtype=float)
        if raw.key != "records":
            message = f"is not a dump of one rank but {raw.kind}"
            raise InstanceError.single(file, "", message, "give it by itself: several --loads are scenarios")
        tables.append(table.sum(axis=0))
        if tables[-1].shape != tables[0].shape:
            message = f"has shape {list(table.shape[1:])}, {dumps[0][0]} has {list(tables[0].shape)}"
            raise InstanceError.single(file, "", message, "give the dumps of one recording")
    alone = [] if len(dumps) > 1 else dumps[0][1].warnings
    return RawLoad(
        np.sum(tables, axis=0), "records", f"{dumps[0][1].kind}, {len(dumps)} ranks", list(alone), axes_known=True
    )
