from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_place import document, loads, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["loads"]


@pytest.fixture
def later(loads: Path) -> Path:
    """Place the loads on 4 GPUs x 3 into ``old`` and write loads that have shifted since."""
    document("--loads", str(loads), "--gpus", "4", "--slots-per-gpu", "3", "--out", "old")
    draw = np.random.default_rng(1)
    table = np.vstack([np.zeros(8), draw.integers(1, 100, (2, 8))])
    path = loads.parent / "later.json"
    path.write_text(json.dumps({"logical_count": table.tolist()}))
    return path


def blocks(folder: Path, name: str) -> np.ndarray:
    """Map of a folder, shape [layer, gpu, slot]."""
    rows = json.loads((folder / name / "physical_to_logical_map.json").read_text())["physical_to_logical_map"]
    return np.array(rows).reshape(len(rows), 4, -1)


def test_a_budget_of_moves(later: Path) -> None:
    """At most 2 of 12 slots a layer; applying moves.json to the old map gives the new, the dense layer as it was."""
    command = ["--loads", str(later), "--gpus", "4", "--previous", "old", "--max-moved", "0.17", "--out", "new"]
    answer = document(*command)
    assert 0 < answer["moved_fraction"] <= answer["migration"]["moved_fraction_worst"] <= 2 / 12
    assert answer["migration"]["seconds"] is None
    assert answer["decision"] is None
    old, new = blocks(later.parent, "old"), blocks(later.parent, "new")
    moves = json.loads((later.parent / answer["migration"]["path"]).read_text())
    assert [entry["layer"] for entry in moves["layers"]] == answer["migration"]["changed_layers"]
    applied = old.copy()
    for entry in moves["layers"]:
        for move in (move for part in entry["rounds"] for move in part):
            assert move["expert"] in old[entry["layer"], move["from"]]
            applied[entry["layer"], move["to"], move["slot"]] = move["expert"]
    assert np.array_equal(applied, new)


def test_without_a_budget_the_plan_is_made_anew(later: Path) -> None:
    """As balanced as without the old map, and the moved fraction is told."""
    fresh = document("--loads", str(later), "--gpus", "4", "--slots-per-gpu", "3")
    answer = document("--loads", str(later), "--gpus", "4", "--previous", "old/physical_to_logical_map.json")
    assert answer["balance_mean"] == pytest.approx(fresh["balance_mean"])
    assert 0 < answer["moved_fraction"] < 1


def test_a_running_map_of_any_engine(later: Path) -> None:
    """The old map as vLLM-Ascend JSON of its two MoE layers: a plan without moves keeps it, the dense layer filled."""
    kept = blocks(later.parent, "old")
    layers = [
        {
            "layer_id": layer,
            "device_count": 4,
            "device_list": [
                {"device_id": gpu, "device_expert": experts} for gpu, experts in enumerate(kept[layer + 1].tolist())
            ],
        }
        for layer in range(2)
    ]
    path = later.parent / "expert_map.json"
    path.write_text(json.dumps({"moe_layer_count": 2, "layer_list": layers}))
    command = ["--loads", str(later), "--gpus", "4", "--previous", str(path), "--max-moved", "0", "--out", "new"]
    answer = document(*command)
    assert answer["moved_fraction"] == 0.0
    assert np.array_equal(np.sort(blocks(later.parent, "new")[1:], axis=2), np.sort(kept[1:], axis=2))


def test_a_plan_that_does_not_pay_is_not_taken(later: Path) -> None:
    """Ten seconds left, 41.8 s a rearrangement (case BR08): keep the running map; in a day it pays."""
    prices = ["--hardware", "h100", "--expert-bytes", "44 MB", "--move-overhead", "41.8", "--out", "new"]
    command = ["--loads", str(later), "--gpus", "4", "--previous", "old", *prices]
    answer = document(*command, "--remaining", "10")
    decision = answer["decision"]
    assert decision["keep_running_map"]
    assert decision["gain_s"] < decision["migration_s"]
    assert decision["break_even_s"] == pytest.approx(decision["migration_s"] / decision["gain_fraction"])
    assert answer["moved_fraction"] == 0
    assert np.array_equal(blocks(later.parent, "old"), blocks(later.parent, "new"))
    code, out, _ = run(*command, "--remaining", "10")
    assert code == 0
    assert "keep the running map: a new plan saves" in out
    taken = document(*command, "--remaining", "86400")
    assert not taken["decision"]["keep_running_map"]
    assert taken["migration"]["bytes"] == taken["migration"]["moves"] * 44e6
    assert taken["migration"]["seconds"] > 0


