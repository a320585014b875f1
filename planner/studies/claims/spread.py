"""C11 and C13: experts over the GPUs of a rack, and how much of their traffic leaves it."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError
from planner.studies.claims.batch import MODEL
from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Input, Values
from planner.studies.claims.common import RACKS, model_named
from planner.topology import crossing

if TYPE_CHECKING:
    from planner.topology.topology import FloatArray, IntArray

_MOST_SLOTS = 20_000
RACK_COUNTS = (2, 3, 4, 8, 18)


def _level_experts(values: Values) -> Finding:
    """Efficiency of a rack whose GPUs share equally loaded experts: mean over largest load, free split."""
    experts = model_named(values.text("model")).routed_experts
    gpus, slots = int(values.number("gpus")), int(values.number("slots"))
    low, high = _largest_load(experts, gpus, slots)
    chosen = {count: _largest_load(experts, 72, count)[1] for count in (4, 5)}
    return Finding(
        computed=experts / gpus / high,
        figures=(
            Figure("largest load", high, "experts"),
            Figure("proven least largest load", low, "experts"),
            Figure("experts a GPU in the mean", experts / gpus, "experts"),
            *(Figure(f"largest load on 72 GPUs of {n} slots", load, "experts") for n, load in chosen.items()),
            Figure("cost of a token over 64 full GPUs", gpus * high / experts),
            Figure("copies beyond one of each", float(gpus * slots - experts), "copies"),
        ),
    )


@cache
def _largest_load(experts: int, gpus: int, slots: int) -> tuple[float, float]:
    """Proven bound, and load reached by the better of two maps with tokens split by the linear program."""
    from planner.strategies.token_split import TokenSplitter

    if not experts <= gpus * slots <= _MOST_SLOTS:
        message = f"{gpus} GPUs of {slots} slots hold fewer than {experts} experts, or more than {_MOST_SLOTS}"
        raise InstanceError.single("command line", "--set", message, "another number of slots or GPUs")
    splitter = TokenSplitter(np.ones(gpus), slots)
    maps = [_whole_map(experts, gpus, slots), _interval_map(experts, gpus, slots)]
    reached = [experts / gpus / splitter.balance(row, np.ones(experts)) for row in maps if row is not None]
    return _counting_bound(experts, gpus, slots), min(reached)


def _whole_map(experts: int, gpus: int, slots: int) -> IntArray:
    """Each expert once, dealt in turn, shape [slot]."""
    row = np.full((gpus, slots), -1, dtype=np.int64)
    expert = np.arange(experts)
    row[expert % gpus, expert // gpus] = expert
    return row.ravel()


def _interval_map(experts: int, gpus: int, slots: int) -> IntArray | None:
    """Experts laid end to end and cut into equal pieces, one a GPU; None where a piece touches too many experts."""
    row = np.full((gpus, slots), -1, dtype=np.int64)
    for gpu in range(gpus):
        touched = np.arange(gpu * experts // gpus, -(-(gpu + 1) * experts // gpus))
        if len(touched) > slots:
            return None
        row[gpu, : len(touched)] = touched
    return row.ravel()


def _counting_bound(experts: int, gpus: int, slots: int) -> float:
    """Least largest load of equal experts for any split of tokens.

    Take m GPUs that hold a split expert; the others hold whole ones only, at most f = floor(load). Copies beyond one of
    each are then at most x = slots m + f (gpus - m) - experts; x of them split at most x experts, with at most 2 x
    copies, so m <= 2 x; and load >= (experts - f (gpus - m)) / m. The least over m is the bound.
    """
    for whole in range(experts // gpus, slots + 1):
        loads = [
            max(float(whole), (experts - whole * (gpus - mixed)) / mixed)
            for mixed in range(1, gpus + 1)
            if mixed <= 2 * (slots * mixed + whole * (gpus - mixed) - experts)
        ]
        if whole * gpus >= experts:
            loads.append(float(whole))
        reachable = [load for load in loads if load < whole + 1]
        if reachable:
            return min(reachable)
    return float(slots)


def _half_crosses(values: Values) -> Finding:
    """Share of tokens with an expert in another rack, beside assignments and de-duplicated sends."""
    model = model_named(values.text("model"))
    experts, drawn, racks = model.routed_experts, int(values.number("experts_per_token")), int(values.number("racks"))
    top = model.experts_per_token
    sends = {units: crossing.distinct_remote_destinations(experts, top, units) for units in (2, 4, 8)}
    shares, sampled = _assignment_shares(experts), _sampled(experts, top)
    least, greatest = _shares_of_random_placements(experts)
    gpus = 2 * 72
    return Finding(
        computed=crossing.token_crossing_share(experts, drawn, racks),
        figures=(
            *(Figure(f"share of assignments, {units} racks", share) for units, share in shares.items()),
            Figure("same on two racks without a GPU's own traffic", shares[2] * gpus / (gpus - 1)),
            Figure("least share over 50 placements and loads", least),
            Figure("greatest share over 50 placements and loads", greatest),
            Figure("share of tokens, top-8", crossing.token_crossing_share(experts, 8, 2)),
            Figure("share of tokens, top-2", crossing.token_crossing_share(experts, 2, 2)),
            *(Figure(f"sends a token, {units} racks, each rack once", sent) for units, sent in sends.items()),
            *(
                Figure(f"saved by sending once, {units} racks", shares[units] * top / sent, "times")
                for units, sent in sends.items()
            ),
            Figure("share of assignments on two racks, sampled", sampled[2].assignment_share),
            Figure("share of tokens on two racks, sampled", sampled[2].token_share),
            Figure("sends a token on four racks, sampled", sampled[4].sends_per_token),
            *(Figure(name, value, "sends a token") for name, value in _communities().items()),
        ),
    )


def _random_load(experts: int, seed: int) -> FloatArray:
    return np.random.default_rng(seed).lognormal(0.0, 1.0, experts)


@cache
def _assignment_shares(experts: int) -> dict[int, float]:
    """Share of assignments that leave their rack by number of racks, for a contiguous placement and a skewed load."""
    found = {}
    for racks in RACK_COUNTS:
        copies = np.eye(racks, dtype=np.int64)[np.arange(experts) * racks // experts]
        found[racks] = crossing.assignment_crossing_share(copies, _random_load(experts, racks))
    return found


@cache
def _shares_of_random_placements(experts: int) -> tuple[float, float]:
    """Least and greatest share over placements drawn at random on two racks, with random loads (T7: all alike)."""
    draw = np.random.default_rng(7)
    shares = [
        crossing.assignment_crossing_share(
            np.eye(2, dtype=np.int64)[draw.integers(2, size=experts)], _random_load(experts, seed)
        )
        for seed in range(50)
    ]
    return min(shares), max(shares)


@cache
def _sampled(experts: int, drawn: int) -> dict[int, crossing.CrossingShares]:
    """Crossing of 20,000 tokens that draw distinct experts at random, on two and on four racks."""
    draw = np.random.default_rng(13)
    routing = np.argpartition(draw.random((20_000, experts)), drawn, axis=1)[:, :drawn]
    return {
        racks: crossing.routed_crossing(
            routing, np.arange(experts) % racks, draw.integers(racks, size=len(routing)), racks
        )
        for racks in (2, 4)
    }


@cache
def _communities() -> dict[str, float]:
    """Count sends of 16 experts, two a token, on two racks: two communities that keep 90 % of the tokens, or none."""
    from formulations.dedup_crossing import DedupCrossing, DedupCrossingProblem
    from planner.solver.highs import solve_pyomo
    from planner.solver.options import SolveOptions

    pairs = np.array(list(itertools.combinations(range(16), 2)))
    community = np.repeat([0, 1, 0], [6, 8, 2])  # experts of a community are not neighbours in number
    together = community[pairs[:, 0]] == community[pairs[:, 1]]
    clustered, uniform = (
        DedupCrossingProblem(pairs, weight, np.array([8, 8]), np.array([0.5, 0.5]))
        for weight in (np.where(together, 0.9 / together.sum(), 0.1 / (~together).sum()), np.ones(len(pairs)))
    )
    proven = [
        float(solve_pyomo(DedupCrossing().build(case).model, SolveOptions(gap=0.0, threads=1)).objective or 0.0)
        for case in (clustered, uniform)
    ]
    draw = np.random.default_rng(0)
    random = [clustered.sends_per_token(draw.permutation(16) // 8) for _ in range(300)]
    return {
        "two communities, best placement": proven[0],
        "two communities, contiguous": clustered.sends_per_token(np.arange(16) // 8),
        "two communities, mean of random placements": float(np.mean(random)),
        "uniform pairs, best placement": proven[1],
    }


CLAIMS = (
    Claim(
        id="C11",
        topic="racks",
        statement="256 experts spread over the 72 GPUs of a rack match the topology perfectly.",
        equation="efficiency = (E / G) / largest load",
        quantity="mean over largest load of a GPU",
        unit="",
        printed=1.0,
        inputs=(
            MODEL,
            Input("gpus", 72.0, "GPUs", "GPUs of the rack", whole=True),
            Input("slots", 4.0, "experts", "experts that a GPU holds, copies included", whole=True),
        ),
        compute=_level_experts,
        acceptance=(
            Acceptance("largest load", 4.0, absolute=1e-9),
            Acceptance("proven least largest load", 4.0, absolute=1e-9),
            Acceptance("largest load on 72 GPUs of 4 slots", 4.0, absolute=1e-3),
            Acceptance("largest load on 72 GPUs of 5 slots", 3.5556, absolute=1e-3),
            Acceptance("proven least largest load", 3.5556, absolute=1e-3, given={"slots": 5.0}),
            Acceptance("largest load", 4.0, absolute=1e-9, given={"gpus": 64.0}),
            Acceptance("cost of a token over 64 full GPUs", 1.125, absolute=1e-6),
        ),
        agree=0.005,
        rounded=1.005,
        why="256 over 72 is not whole: the fullest GPU holds 4, as 64 GPUs would, and 32 copies more do not help. Five "
        "slots a GPU level it. 64 of the 72 GPUs are used in fact.",
    ),
    Claim(
        id="C13",
        topic="racks",
        statement="With the experts on two racks, half of the tokens cross.",
        equation="assignments: (R - 1) / R; tokens: 1 - C(E/R, k) / C(E, k)",
        quantity="share of tokens with an expert in another rack",
        unit="",
        printed=0.5,
        inputs=(
            MODEL,
            RACKS,
            Input("experts_per_token", 8.0, "experts", "routed experts of a token; DeepSeek V3 has 8", whole=True),
        ),
        compute=_half_crosses,
        acceptance=(
            *(
                Acceptance(f"share of assignments, {racks} racks", (racks - 1) / racks, absolute=1e-9)
                for racks in RACK_COUNTS
            ),
            Acceptance("same on two racks without a GPU's own traffic", 0.5035, absolute=1e-4),
            Acceptance("least share over 50 placements and loads", 0.5, absolute=1e-9),
            Acceptance("greatest share over 50 placements and loads", 0.5, absolute=1e-9),
            Acceptance("share of tokens, top-8", 0.9965, absolute=1e-4),
            Acceptance("share of tokens, top-2", 0.75098, absolute=1e-4),
            Acceptance("sends a token, 2 racks, each rack once", 0.9965, absolute=1e-4),
            Acceptance("sends a token, 4 racks, each rack once", 2.711, absolute=1e-3),
            Acceptance("sends a token, 8 racks, each rack once", 4.633, absolute=1e-3),
            Acceptance("saved by sending once, 2 racks", 4.01, absolute=0.01),
            Acceptance("saved by sending once, 4 racks", 2.21, absolute=0.01),
            Acceptance("saved by sending once, 8 racks", 1.51, absolute=0.01),
            Acceptance("share of assignments on two racks, sampled", 0.5, relative=0.01),
            Acceptance("share of tokens on two racks, sampled", 0.9965, relative=0.01),
            Acceptance("sends a token on four racks, sampled", 2.711, relative=0.01),
            Acceptance("two communities, best placement", 0.55, absolute=1e-6),
            Acceptance("two communities, contiguous", 0.7241, absolute=1e-4),
            Acceptance("two communities, mean of random placements", 0.7649, relative=0.01),
            Acceptance("uniform pairs, best placement", 0.76667, absolute=1e-5),
        ),
        why="Half of the assignments of tokens to experts cross. Of the tokens 99.65 % have one that does, since each "
        "has eight experts; sent to a rack once, they make a quarter of the traffic.",
    ),
)
