"""Placements that were searched before, by loads, ranks and slots: in memory, and in a folder that processes share."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.result import PlacementResult

if TYPE_CHECKING:
    from pathlib import Path

    from planner.strategies.problem import PlacementRequest

_MOST_IN_MEMORY = 256


class PlacementShelf:
    """Keeps placements by what they were asked for. A file that cannot be read is as good as none.

    Parameters
    ----------
    folder
        Where processes share placements; None: memory only.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._known: dict[str, PlacementResult] = {}

    def get(self, request: PlacementRequest, strategy: str) -> PlacementResult | None:
        """Return the placement of an equal request, if there is one."""
        key = digest(request, strategy)
        if key not in self._known and self.folder is not None:
            found = _read(self.folder / f"{key}.npz", strategy)
            if found is not None:
                self._remember(key, found)
        return self._known.get(key)

    def put(self, request: PlacementRequest, result: PlacementResult) -> None:
        """Keep a placement; one that Ctrl-C cut short is not kept."""
        if result.interrupted:
            return
        key = digest(request, result.strategy)
        self._remember(key, result)
        if self.folder is not None:
            _write(self.folder / f"{key}.npz", result)

    def _remember(self, key: str, result: PlacementResult) -> None:
        if len(self._known) >= _MOST_IN_MEMORY:
            self._known.pop(next(iter(self._known)))
        self._known[key] = result


def digest(request: PlacementRequest, strategy: str) -> str:
    """Fingerprint of loads, GPUs, slots and everything else that a placement depends on."""
    load = np.ascontiguousarray(request.load, dtype=np.float64)
    rest = {
        field.name: np.asarray(value).tolist() if isinstance(value, np.ndarray) else value
        for field in fields(request)
        if field.name != "load" and (value := getattr(request, field.name)) is not None
    }
    described = repr((load.shape, strategy, sorted(rest.items())))
    return hashlib.sha256(described.encode() + load.tobytes()).hexdigest()[:32]


def _read(path: Path, strategy: str) -> PlacementResult | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = {field.name: stored[field.name] for field in fields(PlacementResult)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    found = PlacementResult(**{name: value if value.ndim else value.item() for name, value in values.items()})
    return found if found.strategy == strategy else None


def _write(path: Path, result: PlacementResult) -> None:
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    if any(value is None or np.asarray(value).dtype == object for value in values.values()):
        return  # what has no plain array is kept in memory only
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        np.savez(draft, **values)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
