"""Maps as engines load them, against the hand-made examples of their documentation; and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from planner.errors import InstanceError
from planner.exchange.any_map import read_any_map
from planner.exchange.engine_maps import ENGINES
from planner.exchange.exports import Written, exports_of, path_of, write_export
from planner.plan import Deployment, Plan

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[0, 2, 1, 0, 3, 1], [3, 0, 2, 3, 1, 2]]
FILLER = [0, 1, 2, 3, 0, 1]


def written(folder: Path, rows: object, to: str, **options: Any) -> Written:  # noqa: ANN401 - of exports_of
    """Export the map to ``folder``."""
    source = folder / "map.json"
    source.write_text(json.dumps({"physical_to_logical_map": rows}))
    given = {"model_name": None, "first_moe_layer": None, "gpus": 3} | options
    exports, _, _ = exports_of(source, to, **given)
    assert len(exports) == 1
    return write_export(exports[0], to, path_of(source, to, None, "", several=False))


def test_sglang_has_one_key_and_a_row_for_every_decoder_layer(tmp_path: Path) -> None:
    """Two MoE layers from layer 3: three filled rows before them, and nothing beside the map."""
    export = written(tmp_path, ROWS, "sglang", first_moe_layer=3)
    document = json.loads(export.files[0].read_text())
    assert document == {"physical_to_logical_map": [FILLER] * 3 + ROWS}
    assert export.flags == (
        "--ep-size 3",
        "--ep-num-redundant-experts 2",
        f"--init-expert-location {export.files[0]}",
        "--ep-dispatch-algorithm dynamic",
    )


def test_vllm_has_moe_layers_alone(tmp_path: Path) -> None:
    """The list form of pull request 49572; the filled row of a dense layer is left out."""
    export = written(tmp_path, [FILLER, *ROWS], "vllm", first_moe_layer=1)
    assert json.loads(export.files[0].read_text()) == ROWS
    assert export.flags[:2] == ("--enable-expert-parallel", "--enable-eplb")
    config = json.loads(export.flags[2].removeprefix("--eplb-config '").removesuffix("'"))
    assert config == {"num_redundant_experts": 2, "initial_expert_map_path": str(export.files[0])}


def test_tensorrt_is_keyed_by_decoder_layer(tmp_path: Path) -> None:
    """The documented example, character by character, and the options file that names it."""
    export = written(tmp_path, ROWS, "trtllm", first_moe_layer=3)
    assert export.files[0].read_text() == (
        "num_slots: 6\n"
        "initial_global_assignments:\n"
        "  3: [0, 2, 1, 0, 3, 1]\n"
        "  4: [3, 0, 2, 3, 1, 2]\n"
        "layer_updates_per_iter: 0\n"
    )
    options = yaml.safe_load(export.files[1].read_text())
    assert options == {"enable_attention_dp": True, "moe_config": {"load_balancer": str(export.files[0])}}
    assert export.flags[2] == f"--extra_llm_api_options {export.files[1]}"
    assert any("18626" in note for note in ENGINES["trtllm"].notes)


def test_vllm_ascend_lists_devices(tmp_path: Path) -> None:
    """MoE layers from 0, devices in rank order."""
    document = json.loads(written(tmp_path, ROWS, "vllm-ascend").files[0].read_text())
    assert document["moe_layer_count"] == 2
    assert document["layer_list"][1] == {
        "layer_id": 1,
        "device_count": 3,
        "device_list": [
            {"device_id": 0, "device_expert": [3, 0]},
            {"device_id": 1, "device_expert": [2, 3]},
            {"device_id": 2, "device_expert": [1, 2]},
        ],
    }


def test_hygon_names_the_model_class(tmp_path: Path) -> None:
    """Version 2, with the numbers its loader checks."""
    document = json.loads(written(tmp_path, ROWS, "hygon", model_name="HYV4ForCausalLM").files[0].read_text())
    entry = document["model_maps"]["HYV4ForCausalLM"]
    assert (document["version"], entry["num_moe_layers"], entry["num_logical_experts"]) == (2, 2, 4)
    assert (entry["num_physical_experts"], entry["num_redundant_experts"]) == (6, 2)
    assert entry["physical_to_logical_map"] == ROWS


def test_ranks_of_experts_hold_no_copies_and_no_layers(tmp_path: Path) -> None:
    """The form of vLLM pull request 34811: [[1, 3], [0, 2]] is ranks 1, 0, 1, 0; copies, unlike layers: refused."""
    export = written(tmp_path, [[1, 3, 0, 2]] * 2, "vllm-ranks", gpus=2)
    assert json.loads(export.files[0].read_text()) == {"expert_to_ep_rank": [1, 0, 1, 0]}
    with pytest.raises(InstanceError, match="no place for copies"):
        written(tmp_path, ROWS, "vllm-ranks")
    with pytest.raises(InstanceError, match="differs from layer to layer"):
        written(tmp_path, [[1, 3, 0, 2], [0, 1, 2, 3]], "vllm-ranks", gpus=2)


@pytest.mark.parametrize("to", ["sglang", "vllm", "trtllm", "vllm-ascend", "hygon"])
def test_round_trips(tmp_path: Path, to: str) -> None:
    """What is written is read back, slot by slot."""
    export = written(tmp_path, ROWS, to)
    assert read_any_map(export.files[0], gpus=3).rows.tolist() == ROWS


def test_the_model_says_its_layers(tmp_path: Path) -> None:
    """DeepSeek-V3: 61 decoder layers, 3 dense; from 58 rows or from 61 the exports are the same."""
    moe = np.tile(np.arange(256), (58, 1))[:, ::-1]
    whole = np.vstack([np.tile(np.arange(256), (3, 1)), moe])
    for rows in (moe, whole):
        options = {"model_name": "deepseek-v3", "gpus": 32}
        sglang = json.loads(written(tmp_path, rows.tolist(), "sglang", **options).files[0].read_text())
        assert sglang == {"physical_to_logical_map": whole.tolist()}
        assert json.loads(written(tmp_path, rows.tolist(), "vllm", **options).files[0].read_text()) == moe.tolist()
        tensorrt = yaml.safe_load(written(tmp_path, rows.tolist(), "trtllm", **options).files[0].read_text())
        assert list(tensorrt["initial_global_assignments"]) == list(range(3, 61))
    with pytest.raises(InstanceError, match="has 57 rows; deepseek-v3 has 61 layers, 58 with experts"):
        written(tmp_path, moe[:57].tolist(), "sglang", model_name="deepseek-v3", gpus=32)
    with pytest.raises(InstanceError, match="holds 4 experts, deepseek-v3 has 256"):
        written(tmp_path, ROWS, "sglang", model_name="deepseek-v3")


def test_only_valid_maps_leave(tmp_path: Path) -> None:
    """A missing expert, slots that do not divide, no ranks, one rank for TensorRT-LLM: refused with the reason."""
    cases: list[tuple[object, str, dict[str, Any], str]] = [
        ([[0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 1, 2]], "vllm", {}, "first: expert 3 in MoE layer 0"),
        (ROWS, "vllm", {"gpus": 4}, "6 slots do not spread evenly over 4"),
        (ROWS, "vllm-ascend", {"gpus": None}, "--gpus: missing"),
        ([[0, 1, -1]], "vllm", {"gpus": None}, "--gpus: missing"),
        (ROWS, "trtllm", {"gpus": 1}, "is for one rank"),
        (ROWS, "other", {}, "--to: is 'other'"),
        (ROWS, "sglang", {"first_moe_layer": -1}, "--first-moe-layer: is -1"),
    ]
    for rows, to, options, message in cases:
        with pytest.raises(InstanceError, match=message):
            written(tmp_path, rows, to, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.json"]


def test_ranks_may_stay_unknown_where_the_form_has_none(tmp_path: Path) -> None:
    """SGLang's file is the same; the flag of the ranks is left out, and it is said."""
    export = written(tmp_path, ROWS, "sglang", gpus=None)
    assert json.loads(export.files[0].read_text()) == {"physical_to_logical_map": ROWS}
    assert export.flags[0] == "--ep-num-redundant-experts 2"
    assert (export.export.gpus, export.document(str)["ranks"]) == (None, None)
    assert any("--gpus" in note for note in export.export.notes)


