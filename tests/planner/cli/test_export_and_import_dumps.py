from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[0, 2, 1, 0, 3, 1], [3, 0, 2, 3, 1, 2]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a map file of two MoE layers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.json").write_text(json.dumps(ROWS))
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: str) -> dict[str, Any]:
    """Return the JSON answer."""
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0, err
    return dict(json.loads(out))


def test_export_names_files_flags_and_gpus(folder: Path) -> None:
    """The keys that others rely on; paths relative to the working directory."""
    answer = document("export", "map.json", "--to", "sglang", "--gpus", "3", "--first-moe-layer", "1")
    assert answer["files"] == ["sglang_expert_map.json"]
    assert answer["gpus_requested"] == 3
    assert "--ep-num-redundant-experts 2" in answer["flags"]
    assert len(json.loads((folder / answer["files"][0]).read_text())["physical_to_logical_map"]) == 3
    assert answer["deployments"][0]["dispatch"] is None


def test_export_of_a_placement_needs_no_further_word(folder: Path) -> None:
    """The folder of `planner place` says ranks and dense layers: layer 0 is dense, layers 1 and 2 are not."""
    table = np.vstack([np.zeros(8), np.random.default_rng(0).integers(1, 100, (2, 8))])
    (folder / "loads.json").write_text(json.dumps({"logical_count": table.tolist()}))
    assert run("place", "--loads", "loads.json", "--gpus", "4", "--redundant", "4", "--out", "placed")[0] == 0
    answer = document("export", "placed", "--to", "vllm", "--out", "exported")
    assert answer["files"] == ["exported.json"]
    planned = json.loads((folder / "placed" / "physical_to_logical_map.json").read_text())["physical_to_logical_map"]
    assert json.loads((folder / "exported.json").read_text()) == planned[1:]
    tensorrt = document("export", "placed", "--to", "trtllm")
    assert tensorrt["files"] == ["placed/trtllm_expert_map.yaml", "placed/trtllm_expert_map_options.yaml"]
    assert tensorrt["deployments"][0]["first_moe_layer"] == 1


def test_export_keeps_the_dispatch_rule_of_the_placement(folder: Path) -> None:
    """Planned for near copies first, which is SGLang's static dispatch."""
    (folder / "loads.json").write_text(json.dumps([[5, 6, 7, 8]] * 2))
    arguments = ("--gpus", "4", "--redundant", "4", "--gpus-per-node", "2", "--dispatch", "nearest", "--out", "near")
    assert run("place", "--loads", "loads.json", *arguments)[0] == 0
    assert "--ep-dispatch-algorithm static" in document("export", "near", "--to", "sglang")["flags"]


def test_export_tells_the_limits_of_dispatch(folder: Path) -> None:
    """DeepSeek-V3 (hidden 7168): 32 copies lower the tokens a rank may dispatch; 8 nodes, 4 with groups kept."""
    rows = [[*range(256), *range(32)]] * 58
    (folder / "map.json").write_text(json.dumps(rows))
    arguments = ("export", "map.json", "--to", "vllm", "--gpus", "72", "--model", "deepseek-v3", "--gpus-per-node", "8")
    dispatch = document(*arguments)["deployments"][0]["dispatch"]
    assert dispatch["most_tokens_per_rank"] == 32 * 2**30 // (4 * 288 * (2 * 7168 + 4 * 56)) // 16 * 16
    assert dispatch["most_tokens_per_rank"] < dispatch["most_tokens_per_rank_without_copies"]
    assert dispatch["worst_destination_nodes"] == 8
    assert dispatch["worst_destination_nodes_groups_on_nodes"] == 4
    assert "nodes a token can reach: at most 8, 4 if router groups stay on a node" in run(*arguments)[1]


def test_export_refuses_with_exit_code_2(folder: Path) -> None:
    """No ranks, an unknown engine, a missing source."""
    for arguments, message in (
        (("map.json", "--to", "vllm-ascend"), "--gpus: missing"),
        (("map.json", "--to", "tgi", "--gpus", "3"), "--to: is 'tgi'"),
        (("none", "--to", "vllm", "--gpus", "3"), "cannot be read"),
        (("map.json", "--to", "vllm", "--gpus", "3", "--gpus-per-node", "0"), "--gpus-per-node"),
        (("map.json", "--to", "vllm", "--gpus", "3", "--model", "nobody"), "no such file in models"),
    ):
        code, _, err = run("export", *arguments)
        assert code == 2
        assert message in err


def test_import_map_writes_ours_and_flags_what_is_odd(folder: Path) -> None:
    """Rank 1 holds expert 3 twice, expert 2 of layer 1 is missing."""
    (folder / "odd.json").write_text(json.dumps([[0, 1, 3, 3, 2, 0], [0, 1, 3, 0, 1, 3]]))
    answer = document("import", "map", "odd.json", "--gpus", "3", "--out", "ours.json")
    assert answer["duplicates"] == [{"layer": 0, "rank": 1, "expert": 3, "copies": 2}]
    assert answer["missing"] == [{"layer": 1, "expert": 2}]
    assert (answer["gpus"], answer["slots_per_gpu"], answer["redundant"]) == (3, 2, 2)
    assert json.loads((folder / answer["path"]).read_text())["physical_to_logical_map"][0] == [0, 1, 3, 3, 2, 0]
    code, out, err = run("import", "map", "odd.json")
    assert code == 0
    assert "give --gpus" in err
    assert "4 experts in 6 slots" in out


def test_import_loads_writes_a_load_file(folder: Path) -> None:
    """A CSV becomes JSON that `planner place` reads."""
    (folder / "loads.csv").write_text("5,6,7\n1,2,3\n")
    answer = document("import", "loads", "loads.csv", "--out", "loads.json")
    assert json.loads((folder / "loads.json").read_text()) == {"logical_count": [[5, 6, 7], [1, 2, 3]]}
    assert (answer["layers"], answer["experts"], answer["tokens"]) == (2, 3, 24)
    assert any("differ in their totals" in warning for warning in answer["warnings"])


def test_import_routing_flags_traffic_that_touches_few_experts(folder: Path) -> None:
    """Eight tokens of two experts could touch all 8, and touch 2."""
    slots = [[[0, 1]] * 8]
    dump = {"records": [{"rank": 0, "topk_ids_of_layer": slots}], "last_physical_to_logical_map": [list(range(8))]}
    (folder / "dump.json").write_text(json.dumps(dump))
    answer = document("import", "routing", "dump.json", "--out", "routing.npz")
    assert (answer["tokens"], answer["experts_per_token"], answer["experts"]) == (8, 2, 8)
    assert any("touches 2 experts of the 8" in note for note in answer["notes"])
    assert np.load(folder / "routing.npz")["data"].shape == (8, 1, 2)
