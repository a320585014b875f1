"""The cache program against every choice tried, and its relaxation."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cache_helpers import small_cache

from formulations import get
from formulations.cache_tiers import CacheProblem
from planner.errors import FormulationError, InstanceError
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions

if TYPE_CHECKING:
    from planner.costs.cache_tables import CacheOption, CacheTables

EXACT = SolveOptions(gap=0.0)
TIERS = (
    ("hbm", math.inf, math.inf, 0.0, 0),
    ("ddr", 10e9, 40e9, 0.3, 2),
    ("flash", 40e9, 8e9, 0.2, 3),
)


def least_cost(problem: CacheProblem) -> float:
    """Try every option of every prefix, none among them, with as few devices as hold and move it."""
    cache, best = problem.cache, math.inf
    ways = [[None, *(o for o in cache.options if o.prefix == i)] for i in range(len(cache.prefix_names))]
    for chosen in itertools.product(*ways):
        devices = _devices(cache, [option for option in chosen if option is not None])
        held = sum(o.held_bytes for o in chosen if o is not None and cache.tier_names[o.tier] == "hbm")
        if held > problem.spare_hbm_bytes or any(
            count > cache.devices_per_host[t] * problem.hosts for t, count in devices.items()
        ):
            continue
        cost = sum(count * cache.usd_per_device[t] for t, count in devices.items())
        for i, option in enumerate(chosen):
            uses = cache.uses_per_s[i] - (0.0 if option is None else option.hits_per_s)
            cost += uses * problem.prefill_s[i] * problem.usd_per_prefill_s * problem.horizon_s
        best = min(best, cost)
    return best


def _devices(cache: CacheTables, chosen: list[CacheOption]) -> dict[int, int]:
    needed = {}
    for t, name in enumerate(cache.tier_names):
        if name != "hbm":
            held = sum(o.held_bytes for o in chosen if o.tier == t) / cache.capacity_bytes[t]
            moved = sum(o.moved_bytes_per_s for o in chosen if o.tier == t) / cache.bytes_per_s[t]
            needed[t] = math.ceil(max(held, moved) - 1e-12)
    return needed


def drawn(seed: int) -> CacheProblem:
    """Draw three kinds of prefixes on three tiers, with prices at which every place is worth it somewhere."""
    draw = np.random.default_rng(seed)
    kinds = tuple(
        (float(draw.uniform(0.2e9, 3e9)), float(draw.integers(1, 15)), float(draw.uniform(0.5, 20)), share)
        for share in (1.0, 0.9, 0.5)
    )
    usd = float(10 ** draw.uniform(-6, -3))
    return CacheProblem(small_cache(kinds, tiers=TIERS), float(draw.integers(1, 4)), 8e9, (1.0, 0.5, 2.0), usd)


@pytest.mark.parametrize("seed", range(12))
def test_same_optimum_as_every_choice_tried(seed: int) -> None:
    """Of all 7^3 choices none is cheaper than the program's, and it reaches the cheapest."""
    problem = drawn(seed)
    built = get("cache_tiers").build(problem)
    assert solve_pyomo(built.model, EXACT).objective == pytest.approx(least_cost(problem), rel=1e-6)
    assert built.extract().cost_usd == pytest.approx(least_cost(problem), rel=1e-6)


RECORDED = {0: 0.27584, 1: 0.33732, 2: 0.38088}
"""Dollars an hour of the relaxation: a change may lift it, never lower it."""


@pytest.mark.parametrize("seed", RECORDED)
def test_relaxation_is_no_looser_than_recorded(seed: int) -> None:
    """The relaxation is at least the recorded value and at most the enumerated optimum."""
    problem = drawn(seed)
    relaxed = solve_lp_relaxation(compile_pyomo(get("cache_tiers").build(problem).model).matrix).objective
    assert relaxed is not None
    assert RECORDED[seed] * (1 - 1e-3) <= relaxed <= least_cost(problem) * (1 + 1e-9)


def test_second_use_pays_where_room_is_dear() -> None:
    """Half of the prefixes die after one use: 3 GB of HBM hold the 2 GB used twice, not all 4 GB."""
    cache = small_cache(((0.4e9, 10.0, 5.0, 0.5),), tiers=TIERS[:1])
    built = get("cache_tiers").build(CacheProblem(cache, 1.0, 3e9, (1.0,), 1.0))
    solve_pyomo(built.model, EXACT)
    assert built.extract().kept == {(0, 0, "second_use"): 1.0}


def test_spread_over_tiers_is_never_dearer() -> None:
    """A kind that may be split fills HBM first: 3 of 20 GB there, the rest on flash, no dearer than whole."""
    whole, split = (CacheProblem(small_cache(whole=whole), 1.0, 3e9, (2.0,), 0.01) for whole in (True, False))
    costs = [solve_pyomo(get("cache_tiers").build(problem).model, EXACT).objective for problem in (whole, split)]
    assert costs[0] is not None
    assert costs[1] is not None
    assert costs[1] <= costs[0] * (1 + 1e-9)


def test_nothing_to_choose_and_wrong_figures_are_refused() -> None:
    """Without a tier the program says so; negative and missing figures are named together."""
    none = CacheProblem(small_cache(tiers=()), 1.0, 0.0, (1.0,), 1.0)
    with pytest.raises(FormulationError, match="no tier may hold"):
        get("cache_tiers").build(none)
    with pytest.raises(InstanceError, match="hosts") as caught:
        CacheProblem(small_cache(), -1.0, 0.0, (), 1.0)
    assert len(caught.value.problems) == 2
