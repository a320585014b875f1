"""How long a sweep takes on other machines: closed forms, bounds of list scheduling, and what is refused."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app
from planner.errors import InstanceError
from planner.studies.sweeps.cluster import Cluster, makespan_s, parse_cluster, plan_cluster
from planner.studies.sweeps.table import ROWS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("points", [1, 7, 8, 9, 200])
@pytest.mark.parametrize("workers", [1, 2, 8, 300])
def test_equal_points_take_whole_rounds(points: int, workers: int) -> None:
    """P points of t seconds on W workers: start + ceil(P / W) t."""
    cluster = Cluster(1, workers, start_s=10.0, handover_s=0.0)
    assert makespan_s([2.5] * points, cluster) == pytest.approx(10.0 + math.ceil(points / workers) * 2.5)


def test_many_small_points_wait_for_the_driver() -> None:
    """Where handing over takes longer than the workers need, the last point ends P h + t after the start."""
    assert makespan_s([0.5] * 1000, Cluster(100, 8, start_s=0.0, handover_s=0.02)) == pytest.approx(1000 * 0.02 + 0.5)


def test_list_scheduling_lies_between_its_bounds() -> None:
    """At least the mean work and the longest point, at most (2 - 1/W) times the larger (Graham 1966)."""
    seconds = np.random.default_rng(0).lognormal(1.0, 0.8, 200).tolist()
    for workers in (2, 16, 800):
        least = max(math.fsum(seconds) / workers, max(seconds))
        wall = makespan_s(seconds, Cluster(1, workers, start_s=0.0, handover_s=0.0))
        assert least <= wall + 1e-9
        assert wall <= (2 - 1 / workers) * least + 1e-9


def test_missing_points_are_taken_to_be_like_the_measured() -> None:
    """Two of four points measured, 1 s and 3 s: 8 s of work; node-hours cost their price."""
    rows = [{"seconds": 1.0}, {"seconds": 3.0}, {"seconds": None}]
    plan = plan_cluster(rows, 4, Cluster(2, 1, start_s=0.0, handover_s=0.0, usd_per_node_hour=36.0))
    assert (plan["one_worker_s"], plan["measured_points"], plan["workers"]) == (8.0, 2, 2)
    assert plan["wall_s"] == 5.0  # 1, 1 and 3 s on one worker, 3 s on the other
    assert plan["usd"] == pytest.approx(36.0 * 2 * plan["wall_s"] / 3600)


@pytest.mark.parametrize("text", ["100", "0x8", "axb", "-1x8", "9999999x9999999"])
def test_other_forms_are_refused(text: str) -> None:
    """NODESxWORKERS, both at least 1."""
    with pytest.raises(InstanceError, match="NODESxWORKERS"):
        parse_cluster(text)


def test_the_command_reads_the_table_and_solves_nothing(tmp_path: Path) -> None:
    """From two rows of a 200-point sweep, the last one cut short; without a table it says what to do first."""
    command = ["sweep", "nvl72_scale_out", "--out", str(tmp_path), "--plan-cluster", "100x8", "--format", "json"]
    refused = CliRunner().invoke(app, command)
    assert (refused.exit_code, "solve some points first" in refused.stderr) == (2, True)
    (tmp_path / ROWS).write_text('{"seconds": 4.0}\n{"seconds": 4.0}\n{"seco')
    plan = json.loads(CliRunner().invoke(app, command).stdout)
    assert (plan["points"], plan["workers"], plan["measured_points"]) == (200, 800, 2)
    assert plan["wall_s"] == pytest.approx(plan["start_s"] + 4.0, abs=4.0)
    assert {path.name for path in tmp_path.iterdir()} == {ROWS}
