"""Read, check and write placement maps: ``{"physical_to_logical_map": [[...]]}`` and nothing else.

SGLang passes the whole document on as keyword arguments, so a further key would stop it. One row per layer of the load
file, slots rank-major, -1 for an empty slot.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.errors import InstanceError, Problem
from planner.files import write_text

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KEY = "physical_to_logical_map"


class Duplicate(NamedTuple):
    """An expert with more than one copy on a GPU: a wasted slot (EPLB issue 22)."""

    layer: int
    gpu: int
    expert: int


def read_map(path: Path) -> NDArray[np.int64]:
    """Read a map, shape [layer, slots_total].

    Raises
    ------
    InstanceError
        If the file is not such a map.
    """
    file = str(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InstanceError.single(file, "", f"cannot be read: {error.strerror}", "check the path") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InstanceError.single(file, "", f"is not JSON: {error}", "give a map file") from error
    rows = document.get(KEY) if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise InstanceError.single(file, KEY, "is not a list of rows", f'give {{"{KEY}": [[...], ...]}}')
    problems = [
        Problem(file, f"{KEY}[{layer}]", message, "give one expert id for each slot")
        for layer, row in enumerate(rows)
        for message in _row_problems(row, len(rows[0]))
    ]
    if problems:
        raise InstanceError(problems)
    return np.array(rows, dtype=np.int64)


def _row_problems(row: list[object], width: int) -> list[str]:
    problems = []
    if len(row) != width:
        problems.append(f"has {len(row)} slots, the first row has {width}")
    if any(isinstance(entry, bool) or not isinstance(entry, int) or abs(entry) > 2**31 for entry in row):
        problems.append("has an entry that is not an expert id")
    return problems


def write_map(path: Path, physical_to_logical_map: NDArray[np.int64]) -> None:
    """Write a map whole or not at all."""
    write_text(path, map_text(physical_to_logical_map))


def map_text(physical_to_logical_map: NDArray[np.int64]) -> str:
    """JSON text of a map, one line a layer."""
    rows = ",\n".join(json.dumps(row) for row in physical_to_logical_map.tolist())
    return f'{{"{KEY}": [\n{rows}\n]}}\n'


def map_problems(
    physical_to_logical_map: NDArray[np.int64], experts: int, gpus: int, layers: int | None = None, file: str = "map"
) -> list[Problem]:
    """List what makes a map unusable: its size, ids out of range, experts without a copy."""
    rows, width = physical_to_logical_map.shape
    problems = []
    if width % gpus:
        problems.append(Problem(file, KEY, f"{width} slots do not spread evenly over {gpus} GPUs", "check the GPUs"))
    if layers is not None and rows != layers:
        problems.append(Problem(file, KEY, f"has {rows} rows, the load has {layers} layers", "give one row a layer"))
    for layer, row in enumerate(physical_to_logical_map):
        place = f"{KEY}[{layer}]"
        wrong = row[(row < -1) | (row >= experts)]
        if len(wrong):
            problems.append(Problem(file, place, f"expert {wrong[0]} is not among 0-{experts - 1}", "correct the id"))
        missing = np.setdiff1d(np.arange(experts), row)
        if len(missing):
            named = ", ".join(map(str, missing[:5])) + (" and more" if len(missing) > 5 else "")
            problems.append(Problem(file, place, f"no copy of expert {named}", "place every expert at least once"))
    return problems


def duplicates(physical_to_logical_map: NDArray[np.int64], gpus: int) -> list[Duplicate]:
    """List every expert that has two or more copies on a GPU."""
    layers, width = physical_to_logical_map.shape
    blocks = np.sort(physical_to_logical_map.reshape(layers, gpus, width // gpus), axis=2)
    same = (blocks[:, :, 1:] == blocks[:, :, :-1]) & (blocks[:, :, 1:] >= 0)
    found = {(int(layer), int(gpu), int(blocks[layer, gpu, slot])) for layer, gpu, slot in np.argwhere(same)}
    return [Duplicate(*entry) for entry in sorted(found)]
