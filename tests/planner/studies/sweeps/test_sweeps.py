"""Sweeps lose nothing when killed, refuse each other, retry dead workers, and answer where a choice flips."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InstanceError
from planner.instance.sweep import SweepSpec
from planner.studies.engine import Engine
from planner.studies.sweeps.point import UNCOMPARED
from planner.studies.sweeps.questions import break_even
from planner.studies.sweeps.run import run_sweep
from planner.studies.sweeps.table import CSV, PARQUET, ROWS, Rows, arrow_table, locked, read_table

SPEC = SweepSpec(
    name="rates",
    title="Rates and prices",
    case="tiny_mixtral_island",
    grid={"demand.chat.requests_per_s": [3, 6, 12, 18], "pools.h100.usd_per_gpu_hour": [2.0, 3.0]},
)


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without the columns that may differ between runs, in the order of their points."""
    kept = [{name: value for name, value in row.items() if name not in (*UNCOMPARED, "made_from")} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row["point"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Rows of the sweep in one go, in this process."""
    return compared(run_sweep(SPEC, tmp_path_factory.mktemp("whole"))["rows"])


def test_cost_follows_demand_and_price(whole: list[dict[str, Any]]) -> None:
    """GPUs are paid one by one: cost is price times GPUs, and more demand never takes fewer."""
    gpus = {(r["point"]["demand.chat.requests_per_s"], r["point"]["pools.h100.usd_per_gpu_hour"]): r for r in whole}
    for (_, price), row in gpus.items():
        assert row["cost_usd"] == pytest.approx(price * row["gpus_used"])
    used = [gpus[rate, 2.0]["gpus_used"] for rate in (3, 6, 12, 18)]
    assert used == sorted(used)


def test_workers_and_placements_on_the_shelf_change_nothing(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    """Two processes that share placements write the same table as one; so does a second run that finds them."""
    assert compared(run_sweep(SPEC, tmp_path, workers=2)["rows"]) == whole
    assert list((tmp_path / ".placements").glob("*.npz"))
    (tmp_path / ROWS).unlink()
    assert compared(run_sweep(SPEC, tmp_path)["rows"]) == whole


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_writes_the_same_table(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    """A local Ray cluster of two workers gives the rows of one process."""
    script = (
        "import sys, json, pathlib, tests.planner.studies.sweeps.test_sweeps as t\n"
        "rows = t.run_sweep(t.SPEC, pathlib.Path(sys.argv[1]), workers=2, backend='ray')['rows']\n"
        "print(json.dumps(t.compared(rows)))"
    )
    path = os.environ | {"PYTHONPATH": str(Path.cwd()), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == json.loads(json.dumps(whole))


def test_a_killed_sweep_resumes_without_loss_or_repeat(whole: list[dict[str, Any]], tmp_path: Path) -> None:
    """SIGKILL at three moments: rows on disk stay, no point is solved twice, the table is that of one run."""
    (tmp_path / "rates.toml").write_text(
        'name = "rates"\ntitle = "Rates and prices"\ncase = "tiny_mixtral_island"\n[grid]\n'
        '"demand.chat.requests_per_s" = [3, 6, 12, 18]\n"pools.h100.usd_per_gpu_hour" = [2.0, 3.0]\n'
    )
    command = [sys.executable, "-m", "planner", "sweep", str(tmp_path / "rates.toml"), "--out", str(tmp_path / "t")]
    command += ["--resume", "--quiet", "--format", "json"]
    table, kept = tmp_path / "t" / ROWS, 0
    for goal in (1, 3, 6):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not (table.exists() and table.read_text().count("\n") >= goal):
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert table.read_text().count("\n") >= kept
        kept = table.read_text().count("\n")
    final = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in table.read_text().splitlines()]
    assert len(lines) == 8
    assert compared(lines) == whole == compared(json.loads(final.stdout)["rows"])
    assert len(read_table(tmp_path / "t" / PARQUET)) == 8
    assert (tmp_path / "t" / CSV).read_text().count("\n") == 9


def test_two_runs_on_one_folder_refuse_each_other(tmp_path: Path) -> None:
    """While one holds the folder the other is told, exit code 2, and writes nothing; afterwards it may."""
    with locked(tmp_path), pytest.raises(InstanceError, match="another sweep is writing here"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_failing_point_is_a_row(tmp_path: Path) -> None:
    """A price in GPUs is no price: its row says so, the others have their answers."""
    spec = SPEC.model_copy(update={"grid": {"pools.h100.usd_per_gpu_hour": ["2 GPUs", 2.0]}})
    answer = run_sweep(spec, tmp_path)
    assert (answer["done"], answer["failed"]) == (1, 1)
    assert "usd_per_gpu_hour" in answer["rows"][0]["reasons"][0]


def test_a_key_of_no_table_is_refused_before_work(tmp_path: Path) -> None:
    """A slip in a key would fail every point: it is told at once."""
    with pytest.raises(InstanceError, match=r"pool\.h100"):
        run_sweep(SPEC.model_copy(update={"grid": {"pool.h100.domains": [1]}}), tmp_path)


def test_a_key_that_the_case_leaves_at_its_default_may_vary(tmp_path: Path) -> None:
    """The case does not write horizon_hours; twice the hours cost twice as much."""
    answer = run_sweep(SPEC.model_copy(update={"grid": {"horizon_hours": [1, 2]}}), tmp_path)
    one, two = (row["cost_usd"] for row in answer["rows"])
    assert two == pytest.approx(2 * one)


def kill_own_worker(name: str, marker: str, attempt: int) -> dict[str, Any]:
    """Die once where the marker is not there yet, always where the name says so."""
    if name == "deadly" or (name == "weak" and not Path(marker).exists()):
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"name": name, "attempt": attempt}


def buried(name: str, marker: str, fault: str) -> dict[str, Any]:
    """Row of a task that never ended."""
    return {"name": name, "attempt": 0, "fault": fault}


def test_a_dead_workers_points_are_tried_again(tmp_path: Path) -> None:
    """A task that kills its worker once gets its answer, one that always does is told, the others are not harmed."""
    tasks = [(name, str(tmp_path / name)) for name in ("a", "weak", "b", "deadly", "c")]
    rows = list(Engine("processes", 2).run(kill_own_worker, tasks, buried))
    assert sorted(row["name"] for row in rows) == ["a", "b", "c", "deadly", "weak"]
    by_name = {row["name"]: row for row in rows}
    assert by_name["weak"]["attempt"] == 2
    assert "fault" in by_name["deadly"]
    assert all("fault" not in row for name, row in by_name.items() if name != "deadly")


def test_a_cut_parquet_is_refused(tmp_path: Path) -> None:
    """Half a file is told, with what to do; the rows beside it are whole."""
    run_sweep(SPEC.model_copy(update={"grid": {"pools.h100.usd_per_gpu_hour": [2.0]}}), tmp_path)
    path = tmp_path / PARQUET
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InstanceError, match="cut short"):
        read_table(path)
    assert len(Rows(tmp_path, json.loads((tmp_path / ROWS).read_text())["made_from"]).finished()) == 1


def test_mixed_columns_become_text() -> None:
    """Integers among floats stay numbers; numbers among text become text, nothing is lost."""
    table = arrow_table([{"x": 1, "y": 1}, {"x": 2.5, "y": "50 ms"}])
    assert table.column("x").to_pylist() == [1.0, 2.5]
    assert table.column("y").to_pylist() == ["1", "50 ms"]


def test_break_even_brackets_a_known_price() -> None:
    """A choice that flips at 7: the bracket holds 7, is as narrow as asked, and costs a logarithm of solves."""
    spec = SweepSpec(
        name="flip",
        title="Flip",
        case="x",
        break_even=[{"key": "a.price", "start": 1, "stop": 17, "watch": "layout", "tolerance": 0.01}],
    )

    def solve(changes: dict[str, Any], point: dict[str, Any]) -> dict[str, Any]:
        return {"cost_usd": 1.0, "status": "optimal", "layout": "own" if point["a.price"] < 7 else "rent"}

    answer = break_even(spec, spec.break_even[0], solve)
    assert answer["below"] < 7 <= answer["above"]
    assert answer["above"] - answer["below"] <= 0.16
    assert (answer["below_choice"], answer["above_choice"], answer["solves"] <= 10) == ("own", "rent", True)


def test_break_even_between_two_equal_pools(tmp_path: Path) -> None:
    """Two pools of equal GPUs, one at 2 $: the other is used below 2 $ and not above."""
    (tmp_path / "pools.toml").write_text(TWO_POOLS)
    spec = SweepSpec(
        name="pools",
        title="Pools",
        case=str(tmp_path / "pools.toml"),
        break_even=[
            {"key": "pools.second.usd_per_gpu_hour", "start": 1, "stop": 4, "watch": "pools", "tolerance": 0.02}
        ],
    )
    (flip,) = run_sweep(spec, tmp_path / "t")["break_even"]
    assert flip["flips"]
    assert flip["below"] <= 2.0 <= flip["above"]
    assert (flip["below_choice"], flip["above_choice"]) == ("second", "first")


TWO_POOLS = """
name = "pools"
title = "Two pools of equal GPUs"
model = "mixtral-8x7b"
calibration = "hand_set"
[[pools]]
name = "first"
hardware = "h100"
usd_per_gpu_hour = 2.0
price_source = "made up"
billing = "gpu"
[[pools]]
name = "second"
hardware = "h100"
usd_per_gpu_hour = 2.0
price_source = "made up"
billing = "gpu"
[[demand]]
name = "chat"
requests_per_s = 6
input_tokens = 1024
output_tokens = 256
tpot_s = "50 ms"
[search]
deployment_gpus = [2, 4]
"""


def test_a_tornado_sorts_by_swing(tmp_path: Path) -> None:
    """Doubling the price doubles the cost; doubling a rate of few requests changes less: the price comes first."""
    spec = SweepSpec(
        name="swings",
        title="Swings",
        case="tiny_mixtral_island",
        tornado={
            "demand.document.requests_per_s": {"low": 1, "high": 1.1},
            "pools.h100.usd_per_gpu_hour": {"low": 1.0, "high": 4.0},
        },
    )
    swings = run_sweep(spec, tmp_path)["tornado"]
    assert swings[0]["key"] == "pools.h100.usd_per_gpu_hour"
    assert swings[0]["low_usd"] == pytest.approx(swings[0]["base_usd"] / 2)
    assert swings[0]["high_usd"] == pytest.approx(swings[0]["base_usd"] * 2)
