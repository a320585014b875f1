"""Recordings of every engine, written by hand in their documented forms, with the loads they stand for."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from torch_files import save

from planner.errors import InstanceError
from planner.exchange.loads import read_load_file, read_loads
from planner.exchange.recorded_routing import read_recorded_routing, write_routing
from planner.exchange.routing import read_routing

if TYPE_CHECKING:
    from pathlib import Path

MAP = np.array([[0, 1, 2, 0], [2, 1, 0, 1]])
"""Two layers, three experts in four slots: expert 0 twice in layer 0, expert 1 twice in layer 1."""

COUNTS = np.array([[5, 1, 2, 3], [4, 6, 7, 8]], dtype=np.int32)
LOGICAL = [[8, 1, 2], [7, 14, 4]]
"""Layer 0: 5 + 3 for expert 0; layer 1: slot 2 is expert 0, slots 1 and 3 are expert 1, slot 0 is expert 2."""


def records(rank: int = 0, *passes: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Build a dump of one rank in per_pass mode."""
    return {
        "records": [
            {"forward_pass_id": number, "rank": rank, "gatherer_key": "primary", "global_physical_count": counts}
            for number, counts in enumerate(passes)
        ],
        "last_physical_to_logical_map": MAP,
    }


def as_json(value: Any) -> Any:  # noqa: ANN401 - any tree
    """Turn arrays into lists."""
    return json.loads(json.dumps(value, default=lambda array: array.tolist()))


def test_sglang_stat_dump(tmp_path: Path) -> None:
    """logical_count int32 [step, layer, expert] is summed over steps, from .pt as from JSON."""
    counts = np.array([[[1, 2], [3, 4]], [[4, 3], [2, 1]]], dtype=np.int32)
    dump = {"rank": 0, "logical_count": counts, "average_utilization_rate_over_window": None}
    save(tmp_path / "a.pt", dump, root="expert_distribution_recorder_1745000000.0")
    (tmp_path / "a.json").write_text(json.dumps(as_json(dump)))
    for name in ("a.pt", "a.json"):
        assert read_loads(tmp_path / name).tolist() == [[5, 5], [5, 5]]


def test_sglang_per_pass_counts_slots_which_become_experts(tmp_path: Path) -> None:
    """Two passes of a known map; one rank alone is said."""
    save(tmp_path / "a.pt", records(0, COUNTS, COUNTS))
    (tmp_path / "a.json").write_text(json.dumps(as_json(records(0, COUNTS, COUNTS))))
    for name in ("a.pt", "a.json"):
        file = read_load_file(tmp_path / name)
        assert file.table.tolist() == (2 * np.array(LOGICAL)).tolist()
        assert any("rank 0 alone" in warning for warning in file.warnings)


def test_sglang_ranks_of_a_folder_add_up(tmp_path: Path) -> None:
    """Two ranks' files, as SGLang leaves them in its recorder folder."""
    for rank in (0, 1):
        save(tmp_path / f"expert_distribution_recorder_1.5_{rank}.pt", records(rank, COUNTS * (rank + 1)))
    file = read_load_file(tmp_path)
    assert file.table.tolist() == (3 * np.array(LOGICAL)).tolist()
    assert not any("alone" in warning for warning in file.warnings)


def test_sglang_per_token_is_counted_and_gives_routing(tmp_path: Path) -> None:
    """Layer 0: slots (0,1), (3,2) are experts (0,1), (0,2); layer 1: (1,2), (3,0) are (1,0), (1,2); -1 is padding."""
    chosen = np.array([[[0, 1], [3, 2], [-1, -1]], [[1, 2], [3, 0], [-1, -1]]], dtype=np.int32)
    dump = {
        "records": [
            {"forward_pass_id": 7, "rank": 0, "forward_mode": 1, "input_ids": [3, 4], "topk_ids_of_layer": chosen}
        ],
        "last_physical_to_logical_map": MAP,
    }
    path = save(tmp_path / "a.pt", dump)
    assert read_loads(path).tolist() == [[2, 1, 1], [1, 2, 1]]
    routing = read_recorded_routing(path)
    assert routing.ids.tolist() == [[[0, 1], [1, 0]], [[0, 2], [1, 2]], [[-1, -1], [-1, -1]]]
    write_routing(tmp_path / "routing.npz", routing.ids)
    assert [rows.tolist() for rows in read_routing([tmp_path / "routing.npz"], 3)] == [
        [[0, 1], [0, 2]],
        [[1, 0], [1, 2]],
    ]


def test_sglang_records_without_a_map_are_refused(tmp_path: Path) -> None:
    """Only the map tells the expert of a slot."""
    dump = records(0, COUNTS)
    del dump["last_physical_to_logical_map"]
    with pytest.raises(InstanceError, match="last_physical_to_logical_map: missing"):
        read_loads(save(tmp_path / "a.pt", dump))
    with pytest.raises(InstanceError, match=r"has shape \[2, 3\], its map \[2, 4\]"):
        read_loads(save(tmp_path / "b.pt", records(0, COUNTS[:, :3])))


