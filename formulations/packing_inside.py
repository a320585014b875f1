"""Put copies that are already assigned to domains on the GPUs of their domain: longest first, then better steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from formulations.placement_problem import BoolArray, IntArray, PlacementProblem

    Change = tuple[int, int, bool]  # expert, gpu, holds it afterwards

_STEPS = 500


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
        in a domain always fits, because a domain is given no more copies than it has slots. The steps after that may
        trade copies of one expert for another's, so the copies per domain can end differently from ``placed``.
    """
    held = _longest_first(problem, placed)
    best = _score(problem, held)
    for _ in range(_STEPS):
        better = _best_step(problem, held, best)
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


def _is_better(score: tuple[float, float], than: tuple[float, float]) -> bool:
    """Whether a score is lower by more than rounding, the sum of squares counting where the cost is no higher."""
    if score[0] < than[0] * (1 - 1e-12):
        return True
    return score[0] <= than[0] and score[1] < than[1] * (1 - 1e-9)


def _best_step(
    problem: PlacementProblem, held: BoolArray, best: tuple[float, float]
) -> tuple[BoolArray, tuple[float, float]] | None:
    """Return the step that improves the score most, or ``None``; only steps that relieve a fullest GPU are tried."""
    load = problem.gpu_load(held) / problem.speed
    found: tuple[BoolArray, tuple[float, float]] | None = None
    for full in sorted(set(load.argmax(axis=1).tolist())):
        for changes in _steps(problem, held, full):
            candidate = held.copy()
            for expert, gpu, holds in changes:
                candidate[expert, gpu] = holds
            score = _score(problem, candidate)
            if _is_better(score, found[1] if found else best):
                found = candidate, score
    return found


def _steps(problem: PlacementProblem, held: BoolArray, full: int) -> Iterator[list[Change]]:
    """Yield changes that may relieve GPU ``full``: swap or hand over inside its domain, or trade copies of experts."""
    copies, used = held.sum(axis=1), held.sum(axis=0)
    here = np.flatnonzero(held[:, full]).tolist()
    for other in problem.gpus_of(int(problem.domain[full])):
        room = used[other] < problem.slots[other]
        there = np.flatnonzero(held[:, other] & ~held[:, full]).tolist()
        for given in (e for e in here if not held[e, other]):
            if room:
                yield [(given, full, False), (given, other, True)]
            yield from ([(given, full, False), (given, other, True), (t, other, False), (t, full, True)] for t in there)
    spare = np.flatnonzero(copies > 1).tolist()
    grow = np.flatnonzero(copies < problem.most_copies).tolist()
    for given in (e for e in here if copies[e] > 1):
        yield [(given, full, False)]
        yield from ([(given, full, False), (e, full, True)] for e in grow if not held[e, full])
    for other in problem.usable_gpus:
        for wanted in (e for e in here if e in grow and not held[e, other]):
            if used[other] < problem.slots[other]:
                yield [(wanted, other, True)]
            yield from ([(e, other, False), (wanted, other, True)] for e in spare if held[e, other])
