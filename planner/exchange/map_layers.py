"""Which rows of a map are MoE layers, and which decoder layers they are: engines count layers in different ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError
from planner.exchange.expert_map import ExpertMap, filler_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.instance.model import MoeModel


@dataclass(frozen=True, eq=False)
class LayeredMap:
    """Rows of the MoE layers alone, with their place in the model.

    Attributes
    ----------
    rows
        Expert of each slot, shape [moe_layer, slot].
    numbers
        Decoder layer of each row.
    layers
        Decoder layers of the model, dense ones included, as far as known.
    notes
        What was assumed.
    """

    rows: NDArray[np.int64]
    numbers: tuple[int, ...]
    layers: int
    notes: tuple[str, ...] = ()


def layered(found: ExpertMap, model: MoeModel | None, first_moe_layer: int | None, file: str) -> LayeredMap:
    """Find the MoE layers of a map: from the file, else from the model, else from the first MoE layer's number.

    Raises
    ------
    InstanceError
        If the rows fit neither all layers of the model nor its MoE layers.
    """
    rows = found.rows
    first = _first(model, first_moe_layer)
    if model is not None and model.routed_experts != found.experts:
        message = f"holds {found.experts} experts, {model.name} has {model.routed_experts}"
        raise InstanceError.single(file, "--model", message, "give the model of this map")
    if found.shared:
        if model is None:
            message = "has one row for all layers: how many there are is not in the file"
            raise InstanceError.single(file, "", message, "name the model with --model")
        rows = np.repeat(rows, model.moe_layers, axis=0)
    if found.layers is not None:
        return _numbered(rows, found.layers, model, file)
    if found.dense is not None:
        moe = tuple(layer for layer in range(len(rows)) if layer not in found.dense)
        return _numbered(rows[list(moe)], moe, model, file, layers=len(rows))
    if model is not None and len(rows) not in (model.moe_layers, model.layers):
        message = f"has {len(rows)} rows; {model.name} has {model.layers} layers, {model.moe_layers} with experts"
        raise InstanceError.single(file, "", message, "give the map of this model")
    if model is not None and len(rows) == model.layers:
        moe = tuple(range(first, first + model.moe_layers))
        return _numbered(rows[list(moe)], moe, model, file)
    return _from_rows(rows, found.experts, first if model or first_moe_layer is not None else None, model)


def _first(model: MoeModel | None, first_moe_layer: int | None) -> int:
    """Return the first MoE layer: as given, else after the model's dense layers."""
    if first_moe_layer is None:
        return 0 if model is None else model.dense_layers
    most = 10_000 if model is None else model.dense_layers
    if not 0 <= first_moe_layer <= most:
        message = f"is {first_moe_layer}, must be from 0 to {most}"
        raise InstanceError.single("command line", "--first-moe-layer", message)
    return first_moe_layer


def _numbered(
    rows: NDArray[np.int64], numbers: tuple[int, ...], model: MoeModel | None, file: str, layers: int = 0
) -> LayeredMap:
    if model is not None and (len(rows) != model.moe_layers or numbers[-1] >= model.layers):
        message = f"has {len(rows)} MoE layers to number {numbers[-1]}; {model.name} has {model.moe_layers}"
        raise InstanceError.single(file, "--model", message, "give the map of this model")
    return LayeredMap(rows, numbers, model.layers if model else max(layers, numbers[-1] + 1))


def _from_rows(rows: NDArray[np.int64], experts: int, first: int | None, model: MoeModel | None) -> LayeredMap:
    """Rows of MoE layers, behind filled rows of dense layers where there are some and nothing else says."""
    filler = (rows == filler_row(rows.shape[1], experts)).all(axis=1)
    leading = 0 if filler.all() else int(np.argmin(filler))
    if model is None and leading and (first is None or first == leading):
        note = f"the first {leading} rows are 0, 1, 2, ...: taken as dense layers"
        numbers = tuple(range(leading, len(rows)))
        return LayeredMap(rows[leading:], numbers, len(rows), (note,) if first is None else ())
    start = first or 0
    note = "every row is taken as an MoE layer, from decoder layer 0: name --model or --first-moe-layer if not"
    numbers = tuple(range(start, start + len(rows)))
    return LayeredMap(rows, numbers, model.layers if model else start + len(rows), (note,) if first is None else ())


def fill_slots(rows: NDArray[np.int64], ranks: int, file: str) -> tuple[NDArray[np.int64], int, list[str]]:
    """Make a map that every engine can load: every slot filled, every expert there, ranks without a slot left out.

    An empty slot gets the expert with the fewest copies that its rank does not hold yet.

    Returns
    -------
    rows, shape [moe_layer, slot]
        The map.
    ranks
        Ranks that hold experts.
    notes
        What was changed.

    Raises
    ------
    InstanceError
        If the slots do not spread over the ranks, or an expert has no copy in some layer.
    """
    if ranks < 1 or rows.shape[1] % ranks:
        message = f"{rows.shape[1]} slots do not spread evenly over {ranks} GPUs"
        raise InstanceError.single(file, "--gpus", message, "give the ranks of the map")
    experts, notes = int(rows.max()) + 1, []
    missing = [
        (layer, expert) for layer, row in enumerate(rows) for expert in np.setdiff1d(np.arange(experts), row).tolist()
    ]
    if missing:
        layer, expert = missing[0]
        message = f"{len(missing)} experts have no copy, first: expert {expert} in MoE layer {layer}"
        raise InstanceError.single(file, "", message, "an engine refuses such a map: place every expert")
    blocks = rows.reshape(len(rows), ranks, -1).copy()
    alive = (blocks >= 0).any(axis=(0, 2))
    if not alive.all():
        out = np.flatnonzero(~alive).tolist()
        notes.append(f"ranks {out} hold no experts and are left out: start {int(alive.sum())} ranks")
        blocks = blocks[:, alive]
    empty = np.argwhere(blocks < 0)
    for layer, rank, slot in empty.tolist():
        copies = np.bincount(blocks[layer][blocks[layer] >= 0], minlength=experts).astype(float)
        copies[blocks[layer, rank][blocks[layer, rank] >= 0]] += (
            experts  # twice on a rank only where it holds every expert
        )
        blocks[layer, rank, slot] = int(np.argmin(copies))
    if len(empty):
        notes.append(
            f"{len(empty)} empty slots are filled with further copies, for engines need equal slots: balance changes"
        )
    return blocks.reshape(len(rows), -1), blocks.shape[1], notes
