"""The small version of tests/bench/test_placement_table.py that every change runs: generated loads, no files needed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from planner.exchange.maps import duplicates
from planner.strategies import STRATEGIES
from planner.strategies.api import run
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort, prove


def generated(experts: int, layers: int) -> np.ndarray:
    """Lognormal loads, s = 0.6, shape [1, layer, expert]."""
    return np.random.default_rng(experts).lognormal(0.0, 0.6, (1, layers, experts))


@pytest.mark.parametrize(
    ("experts", "gpus", "slots", "layers", "gap"),
    [
        (64, 8, 9, 4, 0.0005),
        (128, 64, 3, 4, 0.003),
        (256, 72, 4, 8, 0.0015),
        (256, 288, 2, 4, 0.008),
        (512, 512, 3, 1, 0.001),
        (1024, 576, 2, 1, 0.004),
        (1024, 2304, 3, 1, 0.001),
    ],
)
def test_growth_keeps_quality_and_time(experts: int, gpus: int, slots: int, layers: int, gap: float) -> None:
    """64 to 1,024 experts, 8 to 2,304 GPUs: near the proven bound, better than EPLB, under 10 s a layer (CPU)."""
    request = PlacementRequest(generated(experts, layers), gpus, slots)
    began = time.process_time()
    search = run(request, "local_search")
    assert (time.process_time() - began) / layers <= 10.0
    proven = prove(request, search, Effort(1e-3, time.perf_counter() + 5.0))
    assert 1.0 - (search.balance / proven.bound).mean() <= gap
    assert search.balance.mean() > STRATEGIES["eplb"].place(request).balance.mean()
    assert duplicates(search.physical_to_logical_map, gpus) == []


def test_a_plan_for_related_workloads_beats_the_baselines() -> None:
    """Four workloads that share half their spread, 24 x 6: ours over the greedy, the greedy over EPLB."""
    draw = np.random.default_rng(11)
    common = draw.normal(0.0, 0.5, (1, 6, 96))
    load = np.exp(common + draw.normal(0.0, 0.5, (5, 6, 96)))
    seen = PlacementRequest(load[:4], 24, 6)
    balance = {name: run(seen, name).scenario_balance for name in ("eplb", "multi_scenario_greedy", "local_search")}
    assert balance["local_search"].mean() > balance["multi_scenario_greedy"].mean() + 0.02
    assert balance["multi_scenario_greedy"].mean() > balance["eplb"].mean() + 0.02
    assert balance["local_search"].min() > balance["multi_scenario_greedy"].min()


def test_58_layers_take_a_second_on_two_cores() -> None:
    """256 experts on 72 x 4 and on 144 x 2: at most 2 s of CPU for the search of 58 layers, once compiled."""
    load = generated(256, 58)
    for gpus, slots in ((72, 4), (144, 2)):
        request = PlacementRequest(load, gpus, slots)
        run(PlacementRequest(load[:, :1], gpus, slots), "local_search")
        began = time.process_time()
        run(request, "local_search")
        assert time.process_time() - began <= 2.0
