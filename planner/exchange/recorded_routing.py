"""Per-token routing out of engine dumps: SGLang per_token records, TensorRT-LLM raw statistics.

The result is the routing file that ``planner place --routing`` reads: logical expert ids [token, layer, top_k] of the
MoE layers, padded with -1.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange import content, torch_zip, trtllm_statistics
from planner.exchange.arrays import whole_numbers
from planner.exchange.load_checks import ranges
from planner.exchange.sglang_records import chosen_slots, slot_map
from planner.files import write_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class RecordedRouting:
    """Routing of all MoE layers.

    Attributes
    ----------
    ids
        Logical experts, shape [token, layer, top_k]; -1 is padding.
    layers
        Decoder layer of each layer.
    experts
        Logical experts, as far as the files say.
    kind
        Name of the format, for people.
    notes
        What a person should know.
    """

    ids: NDArray[np.int64]
    layers: tuple[int, ...]
    experts: int
    kind: str
    notes: tuple[str, ...] = ()


def read_recorded_routing(path: Path) -> RecordedRouting:
    """Read the routing of a dump, or of the folder of all ranks' dumps.

    Raises
    ------
    InstanceError
        If it holds no choices of tokens.
    """
    if path.is_dir() and trtllm_statistics.is_statistics_folder(path):
        return _of_statistics(path)
    files = [path]
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in (".pt", ".pth", ".json"))
    by_layer: dict[int, list[NDArray[np.int64]]] = {}
    experts = 0
    for file in files:
        document = _document(file)
        placed = slot_map(document, str(file))
        experts = max(experts, int(placed.max()) + 1)
        for index, record in enumerate(document["records"]):
            for layer, rows in enumerate(_logical(record, placed, str(file), f"records[{index}].topk_ids_of_layer")):
                by_layer.setdefault(layer, []).append(rows)
    return _joined(by_layer, experts, "SGLang per_token records", str(path))


def _document(path: Path) -> dict[str, Any]:
    data, file = content.read_bytes(path), str(path)
    if torch_zip.is_torch_zip(data):
        document = torch_zip.load(data, file)
    else:
        document = content.parse_json(content.decode(data, file), file)
    records = document.get("records") if isinstance(document, dict) else None
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InstanceError.single(file, "records", "missing: no SGLang records", "record in per_token mode")
    return dict(document)


def _logical(record: dict[str, Any], placed: NDArray[np.int64], file: str, key: str) -> NDArray[np.int64]:
    """Experts of one record [layer, token, top_k], from the slots that the tokens chose."""
    if "topk_ids_of_layer" not in record:
        raise InstanceError.single(file, key, "missing: counts without tokens", "record in per_token mode")
    slots = chosen_slots(record, file, key)
    if len(slots) != len(placed) or slots.max(initial=-1) >= placed.shape[1]:
        message = f"has shape {list(slots.shape)}, its map {list(placed.shape)}"
        raise InstanceError.single(file, key, message, "give the map that was in force, [layer, slot]")
    layer = np.arange(len(slots))[:, None, None]
    return np.where(slots >= 0, placed[layer, np.maximum(slots, 0)], -1)


def _of_statistics(folder: Path) -> RecordedRouting:
    by_layer: dict[int, list[NDArray[np.int64]]] = {}
    files = trtllm_statistics.rank_files(folder, raw=True)
    if not files:
        message = "holds counts alone: no rank*_raw.safetensors"
        raise InstanceError.single(str(folder), "", message, "record with a newer TensorRT-LLM")
    for path in files.values():
        for iteration, layer, chosen in sorted(trtllm_statistics.tensors(path), key=lambda entry: entry[:2]):
            key = f"{iteration}_{layer}"
            if chosen.ndim != 2:
                message = f"has shape {list(chosen.shape)}"
                raise InstanceError.single(str(path), key, message, "expected [token, top_k]")
            by_layer.setdefault(layer, []).append(whole_numbers(chosen, str(path), key))
    experts = trtllm_statistics.expert_count(folder)
    return _joined(by_layer, experts, "TensorRT-LLM raw statistics", str(folder))


def _joined(by_layer: dict[int, list[NDArray[np.int64]]], experts: int, kind: str, file: str) -> RecordedRouting:
    """One array of all layers that saw tokens; shorter layers are padded."""
    widths = {rows.shape[1] for parts in by_layer.values() for rows in parts}
    if len(widths) > 1:
        raise InstanceError.single(file, "", f"tokens choose {sorted(widths)} experts", "give one recording")
    tables = {layer: np.concatenate(parts) for layer, parts in sorted(by_layer.items())}
    tables = {layer: rows for layer, rows in tables.items() if (rows >= 0).any()}
    if not tables:
        raise InstanceError.single(file, "", "holds no choice of any token", "record with traffic running")
    tokens = max(map(len, tables.values()))
    ids = np.full((tokens, len(tables), widths.pop()), -1, dtype=np.int64)
    for column, rows in enumerate(tables.values()):
        ids[: len(rows), column] = rows
    notes = []
    absent = np.setdiff1d(np.arange(max(by_layer) + 1), list(tables))
    if len(absent):
        notes.append(f"layers {ranges(absent)} saw no token and are left out, as dense")
    if len(set(map(len, tables.values()))) > 1:
        notes.append("layers saw unequal numbers of tokens: the shorter ones are padded with -1")
    return RecordedRouting(ids, tuple(tables), max(experts, int(ids.max()) + 1), kind, tuple(notes))


def write_routing(path: Path, ids: NDArray[np.int64]) -> None:
    """Write ``data[token, layer, top_k]`` as ``.npz``, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=ids.astype(np.int32))
    write_bytes(path, buffer.getvalue())
