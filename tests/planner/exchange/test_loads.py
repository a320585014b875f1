from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from planner.errors import InstanceError
from planner.exchange.loads import read_loads, read_scenarios

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def written(folder: Path, name: str, content: object) -> Path:
    """Write text, or JSON of anything else."""
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.json", {"logical_count": [[1, 2], [0, 0]]}, [[1, 2], [0, 0]]),
        ("b.json", {"logical_count": [[[1, 2], [3, 4]], [[4, 3], [2, 1]]]}, [[5, 5], [5, 5]]),
        ("c.json", {"total_input_tokens": 9, "expert_popularity": [[4, 5]]}, [[4, 5]]),
        ("d.json", [[1.5, 2]], [[1.5, 2]]),
        ("e.csv", "1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("f.csv", "e0,e1\n1,2\n", [[1, 2]]),
        ("g.csv", "layer,expert,count\n0,0,1\n0,1,2\n1,1,4\n0,1,1\n", [[1, 3], [0, 4]]),
    ],
)
def test_shapes_that_people_have(tmp_path: Path, name: str, content: object, expected: list[list[float]]) -> None:
    """SGLang with and without steps, fiddler, a bare list, wide and long CSV."""
    assert read_loads(written(tmp_path, name, content)).tolist() == expected


def test_numpy_files(tmp_path: Path) -> None:
    """An array, and an archive with the array under its name or alone."""
    table = np.array([[1, 2], [3, 4]])
    np.save(tmp_path / "a.npy", table)
    np.savez(tmp_path / "b.npz", logical_count=table, other=np.zeros(3))
    for name in ("a.npy", "b.npz"):
        assert read_loads(tmp_path / name).tolist() == table.tolist()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"logical_count": [[1, NaN]]}', r"logical_count\[0\]\[1\]: is nan"),
        ("a.json", '{"logical_count": [[1, Infinity]]}', r"logical_count\[0\]\[1\]: is inf"),
        ("a.json", {"logical_count": [[1, -2]]}, r"logical_count\[0\]\[1\]: is -2"),
        ("a.json", {"logical_count": [[1, 2], [3]]}, r"logical_count\[1\]: has 1 entries"),
        ("a.json", {"logical_count": [[1, "x"]]}, r"logical_count\[0\]\[1\]: 'x' is not a number"),
        ("a.json", {"logical_count": [[1, True]]}, "'True' is not a number"),
        ("a.json", {"logical_count": [[1, None]]}, "'None' is not a number"),
        ("a.json", {"logical_count": []}, "has shape"),
        ("a.json", {"logical_count": [1, 2]}, "has shape"),
        ("a.json", {"logical_count": 5}, "is not a list"),
        ("a.json", {"logical_count": [[0, 0]]}, "is zero everywhere"),
        ("a.json", {"physical_to_logical_map": [[0]]}, "is a placement map, not a load"),
        ("a.json", "{", "is not JSON"),
        ("a.csv", "1,2\n3\n", "has 1 entries"),
        ("a.csv", "1,2\n3,y\n", "row 2, column 2: 'y' is not a number"),
        ("a.csv", "layer,expert,count\n0,-1,3\n", "whole numbers"),
        ("a.csv", "layer,expert,count\n0,900000,3\n", "whole numbers from 0 to 10000"),
        ("a.json", "[[1" + 5000 * "0" + "]]", "is not JSON"),
        ("a.json", "[[1" + 320 * "0" + ", 1]]", "larger than any token count"),
        ("a.json", "[[1e300, 1e300]]", "larger than any token count"),
        ("a.json", json.dumps([[1] * 10_001]), "1 layers of 10001 experts"),
        ("a.csv", "", "is empty"),
        ("a.pt", "x", "is not a load file"),
    ],
)
def test_bad_loads_name_file_and_key(tmp_path: Path, name: str, content: object, message: str) -> None:
    """Each defect is refused with the file and the place in it."""
    path = written(tmp_path, name, content)
    with pytest.raises(InstanceError, match=message) as caught:
        read_loads(path)
    assert all(problem.file == str(path) for problem in caught.value.problems)


def test_every_bad_value_is_reported(tmp_path: Path) -> None:
    """Three bad values give three problems; a flood is cut to ten and a count."""
    path = written(tmp_path, "a.json", {"logical_count": [[-1, -2], [3, -4]]})
    with pytest.raises(InstanceError) as caught:
        read_loads(path)
    assert len(caught.value.problems) == 3
    with pytest.raises(InstanceError, match="and 90 more"):
        read_loads(written(tmp_path, "b.json", {"logical_count": [[-1] * 100]}))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Object arrays, which need pickle, are refused; so are routing files and placement patterns."""
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", data=np.ones((4, 2), dtype=int))
    np.save(tmp_path / "c.npy", np.eye(4, dtype=int)[None])
    for name, message in (("a.npy", "not a plain array"), ("b.npz", "routing file"), ("c.npy", "placement pattern")):
        with pytest.raises(InstanceError, match=message):
            read_loads(tmp_path / name)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(InstanceError, match=r"none\.json: cannot be read"):
        read_loads(tmp_path / "none.json")


def test_a_dump_of_one_rank_is_refused(tmp_path: Path) -> None:
    """Only experts 4-7 of 16 seen in every layer: one rank of an EP4 recording (case BR15)."""
    rows = [[0] * 4 + [5, 6, 7, 8] + [0] * 8] * 3
    with pytest.raises(InstanceError, match="only experts 4-7 of 16 were seen"):
        read_loads(written(tmp_path, "a.json", {"logical_count": rows}))


def test_scenarios_must_agree_in_shape(tmp_path: Path) -> None:
    """Two files stack; files of two models are refused by name; bad files are reported together."""
    first = written(tmp_path, "a.json", {"logical_count": [[1, 2]]})
    second = written(tmp_path, "b.json", {"logical_count": [[3, 4]]})
    third = written(tmp_path, "c.json", {"logical_count": [[3, 4, 5]]})
    assert read_scenarios([first, second]).tolist() == [[[1, 2]], [[3, 4]]]
    with pytest.raises(InstanceError, match=r"c\.json: has shape \[1, 3\]"):
        read_scenarios([first, third])
    with pytest.raises(InstanceError) as caught:
        read_scenarios([tmp_path / "x.json", tmp_path / "y.json"])
    assert len(caught.value.problems) == 2


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared data folder")
def test_recorded_files_are_read() -> None:
    """DeepSeek-V3 61 x 256 with three dense layers, Mixtral 32 x 8, and the one-rank dump refused (BR15)."""
    loads = DATA / "expert_loads"
    table = read_loads(loads / "deepseek_v3_sglang" / "prefill_in4096.json")
    assert table.shape == (61, 256)
    assert (table.sum(axis=1) == 0).sum() == 3
    popularity = loads / "mixtral_8x7b_fiddler" / "instruct" / "expert_popularity_international_law.json"
    assert read_loads(popularity).shape == (32, 8)
    dumps = DATA / "real_inputs" / "expert_dumps"
    tiny = read_loads(dumps / "sglang_logical_count_step_layer_expert_tiny.json")
    assert tiny.tolist() == [[5, 5], [5, 5]]
    with pytest.raises(InstanceError, match="only experts 0-15 of 256 were seen"):
        read_loads(dumps / "sglang_unreduced_one_rank_only_16_of_256.json")
