"""Maps in every engine's form, written by hand: the example of four experts in six slots on three ranks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch_files import save

from planner.errors import InstanceError
from planner.exchange.any_map import read_any_map
from planner.exchange.expert_map import inspect
from planner.plan import Plan

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[0, 2, 1, 0, 3, 1], [3, 0, 2, 3, 1, 2]]
ASCEND = {
    "moe_layer_count": 2,
    "layer_list": [
        {
            "layer_id": layer,
            "device_count": 3,
            "device_list": [{"device_id": rank, "device_expert": row[2 * rank : 2 * rank + 2]} for rank in (2, 0, 1)],
        }
        for layer, row in ((1, ROWS[1]), (0, ROWS[0]))
    ],
}
HYGON = {
    "version": 2,
    "format": "vllm_offline_eplb_physical_to_logical_by_model",
    "model_maps": {"Main": {"physical_to_logical_map": ROWS}, "MainMTP": {"physical_to_logical_map": ROWS[:1]}},
}
TENSORRT = """num_slots: 6
initial_global_assignments:
  3: [0, 2, 1, 0, 3, 1]
  4: [3, 0, 2, 3, 1, 2]
layer_updates_per_iter: 0
"""
LOG2PHY = [[[0, 3], [2, 5], [1, -1], [4, -1]], [[1, -1], [4, -1], [2, 5], [0, 3]]]


def written(folder: Path, content: Any, name: str = "map.json") -> Path:  # noqa: ANN401 - text, or anything for JSON
    """Write text, or JSON of anything else."""
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / name


@pytest.mark.parametrize(
    ("content", "gpus"),
    [
        ({"physical_to_logical_map": ROWS}, None),
        ({"physical_to_logical_map": ROWS, "logical_replica_count": [[2, 2, 1, 1], [1, 1, 2, 2]]}, None),
        ({"phy2log": ROWS}, None),
        ({"physical-to-logical-map": {"0": ROWS[0], "1": ROWS[1]}}, None),
        (ROWS, None),
        ([[row[:2], row[2:4], row[4:]] for row in ROWS], 3),
        ({"eplb_config": {"physical_to_logical_map": ROWS}}, None),
        (ASCEND, 3),
        (ASCEND["layer_list"], 3),
        (HYGON, None),
        ({"logical_to_physical_map": LOG2PHY}, None),
        ("0,2,1,0,3,1\n3,0,2,3,1,2\n", None),
        ({"expert_maps": {"3x2": ROWS}}, 3),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, content: Any, gpus: int | None) -> None:  # noqa: ANN401
    """Slot by slot; ranks where the form says them."""
    found = read_any_map(written(tmp_path, content))
    assert found.rows.tolist() == ROWS
    assert (found.gpus, found.experts) == (gpus, 4)


def test_arrays_and_tensors(tmp_path: Path) -> None:
    """Plain arrays, archives, and SGLang's .pt."""
    np.save(tmp_path / "a.npy", np.array(ROWS))
    np.savez(tmp_path / "b.npz", phy2log=np.array(ROWS), other=np.zeros(2))
    save(tmp_path / "c.pt", {"physical_to_logical_map": np.array(ROWS)})
    for name in ("a.npy", "b.npz", "c.pt"):
        assert read_any_map(tmp_path / name).rows.tolist() == ROWS


def test_tensorrt_layers_are_decoder_layers(tmp_path: Path) -> None:
    """Layers 3 and 4; without a load, layers 0-2 are filled; nested in the options or as JSON it is the same map."""
    path = written(tmp_path, TENSORRT, "a.yaml")
    assert read_any_map(path).layers == (3, 4)
    filler = [[0, 1, 2, 3, 0, 1]] * 3
    assert read_any_map(path).rows.tolist() == filler + ROWS
    nested = "moe_config:\n  load_balancer:\n" + "".join(f"    {line}\n" for line in TENSORRT.splitlines())
    assert read_any_map(written(tmp_path, nested, "b.yaml")).rows.tolist() == filler + ROWS
    document = {"num_slots": 6, "initial_global_assignments": {"3": ROWS[0], "4": ROWS[1]}}
    assert read_any_map(written(tmp_path, document)).rows.tolist() == filler + ROWS


def test_rows_are_spread_over_the_layers_of_a_load(tmp_path: Path) -> None:
    """A load with dense layer 0: rows of MoE layers alone, of all layers, of decoder layers, or one for all."""
    dense = np.array([True, False, False])
    filler = [0, 1, 2, 3, 0, 1]
    for content in (ROWS, [filler, *ROWS], {"initial_global_assignments": {"1": ROWS[0], "2": ROWS[1]}}):
        assert read_any_map(written(tmp_path, content), dense_layers=dense).rows.tolist() == [filler, *ROWS]
    assert read_any_map(written(tmp_path, ROWS[0]), dense_layers=dense).rows.tolist() == [filler, ROWS[0], ROWS[0]]
    with pytest.raises(InstanceError, match="has 2 rows; the load has 4 layers, 3 of them with experts"):
        read_any_map(written(tmp_path, ROWS), dense_layers=np.array([True, False, False, False]))


def test_the_model_of_a_two_model_file(tmp_path: Path) -> None:
    """The first by default, and said; the named one; a name that is not there is refused."""
    path = written(tmp_path, HYGON)
    assert "Main is read, not MainMTP" in read_any_map(path).warnings[0]
    assert read_any_map(path, model="MainMTP").rows.tolist() == ROWS[:1]
    with pytest.raises(InstanceError, match="has no Other"):
        read_any_map(path, model="Other")


