"""Read per-token routing recorded by an engine: which experts every token went to, layer by layer.

Two shapes: ``data[token, top_k]`` for one layer, one file a layer, and ``[token, layer, top_k]`` for all MoE layers
(vLLM's returned routed experts). Rows of -1 are padding. Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

KEYS = ("data", "routed_experts", "prompt_routed_experts", "topk_ids")
"""Names under which routing stands in an ``.npz``, tried in this order."""

MOST_EXPERTS = 10_000
"""Experts of a layer beyond any model."""

MOST_CHOSEN = 256
"""Experts of a token beyond any model: more is a table of something else."""


def read_routing(paths: Sequence[Path], experts: int | None = None) -> list[NDArray[np.int64]]:
    """Read the routing of all layers.

    Parameters
    ----------
    paths
        Files in the order of the layers; one file may hold several layers.
    experts
        Experts of a layer, where known; ids at or above it are refused.

    Returns
    -------
    list of arrays, shape [token, top_k]
        One for each layer, distinct expert ids in every row.

    Raises
    ------
    InstanceError
        With the problems of all files: not an array of whole numbers, ids out of range, one expert twice in a token.
    """
    problems: list[Problem] = []
    layers: list[NDArray[np.int64]] = []
    for path in paths:
        try:
            found = _layers_of(*_load(path), str(path))
        except InstanceError as error:
            problems.extend(error.problems)
            continue
        for number, rows in enumerate(found):
            where = f"layer {number}" if len(found) > 1 else "data"
            problems.extend(_problems(rows, str(path), where, experts))
        layers.extend(found)
    if problems:
        raise InstanceError(problems)
    return layers


def distinct_expert_notes(layers: Sequence[NDArray[np.int64]], experts: int) -> list[str]:
    """Remarks on layers whose tokens touch fewer experts than they could: min(E, tokens * top_k).

    Such recordings come from repeated prompts or forced routing and understate the weights read (afd-plugin #156).
    """
    few = []
    for number, rows in enumerate(layers):
        distinct, possible = len(np.unique(rows)), min(experts, rows.size)
        if distinct < possible:
            few.append((number, distinct, possible))
    if not few:
        return []
    number, distinct, possible = few[0]
    also = f" (and {len(few) - 1} more layers)" if len(few) > 1 else ""
    return [
        f"routing layer {number} touches {distinct} experts of the {possible} it could{also}: weights read and loads "
        "hold for this traffic only; record more, and varied, prompts"
    ]


def _load(path: Path) -> tuple[NDArray[Any], str]:
    """Read the array of a file and its name in it."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, "array"
        with loaded as archive:
            names = list(archive.files)
            key = next((key for key in KEYS if key in names), names[0] if len(names) == 1 else None)
            if key is None:
                message = f"missing; the file has {', '.join(names[:6]) or 'nothing'}"
                raise InstanceError.single(str(path), "data", message, "name the routing array data")
            return archive[key], key
    except OSError as error:
        raise InstanceError.single(
            str(path), "", f"cannot be read: {error.strerror or error}", "check the path"
        ) from error
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        message = f"is not a plain array: {error}"
        raise InstanceError.single(
            str(path), "", message, "save expert ids with numpy.savez(file, data=ids)"
        ) from error


def _layers_of(table: NDArray[Any], key: str, file: str) -> list[NDArray[np.int64]]:
    """Cut the array into layers, padding rows left out."""
    if table.ndim not in (2, 3) or 0 in table.shape or table.shape[-1] > MOST_CHOSEN:
        message = f"has shape {list(table.shape)}, expected [token, top_k] or [token, layer, top_k], none of them empty"
        raise InstanceError.single(file, key, message, "give the expert ids of every token")
    if table.dtype.kind not in "iu":
        whole = table.dtype.kind == "f" and bool(np.isfinite(table).all()) and bool((table == np.floor(table)).all())
        if not whole:
            raise InstanceError.single(file, key, f"holds {table.dtype}, not whole numbers", "give expert ids")
    ids = np.clip(table, -2, MOST_EXPERTS + 1).astype(np.int64)
    cut = [ids] if ids.ndim == 2 else [ids[:, layer] for layer in range(ids.shape[1])]
    kept = [np.ascontiguousarray(rows[~(rows == -1).all(axis=1)]) for rows in cut]
    if any(len(rows) == 0 for rows in kept):
        raise InstanceError.single(file, key, "has a layer without tokens: every row is -1", "leave dense layers out")
    return kept


def _problems(rows: NDArray[np.int64], file: str, where: str, experts: int | None) -> list[Problem]:
    """First bad entry of each kind, with how many there are."""
    limit = MOST_EXPERTS if experts is None else experts
    problems = []
    outside = np.argwhere((rows < 0) | (rows >= limit))
    if len(outside):
        token, choice = outside[0]
        message = f"token {token} has expert {rows[token, choice]}, not 0 to {limit - 1} ({len(outside)} such entries)"
        problems.append(Problem(file, where, message, "give logical expert ids"))
    ordered = np.sort(rows, axis=1)
    twice = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(twice) and not len(outside):
        message = f"token {twice[0]} has one expert twice ({len(twice)} such tokens)"
        problems.append(Problem(file, where, message, "give distinct logical ids, not physical slots"))
    return problems
