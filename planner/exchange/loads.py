"""Read expert loads recorded by an engine, as tokens per [layer, expert]; the content tells the format.

SGLang recorder dumps (JSON or ``.pt``; modes stat, per_pass, per_token), TensorRT-LLM statistics folders, omni-infer
logs and count files, fiddler popularity, bare lists, arrays, CSV; each packed with gzip or not. Nothing is ever
unpickled but what `torch_zip` knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange import (
    balance_logs,
    content,
    csv_loads,
    numpy_files,
    omni_infer,
    sglang_records,
    torch_zip,
    trtllm_statistics,
)
from planner.exchange.document_keys import LOAD_KEYS, MAP_KEYS, find
from planner.exchange.document_loads import A_MAP, MAP_REMEDY, load_of_document
from planner.exchange.load_checks import LoadFile, RawLoad, checked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

KINDS = "JSON, .npy, .npz, .pt, CSV, a log, or a statistics folder"
LEGACY = "is in torch's old format, or is a bare pickle, which could run code"
_ENGINE_LINES = re.compile(r"^\s*(num_slots|initial_global_assignments|layer_updates_per_iter)\s*:", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Scenarios:
    """Loads of one model.

    Attributes
    ----------
    table
        Tokens, shape [scenario, layer, expert].
    kinds
        Format of each file.
    warnings
        What the files' readers and checks noticed, each with its file.
    """

    table: NDArray[np.float64]
    kinds: tuple[str, ...]
    warnings: tuple[str, ...]


def read_load_file(path: Path) -> LoadFile:
    """Read one load file or folder of any known kind.

    Raises
    ------
    InstanceError
        If it cannot be read, is something else (a map, a routing file, a log of balance: named), or holds no table of
        finite non-negative numbers, is all zero, or was written by one rank only.
    """
    try:
        if path.is_dir():
            return checked(_of_folder(path), str(path))
    except (OSError, ValueError) as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error}", "check the path") from error
    return checked(_of_bytes(content.read_bytes(path), str(path)), str(path))


def read_loads(path: Path) -> NDArray[np.float64]:
    """Table of `read_load_file` alone, shape [layer, expert]; its errors."""
    return read_load_file(path).table


def read_scenario_files(paths: Sequence[Path]) -> Scenarios:
    """Read several load files of one model.

    Raises
    ------
    InstanceError
        With the problems of all files, or if their shapes differ.
    """
    problems: list[Problem] = []
    files: list[LoadFile] = []
    for path in paths:
        try:
            files.append(read_load_file(path))
        except InstanceError as error:
            problems.extend(error.problems)
    for path, file in zip(paths, files, strict=False):
        if not problems and file.table.shape != files[0].table.shape:
            message = f"has shape {list(file.table.shape)}, but {paths[0]} has {list(files[0].table.shape)}"
            problems.append(Problem(str(path), "", message, "give loads of one model, layer by layer"))
    if problems:
        raise InstanceError(problems)
    warnings = [f"{path}: {text}" for path, file in zip(paths, files, strict=True) for text in file.warnings]
    return Scenarios(np.stack([file.table for file in files]), tuple(file.kind for file in files), tuple(warnings))


def read_scenarios(paths: Sequence[Path]) -> NDArray[np.float64]:
    """Table of `read_scenario_files` alone, shape [scenario, layer, expert]; its errors."""
    return read_scenario_files(paths).table


def _of_bytes(data: bytes, file: str) -> RawLoad:
    """Recognise the kind by the content and read it."""
    if data.startswith(content.NUMPY_MAGIC):
        return RawLoad(numpy_files.read_array(data, file), "array", "NumPy array")
    if data.startswith(content.ZIP_MAGIC):
        return _of_zip(data, file)
    if data.startswith(content.PICKLE_MAGIC):
        raise InstanceError.single(file, "", LEGACY, "save it with torch.save of torch 1.6 or newer, or as JSON")
    return _of_text(content.decode(data, file), file)


def _of_zip(data: bytes, file: str) -> RawLoad:
    if torch_zip.is_torch_zip(data):
        return load_of_document(torch_zip.load(data, file), file)
    arrays = numpy_files.read_archive(data, file)
    key = find(arrays, LOAD_KEYS)
    if key is None and "data" in arrays:
        raise InstanceError.single(file, "data", "is a routing file, not loads", "give token counts an expert")
    if key is None and find(arrays, MAP_KEYS) is not None:
        return load_of_document(arrays, file)
    key = key or (next(iter(arrays)) if len(arrays) == 1 else None)
    if key is None:
        message = f"has {len(arrays)} arrays ({', '.join(list(arrays)[:6])}), none of them logical_count"
        raise InstanceError.single(file, "", message, "name the load array logical_count")
    return RawLoad(arrays[key], key, "NumPy archive")


def _of_text(text: str, file: str) -> RawLoad:
    holds = balance_logs.what_it_holds(text)
    if holds is not None:
        raise InstanceError.single(file, "", holds, "record counts: vLLM PR 41141, or another engine's recorder")
    if omni_infer.is_activation_log(text):
        return omni_infer.read_activation_log(text, file)
    if content.looks_like_json(text):
        return load_of_document(content.parse_json(text, file), file)
    if _ENGINE_LINES.search(text):
        raise InstanceError.single(file, "", f"{A_MAP} (TensorRT-LLM)", MAP_REMEDY)
    if omni_infer.is_pattern_text(text):
        return RawLoad(omni_infer.read_pattern_text(text, file), "pattern", "omni-infer pattern")
    cells = re.split(r"[,;\s]+", text.strip())
    if 4 * sum(map(csv_loads.is_number, cells)) < len(cells):
        message = f"is not a load file: it begins with {' '.join(cells[:6])[:60]!r}"
        raise InstanceError.single(file, "", message, f"give one of {KINDS}")
    return csv_loads.read_delimited(text, file)


def _of_folder(folder: Path) -> RawLoad:
    """Read a folder: TensorRT-LLM statistics, omni-infer count files, or SGLang records, one file a rank."""
    if trtllm_statistics.is_statistics_folder(folder):
        return trtllm_statistics.read_statistics(folder)
    if omni_infer.is_rank_folder(folder):
        return omni_infer.read_rank_folder(folder)
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in (".pt", ".pth", ".json"))
    if not files:
        message = "holds no rank*.safetensors, activation_counts_*.txt or SGLang dumps"
        raise InstanceError.single(str(folder), "", message, f"give a file or a folder: {KINDS}")
    return sglang_records.sum_ranks([(str(path), _of_bytes(content.read_bytes(path), str(path))) for path in files])