def test_empty_slots_are_filled_and_dead_ranks_left_out(tmp_path: Path) -> None:
    """Rank 1 is dead; rank 2 has an empty slot, which gets expert 0: fewest copies, not yet on that rank."""
    source = tmp_path / "map.json"
    source.write_text(json.dumps({"physical_to_logical_map": [[0, 1, -1, -1, 1, -1]]}))
    (export,), _, _ = exports_of(source, "vllm", model_name=None, first_moe_layer=None, gpus=3)
    assert export.placed.rows.tolist() == [[0, 1, 1, 0]]
    assert (export.placed.ranks, export.gpus) == (2, 2)
    assert any("ranks [1] hold no experts" in note for note in export.notes)
    assert any("1 empty slots are filled" in note for note in export.notes)


def a_run(folder: Path) -> Path:
    """Write a plan with a decode deployment (EP = TP x DP = 3), one of EP 3 on 6 GPUs, and one without a map."""
    sizes = {"decode": (3, 1, 3), "wide": (3, 2, 3), "single": (1, 1, 1)}
    deployments = [
        Deployment(
            name=name,
            pool="pool",
            phase="decode",
            replicas=2,
            tensor_parallel=tensor,
            data_parallel=data,
            pipeline_parallel=1,
            expert_parallel=ranks,
            slots_per_gpu=3 if ranks == 3 else 8,
            decode_batch=8,
            prefill_requests=0,
            requests_per_s={"chat": 1.0},
        )
        for name, (data, tensor, ranks) in sizes.items()
    ]
    rows = [[0, 1, 2, 3, 4, 5, 6, 7, 0]] * 32
    Plan(case="c", deployments=tuple(deployments), domains=(), expert_maps={"3x3": rows}).write(folder / "plan.json")
    (folder / "manifest.json").write_text(json.dumps({"result": {"model": "mixtral-8x7b"}}))
    return folder


