"""Deferred work fills the valley of a day: closed forms, and a level found by bisection."""

from __future__ import annotations

import numpy as np
import pytest

from formulations.valley_filling import ValleyFilling, ValleyProblem
from planner.errors import InstanceError
from planner.solver.highs import solve_lp_relaxation, solve_pyomo
from planner.solver.matrix import compile_pyomo

DAY = 226.75 + (278.0 - 226.75) * np.sin(2 * np.pi * np.arange(24) / 24)
"""DeepSeek's fleet (mean and peak nodes of its published day) as a sine."""


@pytest.mark.parametrize(("share", "fleet"), [(0.0, 278.0), (0.05, 264.1), (0.1, 250.2), (0.184, 226.9), (0.3, 226.75)])
def test_the_fleet_of_the_dossier(share: float, fleet: float) -> None:
    """Claims dossier, C8: nodes when 0, 5, 10, 18.4 and 30 % of the work may wait."""
    built = ValleyFilling().build(ValleyProblem((1 - share) * DAY, share * float(DAY.sum())))
    assert solve_pyomo(built.model).objective == pytest.approx(fleet, abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_water_level(seed: int) -> None:
    """The fleet is the larger of the peak and the level at which the free room of the hours equals the work."""
    draw = np.random.default_rng(seed)
    work, volume = draw.uniform(0, 10, 7), float(draw.uniform(0, 60))
    low, high = 0.0, float(work.max() + volume)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(middle - work, 0).sum() < volume else (low, middle)
    built = ValleyFilling().build(ValleyProblem(work, volume))
    expected = max(high, float(work.max()))
    assert solve_pyomo(built.model).objective == pytest.approx(expected, rel=1e-7)
    deferred = built.extract()
    assert deferred.sum() == pytest.approx(volume)
    assert (work + deferred).max() <= expected * (1 + 1e-7)


def test_the_relaxation_is_the_program() -> None:
    """Without integers the relaxation is the optimum: three hours of 3, 1, 1 and 4 that waits make 3."""
    model = ValleyFilling().build(ValleyProblem(np.array([3.0, 1.0, 1.0]), 4.0)).model
    assert solve_lp_relaxation(compile_pyomo(model).matrix).objective == pytest.approx(3.0)


def test_bad_data_is_refused_all_at_once() -> None:
    """No hours, and work that is not a number."""
    with pytest.raises(InstanceError) as caught:
        ValleyProblem(np.array([]), float("nan"))
    assert {entry.key for entry in caught.value.problems} == {"interactive", "deferrable"}
