"""Read ``.pt`` files without torch and without running anything that they name.

A ``torch.save`` file is a zip archive: ``<name>/data.pkl``, a pickle whose tensors point to raw storages
``<name>/data/<key>``. A pickle names functions to call; here a fixed handful of names is known, each with an
implementation of our own, and any other name ends the reading before it is looked up.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MOST_STORAGE_BYTES = 2**31
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "BFloat16Storage": "u2",
}
BFLOAT16 = "BFloat16Storage"


class _Refused(Exception):
    """What stands in the way of reading the pickle."""


class _StorageType:
    """Stands for a torch storage class, such as ``torch.IntStorage``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Storage:
    """Numbers of one storage, flat."""

    __slots__ = ("values",)

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values


def is_torch_zip(data: bytes) -> bool:
    """Whether the bytes are a zip archive with a ``data.pkl``."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False


def load(data: bytes, file: str) -> Any:  # noqa: ANN401 - whatever was saved
    """Return what ``torch.save`` wrote, tensors as NumPy arrays, everything else as plain Python.

    Raises
    ------
    InstanceError
        If the archive is damaged, or names anything but tensors, ordered dictionaries and plain containers.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _Reader(archive).read()
    except _Refused as refusal:
        remedy = "save plain dictionaries, lists, numbers and tensors"
        raise InstanceError.single(file, "", f"is not read: {refusal}", remedy) from refusal
    except Exception as error:  # a damaged pickle can fail in any way, and none of them is our bug
        message = f"is a damaged torch file: {type(error).__name__}: {error}"
        raise InstanceError.single(file, "", message, "copy or save the file again") from error


class _Reader:
    """One archive while it is read."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        pickled = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        self.root = pickled[0].removesuffix("data.pkl")
        self.order = self._byte_order()
        self.storages: dict[str, _Storage] = {}
        self.unpacked_bytes = 0

    def read(self) -> Any:  # noqa: ANN401 - whatever was saved
        return _Unpickler(self).load()

    def member(self, name: str) -> bytes:
        """Bytes of one entry; archives that unpack to more than any recording are refused."""
        self.unpacked_bytes += self.archive.getinfo(self.root + name).file_size
        if self.unpacked_bytes > MOST_STORAGE_BYTES:
            raise _Refused(f"it unpacks to more than {MOST_STORAGE_BYTES >> 30} GiB")
        return self.archive.read(self.root + name)

    def _byte_order(self) -> str:
        name = self.root + "byteorder"
        order = self.archive.read(name).decode() if name in self.archive.namelist() else sys.byteorder
        return ">" if order == "big" else "<"

    def storage(self, kind: str, key: str, numbers: int) -> _Storage:
        """Numbers of the storage ``key``; two tensors may share one."""
        if key not in self.storages:
            raw = np.frombuffer(self.member(f"data/{key}"), dtype=self.order + _STORAGES[kind])
            values = raw[:numbers]
            if kind == BFLOAT16:  # the upper half of a float32
                values = (values.astype(np.uint32) << 16).view(np.float32)
            self.storages[key] = _Storage(values)
        return self.storages[key]


class _Unpickler(pickle.Unpickler):
    """A pickle machine that knows a handful of names and refuses the rest."""

    def __init__(self, reader: _Reader) -> None:
        super().__init__(io.BytesIO(reader.member("data.pkl")))
        self.reader = reader

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - a stand-in of ours
        """Return our stand-in for a known name; nothing is ever imported."""
        if module == "torch" and name in _STORAGES:
            return _StorageType(name)
        known: dict[tuple[str, str], Callable[..., Any]] = {
            # a new lambda each time: a pickle may also set attributes of what it names
            ("torch._utils", "_rebuild_tensor"): lambda *parts: _tensor(*parts),
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: _tensor(*parts),
            ("torch._utils", "_rebuild_parameter"): lambda *parts: parts[0],
            ("collections", "OrderedDict"): lambda *items: OrderedDict(*items),
            ("builtins", "set"): lambda *items: set(*items),
        }
        if (module, name) not in known:
            raise _Refused(f"it names {module}.{name}, which could run code")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 - torch's tuple
        """Resolve ("storage", storage type, key, device, numbers)."""
        kind, storage_type, key, _, numbers = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType):
            raise _Refused(f"it points to {kind!r}, not to a storage")
        return self.reader.storage(storage_type.name, str(key), int(numbers))


def _tensor(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: object) -> NDArray[Any]:
    """View a storage as torch's sizes and strides say; reading past its end is refused."""
    shape, step = tuple(map(int, size)), tuple(map(int, stride))
    values = storage.values
    if len(shape) != len(step) or offset < 0 or min((*shape, *step, 0)) < 0:
        raise _Refused("it has a tensor of a wrong shape")
    if 0 in shape:
        return np.zeros(shape, dtype=values.dtype)
    last = offset + sum((length - 1) * jump for length, jump in zip(shape, step, strict=True))
    if last >= len(values) or np.prod(shape, dtype=float) > MOST_STORAGE_BYTES / 8:
        raise _Refused("it has a tensor that is larger than its storage")
    width = values.dtype.itemsize
    view = np.lib.stride_tricks.as_strided(values[offset:], shape, tuple(jump * width for jump in step))
    return np.array(view)
