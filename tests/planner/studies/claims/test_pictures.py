"""Series behind the figures of the ledger's page: known points and bends."""

from __future__ import annotations

import json

import numpy as np
import pytest

from planner.studies.claims import pictures
from planner.studies.claims.ledger import CLAIMS


def test_every_series_is_plain_numbers() -> None:
    """Ten series, all of which JSON can hold: no NaN, no infinity, no array."""
    crossing = CLAIMS["C13"]
    series = pictures.pictures(crossing.compute(crossing.values()))
    assert len(series) == 10
    assert json.loads(json.dumps(series, allow_nan=False)) == series


def test_curves_against_the_batch_bend_at_their_marks() -> None:
    """DeepSeek V3 on NVL72: the kink at B* = 281.25 x 671 / 37 without context, twice that at half the crossover."""
    series = pictures.cost_by_batch("deepseek-v3", "nvl72_nominal")
    kinks = [curve["kink"] for curve in series["curves"]]
    assert kinks == pytest.approx([5100.5, 5100.5 / 0.75, 10201.0], rel=1e-4)
    for curve in series["curves"]:
        costs, flat = np.array(curve["cost"]), np.array(series["batch"]) >= curve["kink"]
        assert curve["kink_cost"] == pytest.approx(1.0)
        assert np.all(costs[flat] == 1.0)
        assert np.all(np.diff(costs[~flat]) < 0)


def test_the_menu_passes_the_public_point() -> None:
    """S = 2.8: nothing extra at price 1, 2.5 times the speed at price 6, 2.78 at price 100."""
    series = pictures.price_speed_menu(6.0, 2.5)
    speeds = np.interp([1.0, 6.0, 100.0], series["price"], series["speed"])
    assert speeds == pytest.approx([1.0, 2.5, 2.782], abs=0.01)
    assert series["fastest_if_arithmetic_binds"] == pytest.approx(2.5)


def test_cost_climbs_from_the_step_on() -> None:
    """Flat up to 200k tokens, 1.5 times at 300k and 5 times at 1 M in a large batch; prices step to 1.5 and 2."""
    series = pictures.cost_by_context("gemini-3.1-pro", batch=2.5)
    costs = np.interp([1e5, 2e5, 3e5, 1e6], series["context"], series["cost_large_batch"])
    assert costs == pytest.approx([1.0, 1.0, 1.5, 5.0])
    usual = np.interp([2e5, 1e6], series["context"], series["cost_at_batch"])
    assert usual == pytest.approx([1.0, 0.4 + 5.0 * 0.6])
    assert series["price_steps"] == {"output": 1.5, "input": 2.0}


def test_tiers_take_over_where_the_dossier_says() -> None:
    """GPU memory up to 22 ms, CPU memory to 16.7 s, flash to 5,615 s, then disk (seed claims, C22)."""
    series = pictures.cost_by_hold_time("deepseek-v3", "b200_nominal", usd_per_gpu_hour=2.0)
    assert [entry["name"] for entry in series["cheapest"]] == ["hbm", "ddr", "flash", "disk"]
    assert [entry["from_s"] for entry in series["cheapest"]] == pytest.approx([0.0, 0.022, 16.7, 5615.0], rel=0.02)


def test_over_training_rises_with_demand() -> None:
    """More tokens served, more tokens trained on; about 100 times the rule at the talk's demand under Hoffmann."""
    series = pictures.overtraining_by_demand(100e9, 200e12, 3.0)
    for factors in series["overtraining"].values():
        assert np.all(np.diff(factors) > 0)
    at_talk = np.interp(259.2e12, series["demand"], series["overtraining"]["hoffmann"])
    assert at_talk == pytest.approx(106, rel=0.03)
