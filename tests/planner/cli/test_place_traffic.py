"""`planner place` with routing, a model and hardware."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def routing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write 200 tokens that take two of eight experts, mostly partners 0-4, 1-5, 2-6, 3-7, and work beside them."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    first = draw.integers(0, 8, 200)
    second = np.where(draw.random(200) < 0.8, (first + 4) % 8, (first + draw.integers(1, 8, 200)) % 8)
    np.savez(tmp_path / "routing.npz", data=np.stack([first, second], axis=1))
    return tmp_path / "routing.npz"


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["place", *arguments])
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: str) -> dict[str, Any]:
    """Return the JSON answer."""
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return dict(json.loads(out))


def test_routing_alone_is_enough(routing: Path) -> None:
    """Loads are counted from the routing; partners share a GPU, and the answer says where tokens go."""
    answer = document("--routing", str(routing), "--gpus", "4", "--balance-floor", "0.7", "--gpus-per-node", "2")
    counted = document("--routing", str(routing), "--gpus", "4", "--strategy", "contiguous", "--gpus-per-node", "2")
    assert answer["destinations_per_token"] < 1.25 < 1.8 < counted["destinations_per_token"]
    assert answer["destinations_bound"]["any_balance"] <= answer["destinations_per_token"]
    assert answer["destinations_bound"]["at_this_balance"] <= answer["destinations_per_token"]
    assert set(answer["traffic"]["levels"]) == {"gpu", "node"}
    assert [link["level"] for link in answer["traffic"]["links"]] == ["gpu"] * 4 + ["node"] * 2
    assert answer["balance_floor"]["asked"] == 0.7
    assert answer["balance_floor"]["met"] is True
    assert counted["balance_floor"] is None
    assert answer["remote_share"] == pytest.approx(answer["traffic"]["levels"]["node"]["remote_share"])


def test_seconds_and_dollars(routing: Path) -> None:
    """Model and hardware turn the map into seconds of a step and an hour's dollars, whose parts add up."""
    answer = document(
        *("--routing", str(routing), "--gpus", "4", "--model", "mixtral-8x7b", "--hardware", "h100"),
        *("--tokens-per-gpu", "64", "--prices", "tco_neocloud"),
    )
    seconds, hour = answer["step_seconds"], answer["usd"]["per_hour"]
    assert seconds["total"] == pytest.approx(seconds["expert"] + seconds["link"])
    assert hour["expert"] + hour["imbalance"] + hour["link"] == pytest.approx(4 * answer["usd"]["usd_per_gpu_hour"])
    assert hour["replica_memory"] == 0.0
    assert answer["balance_floor"] is None
    assert answer["traffic"]["links"][0]["bytes_per_step"] > 0


def test_a_model_estimates_destinations_without_routing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads and a model: the independent-draw estimate, equal loads on 8 GPUs: 8 (1 - (7/8)^2)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loads.json").write_text(json.dumps({"logical_count": [[10] * 8]}))
    answer = document("--loads", "loads.json", "--gpus", "8", "--model", "mixtral-8x7b")
    assert answer["destinations_per_token"] == pytest.approx(8 * (1 - (7 / 8) ** 2))
    assert answer["traffic"]["source"] == "drawn independently from the loads"
    assert answer["destinations_bound"] is None
    assert "step_seconds" not in answer


def test_the_frontier_is_written_as_a_table(routing: Path) -> None:
    """One row for each baseline and floor, in the JSON and as CSV beside the map."""
    answer = document("--routing", str(routing), "--gpus", "4", "--frontier", "2", "--out", "placed")
    with (routing.parent / answer["frontier_path"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["plan"] for row in rows] == ["contiguous", "local_search", "coactivation", "coactivation"]
    assert [float(row["balance"]) for row in rows] == [point["balance"] for point in answer["frontier"]]


def test_text_says_where_tokens_go(routing: Path) -> None:
    """The terminal shows destinations, floor, seconds and dollars."""
    code, out, err = run("--routing", str(routing), "--gpus", "4", "--model", "mixtral-8x7b", "--hardware", "h100")
    assert code == 0, err
    assert "distinct destinations a token (recorded routing): gpu" in out
    assert "1 MoE layers of a step take" in out
    assert "USD (tco_neocloud)" in out
    assert "50 tokens a GPU and step, the recorded tokens over the GPUs" in err


def test_all_mistakes_at_once(routing: Path) -> None:
    """Every contradiction is named in one answer, with exit code 2."""
    loads = routing.parent / "loads.json"
    loads.write_text(json.dumps({"logical_count": [[10] * 8] * 3}))
    code, _, err = run("--loads", str(loads), "--gpus", "4", "--balance-floor", "0.9", "--hardware", "h100")
    assert code == 2
    assert "--balance-floor: needs recorded routing" in err
    assert "--hardware: given without --model" in err
    code, _, err = run("--loads", str(loads), "--routing", str(routing), "--gpus", "4")
    assert code == 2
    assert "has 1 layers, the loads have 3 MoE layers" in err
    code, _, err = run("--routing", str(routing), "--gpus", "4", "--model", "qwen3-30b-a3b")
    assert code == 2
    assert "chooses 8 experts a token, the routing 2" in err
    code, _, err = run("--gpus", "4")
    assert code == 2
    assert "--loads: missing" in err
    code, _, err = run("--routing", str(routing), "--gpus", "4", "--traffic-weight", "1", "--balance-floor", "0.5")
    assert code == 2
    assert "give one of the two" in err
