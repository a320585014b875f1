"""Write ``.pt`` files as torch does, opcode by opcode: torch is not installed, and must not be needed."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

STORAGE = {
    "f8": "Double",
    "f4": "Float",
    "f2": "Half",
    "i8": "Long",
    "i4": "Int",
    "i2": "Short",
    "i1": "Char",
    "u1": "Byte",
}


class Raw(bytes):
    """Opcodes put into the pickle as they are."""


class Encoder:
    """Pickle protocol 2 for plain containers, numbers, text and arrays, the latter as torch tensors."""

    def __init__(self) -> None:
        self.storages: list[bytes] = []

    def encode(self, value: Any) -> bytes:  # noqa: ANN401 - any plain tree
        """Opcodes that leave ``value`` on the stack."""
        if isinstance(value, Raw):
            return bytes(value)
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            return b"I%d\n" % value
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value)
            return self.tensor(value, value.shape, tuple(step // value.itemsize for step in value.strides))
        items = [entry for pair in value.items() for entry in pair] if isinstance(value, dict) else value
        start, end = {dict: (b"}(", b"u"), list: (b"](", b"e"), tuple: (b"(", b"t")}[type(value)]
        return start + b"".join(map(self.encode, items)) + end

    def tensor(self, array: np.ndarray[Any, Any], size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
        """Call of torch's rebuild function on a new storage."""
        kind = "Bool" if array.dtype == bool else STORAGE[array.dtype.str[1:]]
        key = str(len(self.storages))
        self.storages.append(np.ascontiguousarray(array).tobytes())
        storage_type = Raw(b"ctorch\n%sStorage\n" % kind.encode())
        storage = self.encode(("storage", storage_type, key, "cpu", array.size)) + b"Q"
        hooks = Raw(b"ccollections\nOrderedDict\n)R")
        arguments = self.encode((Raw(storage), 0, tuple(size), tuple(stride), False, hooks))
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def save(path: Path, value: Any, root: str = "archive") -> Path:  # noqa: ANN401 - any plain tree
    """Write ``value`` as torch.save does; arrays become tensors."""
    encoder = Encoder()
    pickled = b"\x80\x02" + encoder.encode(value) + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickled)
        archive.writestr(f"{root}/byteorder", "little")
        archive.writestr(f"{root}/version", "3\n")
        for key, data in enumerate(encoder.storages):
            archive.writestr(f"{root}/data/{key}", data)
    return path