def test_deployments_of_a_run(tmp_path: Path) -> None:
    """Each deployment with its own sizes; what an engine cannot run is left out and named."""
    exports, notes, model = exports_of(a_run(tmp_path), "sglang", model_name=None, first_moe_layer=None, gpus=None)
    assert model is not None
    assert [(export.name, export.gpus) for export in exports] == [("decode", 6), ("wide", 12)]
    assert any("single: holds all experts on every rank" in note for note in notes)
    paths = [
        write_export(export, "sglang", path_of(tmp_path, "sglang", None, export.name, several=True))
        for export in exports
    ]
    assert [written.files[0].name for written in paths] == [
        "sglang_expert_map_decode.json",
        "sglang_expert_map_wide.json",
    ]
    assert paths[1].flags[:3] == ("--tp-size 6", "--dp-size 3 --enable-dp-attention", "--ep-size 3")
    exports, notes, _ = exports_of(tmp_path, "vllm", model_name=None, first_moe_layer=None, gpus=None)
    assert [export.name for export in exports] == ["decode"]
    assert any("wide: vllm has no other EP size than TP x DP = 6; the plan has 3" in note for note in notes)
    assert ENGINES["vllm"].flags(exports[0].placed, "m.json")[0] == "--data-parallel-size 3"


def test_a_run_without_a_model_asks_for_it(tmp_path: Path) -> None:
    """No manifest, no --model: refused."""
    (a_run(tmp_path) / "manifest.json").unlink()
    with pytest.raises(InstanceError, match="--model: missing"):
        exports_of(tmp_path, "vllm", model_name=None, first_moe_layer=None, gpus=None)
