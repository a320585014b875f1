"""Write files whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_text(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and rename it into place."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # a full disk does not say whose write it ended
        raise
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder that becomes ``path`` when the body ends well and vanishes when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def unwritable(path: Path) -> str | None:
    """Say why nothing can be made at ``path``, by making a file beside its nearest folder; None where it can be."""
    if path.is_dir():
        return "is a folder"
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        return error.strerror or str(error)
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - these never raise
        return "is a device or a pipe"  # renaming into place would put a file where it was
    home = next((folder for folder in path.absolute().parents if os.path.lexists(folder)), Path("/"))
    try:
        tempfile.TemporaryFile(dir=home).close()
    except OSError as error:
        return f"{home}: {error.strerror}"
    return None
