"""Every public dump of the shared folder is read with the fact its source states, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planner.errors import InstanceError
from planner.exchange.any_map import read_any_map
from planner.exchange.expert_map import inspect
from planner.exchange.loads import read_load_file

DUMPS = Path(__file__).resolve().parents[4] / "shared" / "data" / "real_inputs" / "expert_dumps"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not DUMPS.is_dir(), reason="no shared data folder"),
]

LOADS = {
    "eplb_readme_2layers_12experts_load.json": ((2, 12), [1033, 1156]),
    "scattermoe_training_16layers_8experts_balanced.json": ((16, 8), [5120] * 16),
    "sglang_logical_count_step_layer_expert_tiny.json": ((2, 2), [10, 10]),
}
"""Shape [layer, expert] and the sum of each layer."""

MAPS = {
    "eplb_readme_map_8gpus_2nodes_16slots.json": (2, 16, 12, None, 2 * 4),
    "omni_infer_pattern_4devices_58layers_64experts.txt": (58, 68, 64, 4, 58 * 4),
    "omni_infer_pattern_base_4devices_first4layers_256experts.npy": (4, 256, 256, 4, 0),
    "omni_infer_pattern_redundant_10layers_32dies_gsm8k_decode.npz": (58, 288, 256, 32, 320),
    "omni_infer_pattern_redundant_32devices_up_to_4_copies.npz": (58, 288, 256, 32, 1848),
    "vllm_ascend_expert_map_2devices_8experts_2redundant.json": (1, 10, 8, 2, 2),
}
"""Rows, slots, experts, ranks, copies beyond one an expert over all layers."""

NEITHER = {
    "eplb_issue22_duplicate_expert_on_one_rank.json": ("first 22 of 256 counts", "rank 16 holds expert 236 2 times"),
    "omni_infer_dump_activation.log": ("layer 0: the counts of rank 1 are missing", "log of expert counts, not a map"),
    "sglang_unreduced_one_rank_only_16_of_256.json": ("only experts 0-15 of 256 were seen", "is a load, not a map"),
    "trtllm_moe_load_balancer_elided.yaml": ("is a placement map, not a load", "dots stand in place of left-out"),
    "vllm_eplb_balancedness.log": ("3 lines with the mean / max tokens of a rank, 0.5", "log of balance"),
}
"""Why it is refused as a load, and as a map."""


@pytest.mark.parametrize("name", LOADS)
def test_loads_are_read(name: str) -> None:
    """Shape and layer totals; refused as a map."""
    shape, totals = LOADS[name]
    table = read_load_file(DUMPS / name).table
    assert table.shape == shape
    assert table.sum(axis=1).tolist() == totals
    with pytest.raises(InstanceError, match="is a load, not a map"):
        read_any_map(DUMPS / name)


def test_the_balanced_training_load() -> None:
    """Scattermoe issue 10: the largest over the mean load of a layer is 1.02 to 1.22."""
    table = read_load_file(DUMPS / "scattermoe_training_16layers_8experts_balanced.json").table
    peak = table.max(axis=1) / table.mean(axis=1)
    assert peak.min() == pytest.approx(1.02, abs=0.005)
    assert peak.max() == pytest.approx(1.22, abs=0.005)


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_read(name: str) -> None:
    """Rows, slots, experts, ranks and copies; every expert is there; refused as a load."""
    rows, slots, experts, gpus, copies = MAPS[name]
    found = read_any_map(DUMPS / name)
    assert found.rows.shape == (rows, slots)
    assert (found.experts, found.gpus) == (experts, gpus)
    held = int((found.rows >= 0).sum()) - experts * rows
    assert held == copies
    assert inspect(found.rows, found.gpus).missing == ()
    with pytest.raises(InstanceError, match=r"placement (map|pattern)"):
        read_load_file(DUMPS / name)


def test_uneven_dies_and_copies_of_omni_infer() -> None:
    """Ten layers have copies, 8 or 9 experts a die; the other pattern has up to 4 copies and one uneven layer."""
    found = read_any_map(DUMPS / "omni_infer_pattern_redundant_10layers_32dies_gsm8k_decode.npz")
    held = (found.rows.reshape(58, 32, 9) >= 0).sum(axis=2)
    assert set(np.unique(held)) == {8, 9}
    assert int((held.sum(axis=1) > 256).sum()) == 10
    found = read_any_map(DUMPS / "omni_infer_pattern_redundant_32devices_up_to_4_copies.npz")
    assert max(np.bincount(row[row >= 0]).max() for row in found.rows) == 4
    assert [layer for layer, *_ in inspect(found.rows, 32).uneven] == [47]


def test_the_copies_of_vllm_ascend() -> None:
    """Experts 7 and 2 have a copy on each of the two devices."""
    found = read_any_map(DUMPS / "vllm_ascend_expert_map_2devices_8experts_2redundant.json")
    first, second = found.rows[0].reshape(2, 5)
    assert set(first) & set(second) == {2, 7}


@pytest.mark.parametrize("name", NEITHER)
def test_the_others_are_refused_with_the_reason(name: str) -> None:
    """As a load and as a map."""
    as_load, as_map = NEITHER[name]
    with pytest.raises(InstanceError, match=as_load):
        read_load_file(DUMPS / name)
    with pytest.raises(InstanceError, match=as_map):
        read_any_map(DUMPS / name)


def test_no_dump_is_left_out() -> None:
    """The three tables above name every file of the folder but the list of sources."""
    known = {*LOADS, *MAPS, *NEITHER, "SOURCES.md"}
    assert {path.name for path in DUMPS.iterdir()} <= known
