"""Files with bytes or entries changed at random: read, or refused as bad input; never a traceback."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from torch_files import save

from planner.errors import InstanceError
from planner.exchange.any_map import read_any_map
from planner.exchange.loads import read_load_file
from planner.exchange.recorded_routing import read_recorded_routing

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = {
    "records": [{"rank": 0, "global_physical_count": [[5, 1]], "topk_ids_of_layer": [[[0, 1]]]}],
    "last_physical_to_logical_map": [[0, 1]],
}
DOCUMENTS: list[Any] = [
    {"logical_count": [[1, 2], [3, 4]]},
    {"load_history": [{"expert_load": [[1, 2]]}]},
    RECORDS,
    {"model_maps": {"A": {"physical_to_logical_map": [[0, 1]]}}},
    {"layer_list": [{"layer_id": 0, "device_list": [{"device_id": 0, "device_expert": [0]}]}]},
    {"initial_global_assignments": {"3": [0, 1]}, "num_slots": 2},
    {"expert_to_ep_rank": [0, 1]},
    {"logical_to_physical_map": [[[0], [1]]]},
    {"expert_maps": {"2x1": [[0, 1]]}},
    {"3": [1, 2], "4": [3, 4]},
    [{"layer": 0, "expert": 1, "count": 3}],
]
JUNK: list[Any] = [None, True, -1, 1.5, 1e400, "x", [], {}, [[]], [1, [2]], 10**30, [None], {"a": 1}, "...", 2**40]
READERS = (read_load_file, read_any_map, read_recorded_routing)


def changed(node: Any, draw: random.Random) -> Any:  # noqa: ANN401 - any tree
    """Replace and drop entries of a tree."""
    if draw.random() < 0.12:
        return draw.choice(JUNK)
    if isinstance(node, dict):
        return {key: changed(value, draw) for key, value in node.items() if draw.random() > 0.07}
    if isinstance(node, list):
        return [changed(value, draw) for value in node if draw.random() > 0.07]
    return node


def try_all(path: Path) -> None:
    """Read a file as everything it could be."""
    for reader in READERS:
        with suppress(InstanceError):
            reader(path)


def test_changed_documents(tmp_path: Path) -> None:
    """200 documents with entries of the wrong kind, missing or misplaced."""
    draw = random.Random(0)
    for _ in range(200):
        (tmp_path / "file.json").write_text(json.dumps(changed(draw.choice(DOCUMENTS), draw)))
        try_all(tmp_path / "file.json")


@pytest.mark.parametrize("kind", ["npy", "npz", "pt", "csv", "yaml", "log", "txt"])
def test_changed_bytes(tmp_path: Path, kind: str) -> None:
    """100 files of each kind with some bytes replaced, dropped or put in."""
    path = tmp_path / f"file.{kind}"
    texts = {
        "csv": "layer,expert,count\n0,0,1\n0,1,2\n1,1,4\n",
        "yaml": "num_slots: 2\ninitial_global_assignments:\n  3: [0, 1]\n",
        "log": "[dump activation] decode step 1 in rank 0 for layer 0 get 2 experts data: 3\t4\n",
        "txt": "1 1 2\n1 1\n",
    }
    table = np.arange(6).reshape(2, 3)
    if kind in texts:
        path.write_text(texts[kind])
    elif kind == "npy":
        np.save(path, table)
    elif kind == "npz":
        np.savez(path, logical_count=table)
    else:
        save(path, {"records": [{"rank": 0, "global_physical_count": table}], "phy2log": table})
    whole, draw = path.read_bytes(), random.Random(1)
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 4)] = bytes(
                draw.choices(b"0123456789[]{},:.-e \n\xff", k=draw.randint(0, 3))
            )
        path.write_bytes(data)
        try_all(path)
