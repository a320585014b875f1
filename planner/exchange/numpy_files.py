"""Arrays in ``.npy`` and ``.npz`` files; nothing is ever unpickled."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.errors import InstanceError
from planner.exchange.content import MOST_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_array(data: bytes, file: str) -> NDArray[Any]:
    """Read the bytes of an ``.npy`` file.

    Raises
    ------
    InstanceError
        If they are damaged or hold Python objects.
    """
    try:
        return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
    except Exception as error:  # a damaged header fails in many ways, down to Python's tokenizer
        raise InstanceError.single(file, "", f"is not a plain array: {error}", "save a numeric array") from error


def read_archive(data: bytes, file: str) -> dict[str, NDArray[Any]]:
    """Read the bytes of an ``.npz`` file: every array by name.

    Raises
    ------
    InstanceError
        If they are damaged, hold Python objects, or unpack to more than any recording.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MOST_BYTES:
            raise InstanceError.single(file, "", f"unpacks to more than {MOST_BYTES >> 30} GiB", "give one recording")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except InstanceError:
        raise
    except Exception as error:  # damaged and encrypted archives fail in many ways
        raise InstanceError.single(file, "", f"is not an archive of arrays: {error}", "use numpy.savez") from error
    if not found or not all(isinstance(array, np.ndarray) for array in found.values()):
        raise InstanceError.single(file, "", "is not an archive of arrays", "use numpy.savez")
    return found
