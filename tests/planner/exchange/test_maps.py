from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from planner.errors import InstanceError
from planner.exchange.maps import Duplicate, duplicates, map_problems, read_map, write_map

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def test_a_map_file_holds_one_key_and_returns_as_written(tmp_path: Path) -> None:
    """SGLang passes the document on as keyword arguments: one key, nothing else; no draft is left behind."""
    placed = np.array([[0, 2, 1, 0, 3, 1], [3, 0, 2, 3, 1, 2]])
    write_map(tmp_path / "map.json", placed)
    assert list(json.loads((tmp_path / "map.json").read_text())) == ["physical_to_logical_map"]
    assert read_map(tmp_path / "map.json").tolist() == placed.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["map.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"a": 1}', "is not a list of rows"),
        ('{"physical_to_logical_map": [[0, 1], [0]]}', "has 1 slots, the first row has 2"),
        ('{"physical_to_logical_map": [[0, 1.5]]}', "not an expert id"),
        ('{"physical_to_logical_map": [[0, true]]}', "not an expert id"),
    ],
)
def test_bad_map_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """Each defect is named."""
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(InstanceError, match=message):
        read_map(tmp_path / "map.json")


def test_checks_of_a_map() -> None:
    """Width, rows, ids out of range and missing experts are all reported."""
    messages = [str(problem) for problem in map_problems(np.array([[0, 1, 5]]), 3, 2, layers=2)]
    assert len(messages) == 4
    for part in (
        "3 slots do not spread evenly over 2 GPUs",
        "2 layers",
        "expert 5 is not among 0-2",
        "no copy of expert 2",
    ):
        assert any(part in message for message in messages)
    assert map_problems(np.array([[0, 1, 2, -1]]), 3, 2) == []


def test_a_doubled_expert_is_flagged() -> None:
    """The published case (EPLB issue 22): rank 16 holds expert 236 twice; empty slots are not doubles."""
    rank16 = [200, 226, 236, 236, 12, 204, 156, 229, 184]
    placed = np.arange(32 * 9).reshape(32, 9) % 256
    placed[16] = rank16
    assert duplicates(placed.reshape(1, -1), 32) == [Duplicate(layer=0, gpu=16, expert=236)]
    assert duplicates(np.array([[0, 1, -1, -1]]), 2) == []


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data folder")
def test_the_published_map_is_read_and_sound() -> None:
    """The EPLB README map: 12 experts, 8 GPUs, legal and without doubles."""
    placed = read_map(DATA / "real_inputs" / "expert_dumps" / "eplb_readme_map_8gpus_2nodes_16slots.json")
    assert map_problems(placed, 12, 8, layers=2) == []
    assert duplicates(placed, 8) == []
