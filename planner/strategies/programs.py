"""Between placement requests and the placement programs: one layer in, one map row out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from formulations.base import refuse
from planner.errors import NoPlanFound
from planner.strategies.result import PlacementResult, assess, gpu_load, identity_row

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from formulations.placement_problem import PlacementProblem
    from planner.solver.options import SolveOptions
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest

    LayerSolver = Callable[[PlacementProblem, SolveOptions], tuple[npt.NDArray[np.bool_], float]]
    """Takes a layer and limits; returns held [expert, gpu] and a lower bound on the objective."""


class ProgramStrategy(ABC):
    """A strategy that asks a program of its own about every layer."""

    name: str

    @abstractmethod
    def supports(self, request: PlacementRequest) -> str | None:
        """Return why the program cannot serve a request, or ``None``."""

    @abstractmethod
    def solve_layer(self, problem: PlacementProblem, options: SolveOptions) -> tuple[npt.NDArray[np.bool_], float]:
        """Held [expert, gpu] of one layer and a lower bound on the objective."""

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Solve every layer.

        Raises
        ------
        FormulationError
            If the request is not supported.
        NoPlanFound
            If the time limit passes before a layer has a placement.
        """
        refuse(self.supports(request))
        return place_by_program(request, self.name, self.solve_layer)


def layer_problem(request: PlacementRequest, layer: int) -> PlacementProblem:
    """Return the program's data of one layer; loads are scaled to a mean GPU load of 1 in every scenario."""
    from formulations.placement_problem import PlacementProblem

    load = request.unit_mean_load[:, layer]
    seen = load.sum(axis=1) > 0
    load, probability = load[seen], request.scenario_probability[seen]
    speed = np.where(request.slots > 0, request.relative_speed, 1.0)
    return PlacementProblem(
        load=load,
        probability=probability / probability.sum(),
        slots=np.array(request.slots),
        speed=speed,
        domain=request.node_of_gpu,
        source_share=request.source_share if request.dispatch == "nearest" else None,
    )


def place_by_program(request: PlacementRequest, name: str, solve_layer: LayerSolver) -> PlacementResult:
    """Solve every layer by a program; with one scenario its bound sharpens the result's.

    The programs put no two copies of an expert on a GPU and may leave slots empty; their bound holds for such
    placements. An empty slot is filled afterwards, where that helps with a second copy of an expert of that GPU. With
    several scenarios a program minimises the mean of largest over mean load, which bounds no mean balance.

    Raises
    ------
    NoPlanFound
        If the time passes before a layer has a placement; with the layer and what to do.
    """
    from planner.solver.options import SolveOptions

    start = time.perf_counter()
    rows = np.tile(identity_row(request), (request.layers, 1))
    proven = np.full(request.layers, np.nan)
    layers = np.flatnonzero(~request.dense_layers).tolist()
    for done, layer in enumerate(layers):
        limit = None
        if request.time_limit_s is not None:
            left = max(request.time_limit_s - (time.perf_counter() - start), 0.1)
            limit = left / (len(layers) - done)
        try:
            options = SolveOptions(time_limit_s=limit, gap=request.gap, seed=request.seed)
            held, bound = solve_layer(layer_problem(request, layer), options)
        except NoPlanFound as error:
            if error.stop_reason != "time_limit":
                raise
            remedy = f"give more than {request.time_limit_s:g} s, or take local_search, which has a placement at once"
            reasons = [f"layer {layer}, after {done} of {len(layers)}: {reason}; {remedy}" for reason in error.reasons]
            raise NoPlanFound(reasons, error.stop_reason) from error
        rows[layer] = fill_empty_slots(request, layer, row_of(held, request))
        proven[layer] = 1.0 / bound if bound > 0 else np.nan
    result = assess(request, rows, time.perf_counter() - start, name)
    if request.scenarios > 1:
        return result
    bound = np.maximum(np.fmin(result.bound, proven), result.balance)
    return replace(result, bound=bound, risk_bound=1.0 / bound)


def row_of(held: npt.NDArray[np.bool_], request: PlacementRequest) -> IntArray:
    """Map row of held [expert, gpu], shape [slots_total]; slots left empty are -1."""
    row = np.full((request.gpus, request.slot_width), -1, dtype=np.int64)
    for gpu in range(request.gpus):
        experts = np.flatnonzero(held[:, gpu])
        row[gpu, : len(experts)] = experts
    return row.ravel()


def fill_empty_slots(request: PlacementRequest, layer: int, row: IntArray) -> IntArray:
    """Fill the slots a program left empty, as engines want them full, each with the copy that hurts least."""
    row = row.copy()
    usable = (np.arange(request.slot_width) < request.slots[:, None]).ravel()
    for slot in np.flatnonzero(usable & (row < 0)):
        values = []
        for expert in range(request.experts):
            row[slot] = expert
            values.append(_largest(request, layer, row) + 1e-9 * _doubled(row, int(slot), request.slot_width))
        row[slot] = int(np.argmin(values))
    return row


def _largest(request: PlacementRequest, layer: int, row: IntArray) -> float:
    load: FloatArray = request.unit_mean_load[:, layer : layer + 1]
    pace = request.relative_speed
    used = pace > 0
    per_gpu = gpu_load(row[None], load, request.gpus, request)
    return float(request.scenario_probability @ (per_gpu[..., used] / pace[used]).max(axis=-1)[:, 0])


def _doubled(row: IntArray, slot: int, width: int) -> bool:
    start = slot // width * width
    return int((row[start : start + width] == row[slot]).sum()) > 1


def no_tail(request: PlacementRequest) -> str | None:
    """Return why the programs, which minimise the mean over scenarios, cannot serve the request, if so."""
    return "the program minimises the mean over scenarios and knows no cvar_weight" if request.cvar_weight else None


def most_integers(request: PlacementRequest, per_copy: int) -> int:
    """Count the integers of a program that has ``per_copy`` of them for each possible number of copies."""
    copies = min(int((request.slots > 0).sum()), int(request.slots.sum()) - request.experts + 1)
    return copies * request.experts * per_copy
