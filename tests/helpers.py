"""Brute force for tiny placement problems, sharing no code with the formulations, and the reader of the tiny cases."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from formulations.placement_problem import PlacementProblem

TINY = Path(__file__).parents[1] / "instances" / "tiny"
Assignment = list[tuple[int, ...]]  # the GPUs of each expert


@dataclass(frozen=True)
class TinyCase:
    """A problem with its enumerated optima, tokens: ``even`` or ``nearest`` split, and ``free`` split."""

    name: str
    problem: PlacementProblem
    optimum: dict[str, float]
    enumerable: bool


def tiny_placements() -> list[TinyCase]:
    """Read every ``instances/tiny/placement_*.toml``."""
    return [_read(path) for path in sorted(TINY.glob("placement_*.toml"))]


def _read(path: Path) -> TinyCase:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    fields: dict[str, Any] = data["problem"]
    kinds = {"slots": np.int64, "domain": np.int64, "max_copies": np.int64}
    problem = PlacementProblem(**{key: np.array(value, dtype=kinds.get(key, float)) for key, value in fields.items()})
    optimum = {split: data["optimum"][split] for split in ("even", "nearest", "free") if split in data["optimum"]}
    return TinyCase(path.stem, problem, optimum, data["optimum"]["seconds"] < 2)


def enumerated_optimum(problem: PlacementProblem, split: str) -> tuple[float, Assignment]:
    """Try every placement and return the least expected largest load over speed, with a placement that has it.

    ``split``: "even" over copies; "nearest" copies first; or "free" in each scenario. Expert by expert, heaviest first,
    every set of GPUs is tried; sets that differ only by a permutation of GPUs in the same state are tried once, and a
    branch ends where the loads so far already reach the best cost, because no load shrinks when an expert is added.
    """
    search = _Search(problem, split)
    search.place(0, [()] * problem.experts, problem.slots.tolist())
    assert search.best_at is not None
    return search.best, search.best_at


class _Search:
    def __init__(self, problem: PlacementProblem, split: str) -> None:
        self.split = split
        self.load, self.probability = problem.load.tolist(), problem.probability.tolist()
        self.speed, self.domain = problem.speed.tolist(), problem.domain.tolist()
        self.share = None if problem.source_share is None else problem.source_share.tolist()
        self.limit = [problem.experts * len(self.speed)] * problem.experts
        if problem.max_copies is not None:
            self.limit = problem.max_copies.tolist()
        self.order = np.argsort(-problem.load.sum(axis=0), kind="stable").tolist()
        self.best, self.best_at = float("inf"), None

    def place(self, depth: int, placed: Assignment, free: list[int]) -> None:
        if depth == len(self.order):
            cost = self.cost(placed)
            if cost < self.best - 1e-12:
                self.best, self.best_at = cost, list(placed)
            return
        expert = self.order[depth]
        waiting = len(self.order) - depth - 1
        for gpus in self.choices(placed, free, self.limit[expert]):
            if sum(free) - len(gpus) < waiting:
                continue
            placed[expert] = gpus
            if self.cost(placed) < self.best - 1e-12:
                left = [slots - (gpu in gpus) for gpu, slots in enumerate(free)]
                self.place(depth + 1, placed, left)
            placed[expert] = ()

    def choices(self, placed: Assignment, free: list[int], most: int) -> list[tuple[int, ...]]:
        """Return sets of GPUs with a free slot, one for each way to count GPUs of the same state."""
        state: dict[tuple[object, ...], list[int]] = {}
        for gpu in range(len(free)):
            if free[gpu]:
                holds = tuple(e for e, gpus in enumerate(placed) if gpu in gpus)
                key = (free[gpu], holds, self.speed[gpu], self.domain[gpu] if self.share else 0)
                state.setdefault(key, []).append(gpu)
        groups = list(state.values())
        counts = product(*(range(len(group) + 1) for group in groups))
        picks = [sum((tuple(g[:c]) for g, c in zip(groups, count, strict=True)), ()) for count in counts]
        return [pick for pick in picks if 1 <= len(pick) <= most]

    def cost(self, placed: Assignment) -> float:
        of_scenario = self.largest_free if self.split == "free" else self.largest_fixed
        return sum(p * of_scenario(load, placed) for p, load in zip(self.probability, self.load, strict=True))

    def largest_fixed(self, load: list[float], placed: Assignment) -> float:
        """Largest load over speed with an even split, or with the copies of the own domain first."""
        tokens = [0.0] * len(self.speed)
        for expert, gpus in enumerate(placed):
            if not gpus:
                continue
            sources = [(1.0, gpus)]
            if self.split == "nearest":
                local = [tuple(g for g in gpus if self.domain[g] == d) for d in range(len(self.share))]
                sources = [(share, near or gpus) for share, near in zip(self.share, local, strict=True)]
            for share, served in sources:
                for gpu in served:
                    tokens[gpu] += load[expert] * share / len(served)
        return max(t / s for t, s in zip(tokens, self.speed, strict=True))

    def largest_free(self, load: list[float], placed: Assignment) -> float:
        """Largest load over speed with the best split.

        It is the largest, over sets of experts, of their load over the summed speed of the GPUs that hold any: max-flow
        min-cut from experts to GPUs; no linear program involved.
        """
        known = [expert for expert, gpus in enumerate(placed) if gpus]
        worst = 0.0
        for size in range(1, len(known) + 1):
            for group in combinations(known, size):
                reach = {gpu for expert in group for gpu in placed[expert]}
                worst = max(worst, sum(load[e] for e in group) / sum(self.speed[gpu] for gpu in reach))
        return worst
