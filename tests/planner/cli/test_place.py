from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    "layers",
    "balance_mean",
    "balance_min",
    "bound_mean",
    "gap_mean",
    "scenario_balance",
    "remote_share",
    "destinations_per_token",
    "moved_fraction",
    "seconds",
    "map_path",
    "warnings",
    "coverage",
    "scenario_risk",
}


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a load file with a dense layer and two MoE layers of 8 experts, and work beside it."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    table = np.vstack([np.zeros(8), draw.integers(1, 100, (2, 8))])
    (tmp_path / "loads.json").write_text(json.dumps({"logical_count": table.tolist()}))
    return tmp_path / "loads.json"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["place", *arguments])
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: str) -> dict[str, Any]:
    """Return the JSON answer."""
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return dict(json.loads(out))


def test_the_json_contract(loads: Path) -> None:
    """Exactly the agreed keys; the dense layer stands in layers with nulls and is left out of the means."""
    answer = document("--loads", str(loads), "--gpus", "4", "--slots-per-gpu", "3", "--out", "placed")
    assert set(answer) == KEYS
    assert [row["layer"] for row in answer["layers"]] == [0, 1, 2]
    assert answer["layers"][0] == {"layer": 0, "balance": None, "bound": None, "gap": None}
    moe = answer["layers"][1:]
    assert answer["balance_mean"] == pytest.approx(sum(row["balance"] for row in moe) / 2)
    assert answer["bound_mean"] == pytest.approx(sum(row["bound"] for row in moe) / 2)
    assert answer["gap_mean"] == pytest.approx(sum(1 - row["balance"] / row["bound"] for row in moe) / 2)
    assert answer["balance_min"] == min(row["balance"] for row in moe)
    assert answer["scenario_balance"] == [pytest.approx(answer["balance_mean"])]
    assert answer["remote_share"] is None
    assert answer["moved_fraction"] is None
    assert answer["map_path"] == "placed/physical_to_logical_map.json"
    written = json.loads((loads.parent / answer["map_path"]).read_text())
    assert [len(row) for row in written["physical_to_logical_map"]] == [12, 12, 12]
    assert written["physical_to_logical_map"][0] == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3]


def test_two_files_are_two_scenarios(loads: Path) -> None:
    """scenario_balance has one entry a file; half of the assignments leave one of two nodes."""
    answer = document("--loads", str(loads), "--loads", str(loads), "--gpus", "4", "--gpus-per-node", "2")
    assert len(answer["scenario_balance"]) == 2
    assert answer["scenario_balance"][0] == pytest.approx(answer["scenario_balance"][1])
    assert answer["remote_share"] == pytest.approx(0.5)


def test_scenarios_count_as_told(loads: Path) -> None:
    """Weights 3 to 1 and a tail of a fifth are stated with what they gave; one file has no risk over scenarios."""
    tables = np.random.default_rng(1).integers(1, 100, (2, 2, 8))
    for name, table in zip(("first", "second"), tables, strict=True):
        (loads.parent / f"{name}.json").write_text(json.dumps({"logical_count": table.tolist()}))
    two = ("--loads", "first.json", "--loads", "second.json", "--gpus", "4", "--slots-per-gpu", "3")
    told = ("--scenario-weights", "3,1", "--cvar-share", "0.2", "--cvar-weight", "0.5")
    stated = document(*two, *told)["scenario_risk"]
    assert stated["scenario_probability"] == [0.75, 0.25]
    mean, tail = stated["imbalance_expected"], stated["imbalance_cvar"]
    assert stated["risk"] == pytest.approx(0.5 * mean + 0.5 * tail)
    assert 1.0 <= stated["risk_bound"] <= stated["risk"]
    assert tail >= mean
    assert "worst 20 %" in run(*two, *told)[1]
    assert document("--loads", str(loads), "--gpus", "4", "--slots-per-gpu", "3")["scenario_risk"] is None


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--scenario-weights", "a,b", "no list of numbers"),
        ("--scenario-weights", "1,1", "must be 1 positive numbers"),
        ("--cvar-share", "0", "must be above 0"),
        ("--cvar-weight", "2", "must be from 0 to 1"),
        ("--workers", "0", "must be at least 1"),
    ],
)
def test_bad_scenario_options_are_refused(loads: Path, option: str, value: str, message: str) -> None:
    """Exit code 2 and the rule that was broken."""
    code, _, err = run("--loads", str(loads), "--gpus", "4", "--slots-per-gpu", "3", option, value)
    assert code == 2
    assert message in " ".join(err.split())