def statistics(folder: Path, *, raw: bool = False, ranks: tuple[int, ...] = (0, 1)) -> Path:
    """Write a TensorRT-LLM folder: iterations 100 and 101, MoE layers 3 and 4, four experts."""
    folder.mkdir()
    (folder / "meta_info.json").write_text(json.dumps({"num_experts": 4, "num_experts_per_token": 2}))
    for rank in ranks:
        counts = {
            f"{it}_{layer}": np.array([1, 0, layer, rank], dtype=np.int64) for it in (100, 101) for layer in (3, 4)
        }
        chosen = {key: np.array([[0, 2], [2, 3]], dtype=np.int32) for key in counts}
        if not raw:
            save_file(counts, folder / f"rank{rank}.safetensors")
        save_file(chosen, folder / f"rank{rank}_raw.safetensors")
    return folder


def test_tensorrt_statistics_add_up_over_ranks_and_iterations(tmp_path: Path) -> None:
    """Two ranks x two iterations of [1, 0, layer, rank]: [4, 0, 4 layer, 2]; layers 0-2 are dense."""
    file = read_load_file(statistics(tmp_path / "stats"))
    assert file.table.tolist() == [[0] * 4] * 3 + [[4, 0, 12, 2], [4, 0, 16, 2]]
    assert any("layers 0-2" in warning for warning in file.warnings)


def test_tensorrt_raw_statistics_are_routing(tmp_path: Path) -> None:
    """Four times the tokens (0,2) and (2,3) in both layers; counted where the counts are missing."""
    folder = statistics(tmp_path / "stats", raw=True)
    routing = read_recorded_routing(folder)
    assert routing.layers == (3, 4)
    assert routing.ids.shape == (8, 2, 2)
    assert routing.ids[:2, 0].tolist() == [[0, 2], [2, 3]]
    assert read_loads(folder)[3].tolist() == [4, 0, 8, 4]


