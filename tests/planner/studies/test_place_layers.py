"""Layers placed by tasks of an engine give the map and the bounds of one run."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import SolverError
from planner.strategies.api import run
from planner.strategies.problem import PlacementRequest
from planner.strategies.proof import Effort
from planner.studies import place_layers
from planner.studies.engine import Engine

LOAD = np.random.default_rng(3).lognormal(0.0, 0.6, (2, 7, 32))
LOAD[:, [0, 4]] = 0.0
REQUEST = PlacementRequest(LOAD, gpus=8, slots_per_gpu=5, scenario_weights=np.array([3.0, 1.0]))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("strategy", ["local_search", "eplb"])
def test_the_map_is_that_of_one_run(workers: int, strategy: str) -> None:
    """Two scenarios, two dense layers: map, balance, bounds and risk, for any number of workers."""
    whole = run(REQUEST, strategy, Effort(1e-3))
    told: list[tuple[str, int, int]] = []
    parts = place_layers.place_layers(
        REQUEST, strategy, Effort(1e-3), Engine("processes", workers), lambda *step: told.append(step)
    )
    assert (parts.physical_to_logical_map == whole.physical_to_logical_map).all()
    for name in ("balance", "bound", "risk", "risk_bound", "imbalance", "scenario_balance"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name))
    assert told[-1] == ("place", 5, 5)


def test_a_lost_task_is_an_error() -> None:
    """A layer that no worker placed must not become a made-up one."""

    class Broken(Engine):
        def run(self, job: object, tasks: object, died: object) -> object:  # type: ignore[override]
            yield {"layers": [1], "fault": "its worker died"}

    with pytest.raises(SolverError, match=r"layers \[1\] were not placed"):
        place_layers.place_layers(REQUEST, "eplb", None, Broken())


def test_an_unknown_backend_is_refused() -> None:
    """Told with the other faults of the command line."""
    refused = CliRunner().invoke(app, ["place", "--gpus", "0", "--backend", "smoke"])
    assert refused.exit_code == 2
    assert "--backend: no backend 'smoke' (one of threads, ray)" in refused.stderr
    assert "--gpus" in refused.stderr
