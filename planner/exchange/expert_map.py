"""A placement map as some file holds it, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError, Problem
from planner.exchange.load_checks import ranges
from planner.exchange.maps import duplicates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHOWN = 5


@dataclass(frozen=True, eq=False)
class ExpertMap:
    """A map with what its file says about it.

    Attributes
    ----------
    rows
        Expert of each slot, shape [row, slot], rank-major, -1 for an empty slot.
    kind
        Name of the format, for people.
    gpus
        Ranks, where the file says so.
    layers
        Decoder layer of each row, where the file says so (TensorRT-LLM), increasing.
    shared
        Whether the only row stands for every layer (vLLM).
    dense
        Rows that belong to dense layers, where the file says so (a placement's folder).
    dispatch
        Dispatch rule the map was planned for, where the file says so: ``even`` or ``nearest``.
    warnings
        What the reader noticed.
    """

    rows: NDArray[np.int64]
    kind: str
    gpus: int | None = None
    layers: tuple[int, ...] | None = None
    shared: bool = False
    dense: tuple[int, ...] | None = None
    dispatch: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def experts(self) -> int:
        """Logical experts: the largest id there is, and one."""
        return int(self.rows.max()) + 1


def filler_row(slots: int, experts: int) -> NDArray[np.int64]:
    """Row of a dense layer, which no engine looks at but some want filled: 0, 1, 2, ... modulo the experts."""
    return np.arange(slots, dtype=np.int64) % experts


def on_layers(found: ExpertMap, dense_layers: NDArray[np.bool_], file: str) -> NDArray[np.int64]:
    """Give a map one row for every layer of a load, the dense ones filled.

    Parameters
    ----------
    found
        The map: a row for every layer, for every MoE layer, or for all of them at once.
    dense_layers
        Which layers carry no experts, shape [layer].
    file
        For the message.

    Raises
    ------
    InstanceError
        If the rows fit neither all layers nor the MoE layers.
    """
    rows, moe = found.rows, np.flatnonzero(~dense_layers)
    filled = np.tile(filler_row(rows.shape[1], found.experts), (len(dense_layers), 1))
    if found.shared:
        filled[moe] = rows[0]
    elif found.layers is not None and set(moe) <= set(found.layers):
        filled[moe] = rows[np.searchsorted(found.layers, moe)]
    elif found.layers is None and len(rows) == len(dense_layers):
        return rows
    elif found.layers is None and len(rows) == len(moe):
        filled[moe] = rows
    else:
        where = f"rows for layers {ranges(np.array(found.layers))}" if found.layers else f"{len(rows)} rows"
        message = f"has {where}; the load has {len(dense_layers)} layers, {len(moe)} of them with experts"
        raise InstanceError.single(file, "", message, "give the map of this model")
    return filled


def all_rows(found: ExpertMap) -> NDArray[np.int64]:
    """Rows of the map, with a filled row for each layer that a file with numbered decoder layers leaves out."""
    if found.layers is None:
        return found.rows
    dense = ~np.isin(np.arange(found.layers[-1] + 1), found.layers)
    return on_layers(found, dense, "")


@dataclass(frozen=True)
class MapReport:
    """What is odd about a map.

    Attributes
    ----------
    duplicates
        (layer, rank, expert, copies): several copies on one rank waste slots (EPLB issue 22).
    missing
        (layer, expert) without a copy.
    uneven
        (layer, fewest, most) filled slots of a rank.
    """

    duplicates: tuple[tuple[int, int, int, int], ...]
    missing: tuple[tuple[int, int], ...]
    uneven: tuple[tuple[int, int, int], ...]

    def notes(self) -> list[str]:
        """Say it in words, first cases only."""
        notes = []
        if self.duplicates:
            layer, rank, expert, copies = self.duplicates[0]
            notes.append(
                f"{len(self.duplicates)} times an expert has several copies on one rank, which wastes slots; first: "
                f"layer {layer}, rank {rank}, expert {expert} has {copies}"
            )
        if self.missing:
            named = ", ".join(f"{expert} in layer {layer}" for layer, expert in self.missing[:SHOWN])
            notes.append(f"{len(self.missing)} experts have no copy: {named}")
        if self.uneven:
            layer, fewest, most = self.uneven[0]
            notes.append(
                f"{len(self.uneven)} layers fill unequal slots a rank; first: layer {layer}, {fewest} to {most}: "
                "most engines need equal slots"
            )
        return notes

    def document(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "duplicates": [
                dict(zip(("layer", "rank", "expert", "copies"), row, strict=True)) for row in self.duplicates
            ],
            "missing": [dict(zip(("layer", "expert"), row, strict=True)) for row in self.missing],
            "uneven": [dict(zip(("layer", "fewest", "most"), row, strict=True)) for row in self.uneven],
        }


def inspect(rows: NDArray[np.int64], gpus: int | None, experts: int | None = None) -> MapReport:
    """Look for several copies on a rank, experts without a copy, and unequal slots.

    Parameters
    ----------
    rows
        Shape [layer, slot], rank-major.
    gpus
        Ranks; ``None``: not known, so only missing experts are found.
    experts
        Logical experts; default: as many as the largest id says.

    Raises
    ------
    InstanceError
        If the slots do not spread evenly over the ranks.
    """
    known = int(rows.max()) + 1 if experts is None else experts
    missing = [(layer, int(expert)) for layer, row in enumerate(rows) for expert in np.setdiff1d(np.arange(known), row)]
    if gpus is None:
        return MapReport((), tuple(missing), ())
    if gpus < 1 or rows.shape[1] % gpus:
        message = f"{rows.shape[1]} slots do not spread evenly over {gpus} GPUs"
        raise InstanceError([Problem("command line", "--gpus", message, "give the ranks of the map")])
    blocks = rows.reshape(len(rows), gpus, -1)
    doubled = [
        (layer, gpu, expert, int((blocks[layer, gpu] == expert).sum())) for layer, gpu, expert in duplicates(rows, gpus)
    ]
    filled = (blocks >= 0).sum(axis=2)
    uneven = [
        (layer, int(held.min()), int(held.max())) for layer, held in enumerate(filled) if held.min() != held.max()
    ]
    return MapReport(tuple(doubled), tuple(missing), tuple(uneven))


def pad_ranks(blocks: Sequence[Sequence[Sequence[int]]]) -> tuple[NDArray[np.int64], int]:
    """Map [layer, slot] from experts by [layer][rank], empty slots -1; with the width of a rank."""
    width = max(len(held) for layer in blocks for held in layer)
    rows = np.full((len(blocks), len(blocks[0]), width), -1, dtype=np.int64)
    for layer, ranks in enumerate(blocks):
        for rank, held in enumerate(ranks):
            rows[layer, rank, : len(held)] = held
    return rows.reshape(len(blocks), -1), width