def test_tensorrt_folders_with_something_missing(tmp_path: Path) -> None:
    """A missing rank is a warning; missing meta data, foreign keys and damage are refused."""
    assert any(
        "ranks 0 are missing" in text for text in read_load_file(statistics(tmp_path / "a", ranks=(1,))).warnings
    )
    folder = statistics(tmp_path / "b")
    (folder / "rank0.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(InstanceError, match="is no safetensors file"):
        read_loads(folder)
    save_file({"weight": np.ones(4)}, folder / "rank0.safetensors")
    with pytest.raises(InstanceError, match="<iteration>_<layer>"):
        read_loads(folder)
    (folder / "meta_info.json").unlink()
    with pytest.raises(InstanceError, match=r"meta_info\.json: missing"):
        read_loads(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InstanceError, match="holds no rank"):
        read_loads(tmp_path / "empty")


def activation_line(step: int, rank: int, layer: int, *counts: int, mode: str = "decode") -> str:
    """Write one line of omni-infer's log."""
    data = "\t".join(map(str, counts))
    where = f"step {step} in rank {rank} for layer {layer}"
    return f"[dump activation] {mode} {where} get {len(counts)} experts data: {data}\n"


def test_omni_infer_logs_join_ranks_and_sum_steps(tmp_path: Path) -> None:
    """Rank r holds experts 2r and 2r + 1; two steps; other log lines and GBK text do not matter."""
    lines = [
        activation_line(step, rank, layer, 10 * step + rank, layer)
        for step in (1, 2)
        for rank in (0, 1)
        for layer in (0, 1)
    ]
    text = "其他日志 INFO started\n" + "".join(f"2025-08-01 10:00:00 INFO {line}" for line in lines)
    (tmp_path / "a.log").write_bytes(text.encode("gbk"))
    assert read_loads(tmp_path / "a.log").tolist() == [[30, 0, 32, 0], [30, 2, 32, 2]]
    (tmp_path / "b.log").write_text(lines[0] + lines[1] + lines[2])
    with pytest.raises(InstanceError, match="layer 1: the counts of rank 1 are missing"):
        read_loads(tmp_path / "b.log")
    (tmp_path / "c.log").write_text(lines[0].replace("get 2", "get 3"))
    with pytest.raises(InstanceError, match="line 1: is not a whole activation line"):
        read_loads(tmp_path / "c.log")


def test_omni_infer_count_files_join_ranks(tmp_path: Path) -> None:
    """One file a rank, one row a layer."""
    for rank in (0, 1):
        (tmp_path / f"activation_counts_recordstep_425_rank_{rank}.txt").write_text(f"{rank}\t2\t\n3\t{rank}\n")
    assert read_loads(tmp_path).tolist() == [[0, 2, 1, 2], [3, 0, 3, 1]]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"logicalCount": [[1, 2]]}, [[1, 2]]),
        ({"Expert-Load": [[1.0, 2.0]]}, [[1, 2]]),
        ({"tokens_per_expert": {"3": [1, 2], "4": [3, 4]}}, [[0, 0]] * 3 + [[1, 2], [3, 4]]),
        ({"layer_0": [1, 2], "layer_1": [3, 4]}, [[1, 2], [3, 4]]),
        ({"model.layers.1.mlp": [1, 2]}, [[0, 0], [1, 2]]),
        ({"load_history": [{"logical_expert_load": [[1, 2]]}, {"logical_expert_load": [[3, 4]]}]}, [[4, 6]]),
        ({"physical_count": [[5, 1, 2, 3]], "physical_to_logical_map": [[0, 1, 2, 0]]}, [[8, 1, 2]]),
        ({"physical_count": [[5, 1, 2, 9]], "phy2log": [[0, 1, 2, -1]]}, [[5, 1, 2]]),
        ({"DeepseekV3": {"stats": {"expert_load": [[1, 2]]}}, "window": 5}, [[1, 2]]),
        ([{"layer": 0, "expert": 0, "count": 1}, {"layer": 0, "expert": 1, "count": 5}], [[1, 5]]),
        ([{"layer_id": 1, "expert_load": [1, 2]}, {"layer_id": 0, "expert_load": [3, 4]}], [[3, 4], [1, 2]]),
        ([{"logical_count": [[1, 2]]}, {"logical_count": [[3, 4]]}], [[4, 6]]),
    ],
)
def test_spellings_of_json_loads(tmp_path: Path, document: object, expected: list[list[float]]) -> None:
    """Keys in other spellings, layers as keys, history, slots with their map, rows of objects."""
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert read_loads(tmp_path / "a.json").tolist() == expected


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json.gz", gzip.compress(b'{"logical_count": [[1, 2], [3, 4]]}')),
        ("a.json", b'\xef\xbb\xbf{"logical_count": [[1, 2], [3, 4]]}'),
        ("a.json", '{"logical_count": [[1, 2], [3, 4]]}'.encode("utf-16")),
        ("a.txt", b"1 2\n3 4\n"),
        ("a.tsv", b"1\t2\n3\t4\n"),
        ("a.csv", b"1;2\r\n3;4\r\n"),
        ("no_suffix", b"# counts\n1,2\n3,4\n"),
        ("a.csv", b"layer,e0,e1\n0,1,2\n1,3,4\n"),
        ("a.csv", b",ep_0,ep_1\nlayer_0,1,2\nlayer_1,3,4\n"),
        ("a.csv", b"layer_id;expert_id;tokens\n0;0;1\n0;1;2\n1;0;3\n1;1;4\n"),
        ("a.jsonl", b'{"layer": 0, "expert_load": [1, 2]}\n{"layer": 1, "expert_load": [3, 4]}\n'),
        ("wrong_suffix.csv", b"[[1, 2], [3, 4]]"),
    ],
)
def test_packed_marked_and_misnamed_files(tmp_path: Path, name: str, data: bytes) -> None:
    """gzip, byte-order marks, other separators, index columns; the content decides, not the suffix."""
    (tmp_path / name).write_bytes(data)
    assert read_loads(tmp_path / name).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"logical_count": [[1, 2],]}', "comma before a closing bracket"),
        (b'{"logical_count": [[1, 2, ...]]} // cut', "comments and dots in place of left-out numbers"),
        (b"// head\n[[1, ..., 3]]", "comments and dots"),
        (b"\x1f\x8b damaged", "damaged gzip"),
        (b"\xff\xfe\x00\xd8\x00\x00", "neither text"),
        (b"\x00\x01\x02\x03", "neither text"),
        (b"   \n", "is empty"),
        (b"# Title\n\nSome prose about loads, with 3 numbers.", "is not a load file"),
        (b"num_slots: 6\ninitial_global_assignments:\n  3: [0, 1]\n", "placement map, not a load"),
        (b'{"moe_layer_count": 1, "layer_list": []}', "placement map, not a load"),
        (b'[[1, 2], {"a": 1}]', "is not a number"),
        (b"[" * 5000 + b"]" * 5000, "is not JSON"),
        (b"[[[[[[[1]]]]]]]", "nested too deeply"),
        (b'{"logical_count": {"a": [1]}}', "whose keys are not layers"),
        (b"[Expert Balancedness] forward_pass_id=3 current_pass_balancedness=0.512 \n", "SGLang log of balance"),
        (b"PK\x03\x04 not a zip", "not an archive"),
        (b"\x93NUMPY\x01\x00broken", "not a plain array"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    """What the file is instead, or where it is damaged; never a traceback."""
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InstanceError, match=message):
        read_loads(tmp_path / "file")
