"""Read expert slots of each GPU: a number, numbers between commas, or a file with them (JSON or text)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = "slots_per_gpu"


def read_slots(text: str, gpus: int) -> int | NDArray[np.int64]:
    """Read one number for all GPUs, or one a GPU, shape [gpu].

    Raises
    ------
    InstanceError
        If the file cannot be read, an entry is not a number of slots, or their count is not ``gpus``.
    """
    where = "command line"
    entries: list[object] = list(text.replace(",", " ").split())
    if not all(_is_count(entry) for entry in entries) and "," not in text:
        where, entries = text, _entries(Path(text))
    if where == "command line" and len(entries) == 1 and _is_count(entries[0]):
        return int(str(entries[0]))
    key = "--slots-per-gpu" if where == "command line" else KEY
    problems = [
        Problem(where, f"{key}[{index}]", f"{entry!r} is not a number of slots", "give a whole number from 0")
        for index, entry in enumerate(entries)
        if not _is_count(entry)
    ]
    if len(entries) != gpus:
        problems.append(Problem(where, key, f"has {len(entries)} numbers for {gpus} GPUs", "give one a GPU"))
    if problems:
        raise InstanceError(problems)
    slots = np.array([int(str(entry)) for entry in entries], dtype=np.int64)
    if not slots.any():
        raise InstanceError.single(where, key, "gives no GPU a slot", "give slots to one GPU at least")
    return slots


def _entries(path: Path) -> list[object]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        message = "is neither a number of slots, nor numbers between commas, nor a file that can be read"
        raise InstanceError.single("command line", "--slots-per-gpu", f"{str(path)!r} {message}") from error
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return list(text.replace(",", " ").split())
    document = document.get(KEY) if isinstance(document, dict) else document
    return document if isinstance(document, list) else [document]


def _is_count(entry: object) -> bool:
    return not isinstance(entry, bool) and str(entry).isdecimal() and len(str(entry)) < 7
