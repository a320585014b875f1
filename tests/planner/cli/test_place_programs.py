"""`planner place` with router groups, token split and a slot budget."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a dense layer and two MoE layers of 16 experts, and work beside the file."""
    monkeypatch.chdir(tmp_path)
    table = np.vstack([np.zeros(16), np.random.default_rng(0).lognormal(3.0, 1.0, (2, 16)).round()])
    (tmp_path / "loads.json").write_text(json.dumps({"logical_count": table.tolist()}))
    return tmp_path / "loads.json"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["place", "--loads", "loads.json", *arguments])
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: str) -> dict[str, Any]:
    """Return the JSON answer."""
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return dict(json.loads(out))


@pytest.mark.usefixtures("loads")
def test_groups_stay_on_few_nodes() -> None:
    """Four groups, two nodes: the matheuristic is the default then; pairs, their bound and the bound they set."""
    layout = ("--gpus", "4", "--slots-per-gpu", "6", "--gpus-per-node", "2", "--router-groups", "4")
    answer = document(*layout)
    assert 4 <= answer["group_node_pairs_least_mean"] <= answer["group_node_pairs_mean"] <= 5.5
    assert answer["balance_mean"] <= answer["group_node_bound_mean"] * (1 + 1e-9)
    assert answer["group_node_bound_mean"] <= answer["bound_mean"] * (1 + 1e-9)
    code, out, _ = run(*layout)
    assert code == 0
    assert "strategy matheuristic" in out
    assert "(group, node) pairs  mean" in out
    free = document(*layout, "--strategy", "local_search")
    assert free["group_node_pairs_mean"] == 8
    loose = document(*layout, "--node-tolerance", "0.9")
    assert loose["group_node_pairs_mean"] == 4


@pytest.mark.usefixtures("loads")
def test_token_split_is_told_when_asked() -> None:
    """The key appears only with --token-split, and is no worse than the even split."""
    plain = document("--gpus", "4", "--strategy", "eplb")
    asked = document("--gpus", "4", "--strategy", "eplb", "--redundant", "4", "--token-split")
    assert "token_split_balance" not in plain
    assert asked["balance_mean"] <= asked["token_split_balance"] <= 1 + 1e-9
    assert asked["token_split_scenario_balance"] == [pytest.approx(asked["token_split_balance"])]
    assert "linear program" in run("--gpus", "4", "--token-split")[1]


def test_a_slot_budget_gives_every_layer_its_own(loads: Path) -> None:
    """Nine slots for two layers: rows padded with -1 to the widest, loads of the map as reported."""
    answer = document("--gpus", "4", "--slot-budget", "9", "--out", "placed")
    slots = answer["slots_per_layer"]
    assert slots[0] == 0
    assert sorted(slots[1:]) == [4, 5]
    assert answer["slot_budget"]["used"] == 9
    assert answer["slot_budget"]["bound"] <= answer["slot_budget"]["largest_load_sum"]
    assert answer["slot_budget"]["largest_load_sum"] <= answer["slot_budget"]["uniform_load_sum"] * (1 + 1e-9)
    rows = np.array(json.loads((loads.parent / answer["map_path"]).read_text())["physical_to_logical_map"])
    assert rows.shape == (3, 20)
    for layer in (1, 2):
        assert ((rows[layer].reshape(4, 5) >= 0).sum(axis=1) == slots[layer]).all()
    assert "slots  9 of 9 over all layers" in run("--gpus", "4", "--slot-budget", "9")[1]


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--router-groups", "0"], 2, "--router-groups: is 0"),
        (["--router-groups", "4"], 2, "--router-groups: without --gpus-per-node"),
        (["--router-groups", "5", "--gpus-per-node", "2"], 2, "no multiple of 5 router groups"),
        (["--node-tolerance", "0.1"], 2, "--node-tolerance: without --router-groups"),
        (["--node-tolerance", "1", "--router-groups", "4", "--gpus-per-node", "2"], 2, "fraction from 0 to below 1"),
        (["--slot-budget", "0"], 2, "--slot-budget: is 0"),
        (["--slot-budget", "9", "--redundant", "4"], 2, "--slot-budget: given beside --redundant"),
        (["--slot-budget", "9", "--target-balance", "0.9"], 2, "given beside --target-balance"),
        (["--slot-budget", "7"], 1, "give at least 8"),
    ],
)
def test_refusals(arguments: list[str], code: int, message: str) -> None:
    """Bad input exits 2, the infeasible 1, with the reason on stderr."""
    exit_code, out, err = run("--gpus", "4", *arguments)
    assert exit_code == code
    assert message in " ".join(err.split())
    assert "Traceback" not in out + err


def test_compare_tells_the_token_split_when_asked() -> None:
    """A row gains the key with --token-split only; a linear split is no worse than the even one it is built on."""
    arguments = ["compare", "tiny_mixtral_island", "--strategies", "local_search", "--format", "json"]
    for extra in ([], ["--token-split"]):
        result = CliRunner().invoke(app, [*arguments, *extra])
        assert result.exit_code == 0, result.stderr
        row = json.loads(result.stdout)["rows"][0]
        assert ("token_split_balance" in row) == bool(extra)
    assert row["balance_mean"] <= row["token_split_balance"] * (1 + 1e-9)
    assert row["token_split_balance"] <= 1 + 1e-9