def test_ranks_of_experts_become_slots(tmp_path: Path) -> None:
    """The form of vLLM issue 34297: expert 0 on rank 1, 1 on 0, 2 on 1, 3 on 0; unequal ranks leave empty slots."""
    found = read_any_map(written(tmp_path, {"expert_to_ep_rank": [1, 0, 1, 0]}))
    assert found.rows.tolist() == [[1, 3, 0, 2]]
    assert (found.gpus, found.shared) == (2, True)
    assert read_any_map(written(tmp_path, {"expert_to_ep_rank": [0, 0, 1]})).rows.tolist() == [[0, 1, 2, -1]]


def test_unequal_devices_are_padded_and_said(tmp_path: Path) -> None:
    """Device 1 holds one expert, device 0 two."""
    devices = [{"device_id": 0, "device_expert": [0, 2]}, {"device_id": 1, "device_expert": [1]}]
    found = read_any_map(written(tmp_path, {"layer_list": [{"layer_id": 0, "device_list": devices}]}))
    assert found.rows.tolist() == [[0, 2, 1, -1]]
    assert "devices hold 1 to 2 experts" in found.warnings[0]
    assert inspect(found.rows, 2).uneven == ((0, 1, 2),)


def test_a_pattern_in_another_order_of_axes(tmp_path: Path) -> None:
    """[layer, device, expert]: read as such because only then every expert has a copy."""
    pattern = np.zeros((3, 2, 4), dtype=int)  # 3 layers, 2 devices, 4 experts
    pattern[:, 0, :2], pattern[:, 1, 2:] = 1, 1
    np.save(tmp_path / "a.npy", pattern)
    found = read_any_map(tmp_path / "a.npy")
    assert found.rows.tolist() == [[0, 1, 2, 3]] * 3
    assert "[layer, device, expert]" in found.warnings[0]


def test_run_folders(tmp_path: Path) -> None:
    """The map of a plan is chosen by ranks where it has several."""
    plan = Plan(case="c", deployments=(), domains=(), expert_maps={"3x2": ROWS, "2x2": [[0, 1, 2, 3]]})
    plan.write(tmp_path / "plan.json")
    assert read_any_map(tmp_path, gpus=3).rows.tolist() == ROWS
    with pytest.raises(InstanceError, match="holds the maps 3x2, 2x2"):
        read_any_map(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InstanceError, match="holds none of"):
        read_any_map(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"physical_to_logical_map": [[0, 1], [0]]}, r"\[1\]: has 1 entries"),
        ({"physical_to_logical_map": [[0, 1.5]]}, "not expert ids"),
        ({"physical_to_logical_map": [[0, -2]]}, "ids from -2"),
        ({"physical_to_logical_map": [[-1, -1]]}, "ids from -1 to -1"),
        ({"physical_to_logical_map": []}, "has shape"),
        ({"logical_count": [[1, 2]]}, "is a load, not a map"),
        ({"hello": 1}, "missing; the file has hello"),
        ({"layer_list": []}, "layer_list: is empty"),
        ({"layer_list": [{"device_list": [{"device_id": 1, "device_expert": [0]}]}]}, "is damaged"),
        ({"layer_list": [5]}, "is damaged"),
        ({"initial_global_assignments": {"3": [0, 1]}, "num_slots": 4}, "num_slots: is 4, the rows have 2"),
        ({"initial_global_assignments": [[0]]}, "not keyed by layer"),
        ({"model_maps": {}}, "is not an object of maps"),
        ({"expert_to_ep_rank": [0, "a"]}, "not a number"),
        ({"expert_to_ep_rank": {"0": 0, "2": 1}}, "does not name every expert once"),
        ("num_slots: 4\ninitial_global_assignments:\n  3: [0, ..., 1]\n", "dots stand in place"),
        ("a: [1, 2\nb: 3\n", "is not YAML"),
        ("some prose, no map at all", "is not a map"),
        ("2 1 2\n1 0\n0\n", "has 3 entries"),
    ],
)
def test_damaged_maps_are_refused(tmp_path: Path, content: Any, message: str) -> None:  # noqa: ANN401
    """With the key and the reason; never a traceback."""
    with pytest.raises(InstanceError, match=message):
        read_any_map(written(tmp_path, content))


def test_ranks_must_agree(tmp_path: Path) -> None:
    """A map for three ranks is not one for two; six slots do not spread over four."""
    with pytest.raises(InstanceError, match="is a map for 3 ranks, not for 2"):
        read_any_map(written(tmp_path, ASCEND), gpus=2)
    with pytest.raises(InstanceError, match="6 slots do not spread evenly over 4 GPUs"):
        read_any_map(written(tmp_path, ROWS), gpus=4)


def test_what_is_odd_about_a_map() -> None:
    """Rank 0 holds expert 1 three times; expert 2 is nowhere in layer 1; rank 1 of layer 1 has an empty slot."""
    report = inspect(np.array([[1, 1, 1, 0, 2, 3], [0, 1, 3, 0, 1, -1]]), 2)
    assert report.duplicates == ((0, 0, 1, 3),)
    assert report.missing == ((1, 2),)
    assert report.uneven == ((1, 2, 3),)
    notes = " ".join(report.notes())
    assert "rank 0, expert 1 has 3" in notes
    assert "2 in layer 1" in notes
