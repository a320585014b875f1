"""Routing files: what is read, and what is refused with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from planner.errors import InstanceError
from planner.exchange.routing import distinct_expert_notes, read_routing

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

TOKENS = [[0, 1], [2, 3], [1, 3]]


def save(path: Path, data: ArrayLike, key: str = "data") -> Path:
    """Write an ``.npz``."""
    np.savez(path, **{key: np.asarray(data)})
    return path


def refusal(path: Path, experts: int | None = None) -> str:
    """Message with which a file is refused."""
    with pytest.raises(InstanceError) as caught:
        read_routing([path], experts)
    return str(caught.value)


def test_one_file_a_layer(tmp_path: Path) -> None:
    """Two files are two layers, in their order."""
    first, second = save(tmp_path / "a.npz", TOKENS), save(tmp_path / "b.npz", [[3, 0]])
    layers = read_routing([first, second])
    assert [rows.tolist() for rows in layers] == [TOKENS, [[3, 0]]]


def test_routed_experts_of_all_layers(tmp_path: Path) -> None:
    """An int16 array [token, layer, top_k], as vLLM returns it, is cut into layers; padding rows of -1 go."""
    table = np.array([[[0, 1], [2, 3]], [[1, 2], [3, 0]], [[-1, -1], [-1, -1]]], dtype=np.int16)
    np.save(tmp_path / "routed.npy", table)
    layers = read_routing([tmp_path / "routed.npy"], 4)
    assert [rows.tolist() for rows in layers] == [[[0, 1], [1, 2]], [[2, 3], [3, 0]]]


def test_bad_ids_are_named(tmp_path: Path) -> None:
    """An id at or above the experts, a negative one, and an expert twice in a token."""
    assert "token 1 has expert 3, not 0 to 2" in refusal(save(tmp_path / "high.npz", TOKENS), 3)
    assert "token 0 has expert -1" in refusal(save(tmp_path / "low.npz", [[0, -1]]))
    assert "token 1 has one expert twice" in refusal(save(tmp_path / "twice.npz", [[0, 1], [2, 2]]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([0, 1, 2], "shape [3]"),
        (np.zeros((0, 2)), "none of them empty"),
        ([[0.5, 1.0]], "not whole numbers"),
        ([["a", "b"]], "not whole numbers"),
        ([[-1, -1]], "without tokens"),
    ],
)
def test_what_is_no_routing(tmp_path: Path, data: ArrayLike, message: str) -> None:
    """Wrong shapes and types say what was expected."""
    assert message in refusal(save(tmp_path / "bad.npz", data))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """An archive with an object array is refused, not loaded; so are other files, and all are reported at once."""
    np.savez(tmp_path / "evil.npz", data=np.array([{"a": 1}], dtype=object))
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(InstanceError) as caught:
        read_routing([tmp_path / "evil.npz", tmp_path / "text.npz", tmp_path / "gone.npz"])
    assert [problem.file.rsplit("/", 1)[1] for problem in caught.value.problems] == ["evil.npz", "text.npz", "gone.npz"]


def test_forced_routing_is_flagged() -> None:
    """BR17: 128 distinct experts of 256 are flagged; 8 tokens of 2 can touch 16 at most, and did; nothing to say."""
    half = np.arange(2048).reshape(256, 8) % 128
    assert "touches 128 experts of the 256 it could" in distinct_expert_notes([half], 256)[0]
    assert distinct_expert_notes([np.arange(16).reshape(8, 2)], 256) == []