def test_dead_gpus_get_nothing(loads: Path) -> None:
    """GPU 1 of 3 out of service: the smallest valid slots are those of two GPUs, its block is empty."""
    answer = document("--loads", str(loads), "--gpus", "3", "--dead", "1", "--out", ".")
    rows = json.loads((loads.parent / answer["map_path"]).read_text())["physical_to_logical_map"]
    assert [len(row) for row in rows] == [12, 12, 12]
    assert all(row[4:8] == [-1] * 4 for row in rows)


def test_speeds_are_read(loads: Path) -> None:
    """Speeds 1, 1, 1, 3: the fast GPU can at most be full, so the balance falls below that of equal GPUs."""
    (loads.parent / "speed.json").write_text("[1, 1, 1, 3]")
    answer = document("--loads", str(loads), "--gpus", "4", "--gpu-speed", "speed.json")
    assert 0 < answer["balance_mean"] <= answer["bound_mean"] <= 1


@pytest.mark.parametrize("strategy", ["contiguous", "round_robin", "eplb", "local_search"])
def test_every_strategy_answers(loads: Path, strategy: str) -> None:
    """The bound does not depend on the strategy, and no balance passes it."""
    answer = document("--loads", str(loads), "--gpus", "4", "--redundant", "4", "--strategy", strategy)
    assert answer["balance_mean"] <= answer["bound_mean"] * (1 + 1e-9)


def test_the_text_answer_names_balance_and_map(loads: Path) -> None:
    """Text for people: balance, bound, gap, and where the map lies."""
    code, out, _ = run("--loads", str(loads), "--gpus", "4", "--gap", "0.01", "--out", "placed")
    assert code == 0
    assert "balance  mean" in out
    assert "map: placed/physical_to_logical_map.json" in out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--gpus", "3", "--redundant", "2"], 2, "nearest valid: 1 or 4"),
        (["--gpus", "4", "--redundant", "4", "--slots-per-gpu", "3"], 2, "give one of the two"),
        (["--gpus", "0", "--gap", "2"], 2, "--gap: is 2.0"),
        (["--gpus", "4", "--strategy", "magic"], 2, "no strategy 'magic'"),
        (["--gpus", "4", "--dispatch", "far"], 2, "must be even or nearest"),
        (["--gpus", "4", "--dead", "4"], 2, "'4' is not a GPU"),
        (["--gpus", "4", "--dead", "0,1,2,3"], 2, "leaves no GPU"),
        (["--gpus", "4", "--gpu-speed", "none.json"], 2, "cannot be read"),
        (["--gpus", "4", "--strategy", "domain"], 2, "only one node"),
        (["--gpus", "10000000000"], 2, "must be from 1 to 100000"),
        (["--gpus", "4", "--seed", "-1"], 2, "--seed: is -1"),
        (["--gpus", "4", "--slots-per-gpu", "9"], 2, "9 slots a GPU for 8 experts"),
        (["--gpus", "4", "--redundant", "1000000000000000000000"], 2, "a second copy on a GPU carries nothing"),
        (["--gpus", "4", "--nodes-per-rack", "2"], 2, "without --gpus-per-node"),
        (["--gpus", "4", "--slots-per-gpu", "1"], 1, "fewer than 8 experts"),
    ],
)
def test_refusals(loads: Path, arguments: list[str], code: int, message: str) -> None:
    """Bad input exits 2, the infeasible 1, with the reason on stderr and nothing written."""
    exit_code, out, err = run("--loads", str(loads), *arguments, "--out", "placed")
    assert exit_code == code
    assert message in err
    assert "Traceback" not in out + err
    assert not (loads.parent / "placed").exists()


def test_all_problems_are_reported_together(loads: Path) -> None:
    """A bad option and a missing file in one go."""
    code, _, err = run("--loads", "none.json", "--gpus", "-1", "--time-limit", "-2")
    assert code == 2
    for part in ("none.json: cannot be read", "--gpus: is -1", "--time-limit: is -2"):
        assert part in err


def test_interrupted_search_still_writes_its_map(loads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during the search: exit 130, and the packing so far is written."""
    from planner.strategies import local_search

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_search._Layers, "improve_all", interrupt)
    code, out, _ = run("--loads", str(loads), "--gpus", "4", "--out", "placed", "--format", "json")
    assert code == 130
    assert json.loads(out)["map_path"] == "placed/physical_to_logical_map.json"
    assert (loads.parent / "placed" / "physical_to_logical_map.json").exists()


@pytest.mark.parametrize("text", [5000 * "[", "[1, 1, 1, 1e308]", "[1, 1, 1, 1e-308]", "[1, 1, 1, 0]"])
def test_speeds_that_are_none(loads: Path, text: str) -> None:
    """Text that nests without end, and speeds that no pair of GPUs has."""
    (loads.parent / "speed.json").write_text(text)
    code, _, err = run("--loads", str(loads), "--gpus", "4", "--gpu-speed", "speed.json")
    assert code == 2
    assert "is not a positive number" in err
