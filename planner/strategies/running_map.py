"""A running map under new loads and GPUs: where it still holds, and the time it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planner.strategies.result import gpu_load

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest


def layer_seconds_share(request: PlacementRequest, rows: IntArray) -> FloatArray:
    """Tokens on the fullest GPU over its speed, mean over scenarios, shape [layer]: its share of the time."""
    load = gpu_load(rows, request.load, request.gpus, request)
    used = request.relative_speed > 0
    return np.asarray(request.scenario_probability @ (load[..., used] / request.relative_speed[used]).max(axis=-1))


def still_valid(request: PlacementRequest, running: IntArray) -> npt.NDArray[np.bool_]:
    """Which layers of the running map can be kept as they are, bool [layer]: same slots, every expert on a live GPU."""
    if running.shape[1] != request.gpus * request.slot_width:
        return np.zeros(request.layers, dtype=np.bool_)
    blocks = running.reshape(request.layers, request.gpus, -1)
    fits = ((blocks >= 0).sum(axis=2) == request.slots).all(axis=1)
    whole = [len(np.unique(row[row >= 0])) == request.experts for row in running]
    return np.asarray(fits & np.array(whole))
