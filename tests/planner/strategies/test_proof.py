from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from shared_loads import DENSE_LAYERS, deepseek_load, needs_shared_data

from planner.exchange.maps import duplicates
from planner.strategies.api import place, run
from planner.strategies.layer_proof import LayerProof
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort, prove
from planner.strategies.result import gpu_load, imbalance

LOAD = np.random.default_rng(2).lognormal(0.0, 1.2, (1, 3, 20))
REQUEST = PlacementRequest(LOAD, 12, 2)


def test_proof_leaves_the_maps_of_other_strategies_alone() -> None:
    """EPLB's map is judged, not improved: same slots and balance, a lower bound than the fast one."""
    plain = run(REQUEST, "eplb")
    proven = run(REQUEST, "eplb", Effort(0.0, time.perf_counter() + 20.0, integer=True))
    assert np.array_equal(proven.physical_to_logical_map, plain.physical_to_logical_map)
    assert (proven.bound <= plain.bound).all()
    assert proven.bound.sum() < plain.bound.sum() * 0.99
    assert (proven.balance <= proven.bound * (1 + 1e-9)).all()


def test_integer_programs_close_small_layers() -> None:
    """Twenty experts on 12 x 2: search and program meet within 0.1 % on every layer, no copy doubled."""
    result = run(REQUEST, "local_search", Effort(1e-3, time.perf_counter() + 30.0, integer=True))
    assert result.gap.max() <= 1e-3
    assert duplicates(result.physical_to_logical_map, 12) == []


def test_the_bound_holds_for_every_strategy_and_seed() -> None:
    """The proven bound of one run is above the balance of any other run."""
    bound = run(REQUEST, "contiguous", Effort(0.0)).bound
    for strategy in ("round_robin", "eplb", "local_search"):
        assert (run(REQUEST, strategy).balance <= bound * (1 + 1e-9)).all()
    for seed in range(3):
        assert (place(LOAD, 12, 2, seed=seed).balance <= bound * (1 + 1e-9)).all()


def test_several_scenarios_are_bounded_one_by_one() -> None:
    """The bound on the mean balance is the mean of the scenarios' own bounds."""
    load = np.stack([LOAD[0], LOAD[0][:, ::-1]])
    both = run(PlacementRequest(load, 12, 2), "contiguous", Effort(0.0)).bound
    each = [run(PlacementRequest(part[None], 12, 2), "contiguous", Effort(0.0)).bound for part in load]
    assert both.tolist() == pytest.approx(np.mean(each, axis=0).tolist(), rel=3e-4)


def test_other_rules_are_not_claimed() -> None:
    """Unequal speeds, unequal slots and nearest dispatch keep the fast bound: the companion argument needs equality."""
    for options in (
        {"speed": np.linspace(1.0, 2.0, 12)},
        {"slots_per_gpu": np.r_[3, np.full(11, 2)]},
        {"gpus_per_node": 4, "dispatch": "nearest"},
    ):
        request = PlacementRequest(**({"load": LOAD, "gpus": 12, "slots_per_gpu": 2} | options))  # type: ignore[arg-type]
        plain = run(request, "contiguous")
        assert prove(request, plain, Effort(0.0)) is plain


def test_without_time_nothing_is_proven() -> None:
    """A deadline that has passed: the fast bound, at once, and a valid result."""
    plain = run(REQUEST, "contiguous")
    late = prove(REQUEST, plain, Effort(0.0, time.perf_counter() - 1.0, integer=True))
    assert late.bound.tolist() == pytest.approx(plain.bound.tolist())


def test_an_interrupt_keeps_what_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the second layer: the first keeps its tight bound, the result says that it was interrupted."""
    whole = LayerProof.raise_bound
    calls = []

    def interrupt(self: LayerProof, low: float, *limits: float) -> float:
        if calls:
            raise KeyboardInterrupt
        calls.append(low)
        return whole(self, low, *limits)

    request = replace(REQUEST, workers=1)
    plain = run(request, "contiguous")
    monkeypatch.setattr(LayerProof, "raise_bound", interrupt)
    result = prove(request, plain, Effort(0.0))
    assert result.interrupted
    assert (result.bound < plain.bound * (1 - 1e-6)).sum() == 1


def test_progress_counts_the_layers() -> None:
    """Every open layer is announced in order, first for the linear programs."""
    told: list[tuple[str, int, int]] = []
    prove(REQUEST, run(REQUEST, "contiguous"), Effort(0.0), progress=lambda *step: told.append(step))
    assert told == [("linear bounds", layer, 3) for layer in range(3)]


class TestMeasured:
    pytestmark = needs_shared_data

    def test_linear_programs_leave_a_fifth_of_a_percent(self) -> None:
        """prefill_in4096 on 144 x 2, every third layer: gap at most 0.25 % on average."""
        load = deepseek_load("prefill_in4096")[DENSE_LAYERS:][None, ::3]
        result = run(PlacementRequest(load, 144, 2), "local_search", Effort(1e-3))
        assert result.gap.mean() <= 0.0025

    def test_integer_programs_close_measured_layers(self) -> None:
        """Eight layers of 144 x 2 that the linear programs leave open close to 0.1 %."""
        load = deepseek_load("prefill_in4096")[DENSE_LAYERS:][None, [3, 11, 12, 15, 24, 33, 35, 43]]
        effort = Effort(1e-3, time.perf_counter() + 120.0, integer=True)
        result = run(PlacementRequest(load, 144, 2), "local_search", effort)
        assert result.gap.max() <= 1e-3 * (1 + 1e-6)

    def test_better_counts_are_taken_into_the_map(self) -> None:
        """Layer 43 on 96 x 3: 0.884 by search alone, 0.886 with the program's counts, bound 0.892."""
        load = deepseek_load("prefill_in4096")[DENSE_LAYERS:][None, [43]]
        request = PlacementRequest(load, 96, 3)
        result = run(request, "local_search", Effort(2e-3, time.perf_counter() + 120.0, integer=True))
        assert result.balance[0] >= 0.886
        assert result.bound[0] <= 0.892
        placed = gpu_load(result.physical_to_logical_map, load, 96)
        assert 1 / imbalance(placed)[0, 0] == pytest.approx(result.balance[0])
        assert duplicates(result.physical_to_logical_map, 96) == []
