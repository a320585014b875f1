from __future__ import annotations

import pickle
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch_files import Encoder, Raw, save

from planner.errors import InstanceError
from planner.exchange import torch_zip
from planner.exchange.loads import read_load_file

if TYPE_CHECKING:
    from pathlib import Path


def load(path: Path) -> object:
    """Read a file through the reader under test."""
    return torch_zip.load(path.read_bytes(), str(path))


@pytest.mark.parametrize("kind", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
def test_tensors_come_back_as_arrays(tmp_path: Path, kind: str) -> None:
    """Every storage type of torch that NumPy knows, in plain containers."""
    array = np.array([[0, 1], [1, 0], [1, 1]], dtype=kind)
    found = load(save(tmp_path / "a.pt", {"tensor": array, "rest": [1, 2.5, "text", None, True, (3,)]}))
    assert found["tensor"].dtype == array.dtype
    assert found["tensor"].tolist() == array.tolist()
    assert found["rest"] == [1, 2.5, "text", None, True, (3,)]


def test_a_transposed_tensor_keeps_its_strides(tmp_path: Path) -> None:
    """Sizes and strides of a transpose over the storage 0..5."""
    encoder = Encoder()
    opcodes = encoder.tensor(np.arange(6), (3, 2), (1, 3))
    path = save(tmp_path / "a.pt", Raw(opcodes))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", encoder.storages[0])
    assert load(path).tolist() == [[0, 3], [1, 4], [2, 5]]


def test_bfloat16_is_widened(tmp_path: Path) -> None:
    """bfloat16 1.5 and -2 are the upper halves 0x3FC0 and 0xC000 of their float32."""
    encoder = Encoder()
    storage = Raw(b"(X\x07\x00\x00\x00storagectorch\nBFloat16Storage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuI2\ntQ")
    call = Raw(b"ctorch._utils\n_rebuild_tensor_v2\n" + encoder.encode((storage, 0, (2,), (1,), False, None)) + b"R")
    path = save(tmp_path / "a.pt", call)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", np.array([0x3FC0, 0xC000], dtype="<u2").tobytes())
    assert load(path).tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("opcodes", "name"),
    [
        (b"cposix\nsystem\nX\x16\x00\x00\x00touch was_executed.txt\x85R", "posix.system"),
        (b"cos\nsystem\nX\x16\x00\x00\x00touch was_executed.txt\x85R", "os.system"),
        (b"cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R", "builtins.eval"),
        (b"cbuiltins\ngetattr\n0N", "builtins.getattr"),
        (b"cnumpy.core.multiarray\n_reconstruct\n0N", "numpy.core.multiarray._reconstruct"),
        (b"ctorch.serialization\nload\n0N", "torch.serialization.load"),
        (b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93", "os.system"),
    ],
)
def test_a_file_that_names_other_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opcodes: bytes, name: str
) -> None:
    """The refusal names the global; what the pickle would have done did not happen."""
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "a.pt", {"logical_count": Raw(opcodes)})
    with pytest.raises(InstanceError, match=name.replace(".", r"\.")):
        read_load_file(path)
    assert not (tmp_path / "was_executed.txt").exists()


def test_the_malicious_file_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own unpickler does run the same opcodes: the test above tests something."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(b"\x80\x02cposix\nsystem\nX\x16\x00\x00\x00touch was_executed.txt\x85R.")
    assert (tmp_path / "was_executed.txt").exists()


@pytest.mark.parametrize("size", [(4,), (2, 9), (10**6, 10**6)])
def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path, size: tuple[int, ...]) -> None:
    """Sizes that reach past the three numbers of the storage do not read foreign memory."""
    encoder = Encoder()
    stride = (1,) if len(size) == 1 else (0, 1)
    path = save(tmp_path / "a.pt", {"logical_count": Raw(encoder.tensor(np.arange(3), size, stride))})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", encoder.storages[0])
    with pytest.raises(InstanceError, match="larger than its storage"):
        load(path)


def test_damaged_and_old_files_are_refused(tmp_path: Path) -> None:
    """A cut pickle, a missing storage, a bare pickle, a cut archive: bad input, never a traceback."""
    whole = save(tmp_path / "whole.pt", {"logical_count": np.ones((2, 4), dtype="i4")}).read_bytes()
    with zipfile.ZipFile(tmp_path / "cut.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}(")
    with zipfile.ZipFile(tmp_path / "storage.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + Encoder().encode(np.ones(3, dtype="i4")) + b".")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps({"logical_count": [[1, 2]]}))
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ("cut", "damaged torch"),
        ("storage", "damaged torch"),
        ("bare", "old format"),
        ("half", "not an archive"),
    ):
        with pytest.raises(InstanceError, match=message):
            read_load_file(tmp_path / f"{name}.pt")
