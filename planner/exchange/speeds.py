"""Read relative GPU speeds: a JSON list, ``{"speed": [...]}``, or plain text with numbers between blanks or commas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SLOWEST, FASTEST = 1e-6, 1e6


def read_speeds(path: Path, gpus: int) -> NDArray[np.float64]:
    """Read one positive speed a GPU, shape [gpu].

    Raises
    ------
    InstanceError
        If the file cannot be read, an entry is not a positive number, or their count is not ``gpus``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error}", "check the path") from error
    entries = _entries(text)
    problems = [
        Problem(
            str(path),
            f"speed[{index}]",
            f"{entry!r} is not a positive number",
            f"give a relative speed from {SLOWEST:g} to {FASTEST:g}; GPUs out of service go in --dead",
        )
        for index, entry in enumerate(entries)
        if not _is_positive(entry)
    ]
    if len(entries) != gpus:
        problems.append(Problem(str(path), "speed", f"has {len(entries)} speeds for {gpus} GPUs", "give one a GPU"))
    if problems:
        raise InstanceError(problems)
    return np.array(entries, dtype=float)


def _entries(text: str) -> list[object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return list(text.replace(",", " ").split())
    document = document.get("speed") if isinstance(document, dict) else document
    return document if isinstance(document, list) else [document]


def _is_positive(entry: object) -> bool:
    try:
        return not isinstance(entry, bool) and SLOWEST <= float(str(entry)) <= FASTEST
    except ValueError:
        return False
