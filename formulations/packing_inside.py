"""Put copies that are already assigned to domains on the GPUs of their domain: longest first, then swaps."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from formulations.placement_problem import BoolArray, IntArray, PlacementProblem

_ROUNDS = 200
_NOTHING = -1


def pack_domains(problem: PlacementProblem, placed: IntArray) -> BoolArray:
    """Choose GPUs for the copies of each domain.

    Parameters
    ----------
    problem
        The layer.
    placed
        Copies of each expert in each domain, [expert, domain], at most the GPUs and slots of the domain.

    Returns
    -------
    BoolArray
        held [expert, gpu]. A copy whose domain has room only beside its twin is left out; the first copy of an expert
        in a domain always fits, because a domain is given no more copies than it has slots.
    """
    held = _longest_first(problem, placed)
    best = _score(problem, held)
    for _ in range(_ROUNDS):
        better = _best_exchange(problem, held, best)
        if better is None:
            break
        held, best = better
    return held


def _longest_first(problem: PlacementProblem, placed: IntArray) -> BoolArray:
    """Place copies by falling mean load on the GPU of their domain that is least loaded for its speed."""
    held = np.zeros((problem.experts, len(problem.slots)), dtype=np.bool_)
    size = problem.probability @ problem.load / np.maximum(placed.sum(axis=1), 1)
    load = np.zeros(len(problem.slots))
    for expert in np.argsort(-size, kind="stable").tolist():
        for domain in np.flatnonzero(placed[expert]).tolist():
            for _ in range(int(placed[expert, domain])):
                free = [
                    gpu
                    for gpu in problem.gpus_of(domain)
                    if not held[expert, gpu] and held[:, gpu].sum() < problem.slots[gpu]
                ]
                if not free:
                    continue
                gpu = min(free, key=lambda g: ((load[g] + size[expert]) / problem.speed[g], g))
                held[expert, gpu] = True
                load[gpu] += size[expert]
    return held


def _score(problem: PlacementProblem, held: BoolArray) -> tuple[float, float]:
    """Cost, then the sum of squares: it tells apart placements whose fullest GPU is the same."""
    load = problem.gpu_load(held) / problem.speed
    return float(problem.probability @ load.max(axis=1)), float(problem.probability @ (load**2).sum(axis=1))


def _best_exchange(
    problem: PlacementProblem, held: BoolArray, best: tuple[float, float]
) -> tuple[BoolArray, tuple[float, float]] | None:
    """Return the best swap or move inside a domain that improves the score, or ``None``."""
    found: tuple[BoolArray, tuple[float, float]] | None = None
    for domain in range(problem.domains):
        for one, two in combinations(problem.gpus_of(domain), 2):
            for candidate in _exchanges(problem, held, one, two):
                score = _score(problem, candidate)
                if _is_better(score, found[1] if found else best):
                    found = candidate, score
    return found


def _is_better(score: tuple[float, float], than: tuple[float, float]) -> bool:
    """Whether a score is lower by more than rounding, the sum of squares counting where the cost is no higher."""
    if score[0] < than[0] * (1 - 1e-12):
        return True
    return score[0] <= than[0] and score[1] < than[1] * (1 - 1e-9)


def _exchanges(problem: PlacementProblem, held: BoolArray, one: int, two: int) -> list[BoolArray]:
    """Return every placement that trades one expert, or hands one over, between two GPUs."""
    only_one = np.flatnonzero(held[:, one] & ~held[:, two]).tolist()
    only_two = np.flatnonzero(held[:, two] & ~held[:, one]).tolist()
    room_one = held[:, one].sum() < problem.slots[one]
    room_two = held[:, two].sum() < problem.slots[two]
    trades = [(a, b) for a in only_one for b in only_two]
    trades += [(a, _NOTHING) for a in only_one if room_two]
    trades += [(_NOTHING, b) for b in only_two if room_one]
    result = []
    for given, taken in trades:
        candidate = held.copy()
        for expert, source, target in ((given, one, two), (taken, two, one)):
            if expert != _NOTHING:
                candidate[expert, source], candidate[expert, target] = False, True
        result.append(candidate)
    return result