def test_a_dead_gpu_is_repaired_from_the_running_map(loads: Path, later: Path) -> None:
    """GPU 3 dies: as many experts are loaded from storage as were there alone, and nothing else moves."""
    answer = document("--loads", str(loads), "--gpus", "4", "--previous", "old", "--dead", "3", "--out", "new")
    old, new = blocks(loads.parent, "old"), blocks(loads.parent, "new")
    lost = sum(8 - len(set(old[layer, :3].ravel())) for layer in (1, 2))
    assert answer["migration"]["moves"] == answer["migration"]["from_storage"] == lost
    assert (new[:, 3] == -1).all()
    assert all(set(range(8)) <= set(new[layer].ravel()) for layer in (1, 2))
    assert answer["coverage"]["gpu_worst"] >= 1
    assert later.exists()


def test_one_layer_may_change(later: Path) -> None:
    """Of two MoE layers one keeps its row."""
    command = ["--loads", str(later), "--gpus", "4", "--previous", "old", "--max-moved", "0.5"]
    answer = document(*command, "--max-changed-layers", "1")
    assert len(answer["migration"]["changed_layers"]) == 1


def test_any_one_gpu_may_be_lost(loads: Path) -> None:
    """Without slots given the fewest that survive: 16 copies of 8 experts on 4 GPUs."""
    answer = document("--loads", str(loads), "--gpus", "4", "--survive", "gpu", "--out", "new")
    assert answer["coverage"]["gpu_worst"] == 0
    assert blocks(loads.parent, "new").shape == (3, 4, 4)


def test_the_least_redundancy_for_a_balance(loads: Path) -> None:
    """The next lower number of slots is named with its bound; one step fewer does not reach the target."""
    answer = document("--loads", str(loads), "--gpus", "4", "--target-balance", "0.97")
    target = answer["target"]
    assert answer["balance_mean"] >= 0.97
    assert target["redundant"] == 4 * target["slots_per_gpu"] - 8
    lower = target["next_lower"]
    assert lower["redundant"] == target["redundant"] - 4
    assert lower["proven_short"] == (lower["bound_mean"] < 0.97)


def test_slots_may_differ_from_gpu_to_gpu(loads: Path) -> None:
    """As a list and as a file, with speeds; -1 pads the GPUs with fewer slots."""
    (loads.parent / "slots.json").write_text('{"slots_per_gpu": [4, 3, 2, 1]}')
    (loads.parent / "speed.json").write_text("[4, 3, 2, 1]")
    for slots in ("4,3,2,1", "slots.json"):
        command = ["--loads", str(loads), "--gpus", "4", "--slots-per-gpu", slots, "--gpu-speed", "speed.json"]
        document(*command, "--out", "new")
        assert (blocks(loads.parent, "new") >= 0).sum(axis=2).tolist() == [[4, 3, 2, 1]] * 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--max-moved", "0.1"], 2, "--max-moved: without --previous"),
        (["--previous", "old", "--max-moved", "2"], 2, "must be a fraction"),
        (["--previous", "old", "--remaining", "60"], 2, "needs the price of a move"),
        (["--previous", "old", "--max-moved", "0.1", "--strategy", "eplb"], 2, "without regard to a running map"),
        (["--previous", "old", "--survive", "gpu"], 2, "chooses all copies anew"),
        (["--survive", "rack"], 2, "give gpu or node"),
        (["--survive", "gpu", "--slots-per-gpu", "3"], 1, "16 slots, 12 can count"),
        (["--survive", "node"], 1, "two nodes in use"),
        (["--target-balance", "0.9", "--redundant", "4"], 2, "give one of them"),
        (["--slots-per-gpu", "3,3"], 2, "has 2 numbers for 4 GPUs"),
        (["--slots-per-gpu", "3,3,x,3"], 2, "'x' is not a number of slots"),
        (["--slots-per-gpu", "0,0,0,0"], 2, "gives no GPU a slot"),
        (["--slots-per-gpu", "none.json"], 2, "nor a file that can be read"),
        (["--previous", "old", "--dead", "1,2"], 1, "fewer than 8 experts"),
        (["--previous", "none"], 2, "cannot be read"),
        (["--previous", "old", "--gpus", "5"], 2, "is a map for 4 ranks, not for 5"),
        (["--previous", "old/physical_to_logical_map.json", "--gpus", "5"], 2, "do not spread evenly over 5 GPUs"),
        (["--previous", "old", "--dead", "3", "--max-changed-layers", "0"], 1, "layers must change"),
        (
            ["--previous", "old", "--hardware", "h100", "--expert-bytes", "44 m", "--remaining", "5"],
            2,
            "--expert-bytes: '44 m' is not",
        ),
    ],
)
def test_refusals(loads: Path, later: Path, arguments: list[str], code: int, message: str) -> None:
    """Bad input exits 2, the infeasible 1, with the reason on stderr and nothing written."""
    exit_code, out, err = run("--loads", str(loads), "--gpus", "4", *arguments, "--out", "placed")
    assert (exit_code, message in err) == (code, True), err
    assert "Traceback" not in out + err
    assert not (later.parent / "placed").exists()
