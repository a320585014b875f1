"""Placement as plain function calls, and the drop-in for EPLB's own function."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import FormulationError, InstanceError
from planner.strategies import STRATEGIES, proof, redundancy
from planner.strategies.drop_in import rebalance_experts as rebalance_experts
from planner.strategies.local_search import LocalSearch
from planner.strategies.matheuristic import Matheuristic
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort

if TYPE_CHECKING:
    import numpy.typing as npt

    from planner.strategies.problem import IntArray
    from planner.strategies.proof import Progress
    from planner.strategies.result import PlacementResult


def place(
    load: npt.ArrayLike,
    gpus: int,
    slots_per_gpu: int | IntArray | None = None,
    *,
    redundant: int | None = None,
    strategy: str = "local_search",
    prove: bool = False,
    **options: Any,  # noqa: ANN401 - the fields of PlacementRequest
) -> PlacementResult:
    """Place experts on GPUs.

    Parameters
    ----------
    load
        Tokens, shape [scenario, layer, expert] or [layer, expert].
    gpus
        Number of GPUs.
    slots_per_gpu, redundant
        Slots of a GPU, or extra experts a layer; neither: the fewest slots that hold every expert once.
    strategy
        A key of ``STRATEGIES``.
    prove
        Also raise the bound of layers with a gap of more than ``gap`` by linear programs and, where there is a
        ``time_limit_s``, by integer programs in what it leaves.
    options
        Further fields of `PlacementRequest`.

    Raises
    ------
    InstanceError
        Bad shapes or numbers, an unknown strategy, or both slots and redundancy given.
    FormulationError
        The strategy does not support the request.
    NoPlanFound
        Fewer slots than experts.
    """
    tokens = np.asarray(load, dtype=float)
    tokens = tokens[None] if tokens.ndim == 2 else tokens
    if slots_per_gpu is not None and redundant is not None:
        raise InstanceError.single("place", "redundant", "given beside slots_per_gpu", "give one of the two")
    if slots_per_gpu is None:
        experts = tokens.shape[-1]
        extra = redundancy.lowest_redundant(experts, gpus) if redundant is None else redundant
        slots_per_gpu = redundancy.slots_per_gpu(experts, gpus, extra)
    request = PlacementRequest(tokens, gpus, slots_per_gpu, **options)
    if not prove:
        return run(request, strategy)
    limit = request.time_limit_s
    deadline = None if limit is None else time.perf_counter() + limit
    return run(request, strategy, Effort(request.gap, deadline, integer=limit is not None))


def run(
    request: PlacementRequest, strategy: str, effort: Effort | None = None, progress: Progress | None = None
) -> PlacementResult:
    """Run one strategy by name, then prove as far as ``effort`` goes; the errors of `place`.

    The map of the default strategy takes over what the proof finds; the maps of others are left as they are.
    """
    chosen = STRATEGIES.get(strategy)
    if chosen is None:
        raise InstanceError.single("place", "strategy", f"no strategy {strategy!r}", f"one of {', '.join(STRATEGIES)}")
    reason = chosen.supports(request)
    if reason is not None:
        raise FormulationError(f"strategy {strategy}: {reason}")
    result = chosen.place(request, progress) if isinstance(chosen, LocalSearch) else chosen.place(request)
    if effort is None or result.interrupted:
        return result
    refiner = chosen.refiner(request) if isinstance(chosen, LocalSearch | Matheuristic) else None
    return proof.prove(request, result, effort, refiner, progress)
