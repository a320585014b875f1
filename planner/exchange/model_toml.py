"""A model as the TOML that ``load_model`` reads, and files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError

if TYPE_CHECKING:
    from planner.instance.model import MoeModel
    from planner.instance.quantities import Frozen


BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def model_toml(model: MoeModel) -> str:
    """Write ``model`` as TOML; keys at their default are left out, and reading it back gives an equal model."""
    return frozen_toml(model)


def frozen_toml(document: Frozen) -> str:
    """Write any schema as TOML, tables after plain keys; keys at their default are left out."""
    data = document.model_dump(exclude_defaults=True)
    tables = {key: value for key, value in data.items() if isinstance(value, dict)}
    plain = {key: value for key, value in data.items() if not isinstance(value, dict) and value is not None}
    blocks = ["\n".join(_line(key, value) for key, value in plain.items())]
    blocks += [
        f"[{name}]\n" + "\n".join(_line(key, value) for key, value in table.items()) for name, table in tables.items()
    ]
    return "\n\n".join(blocks) + "\n"


def _line(name: str, value: Any) -> str:  # noqa: ANN401 - any plain TOML value
    key = name if not name or BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped.
        return f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return f"{key} = {str(value).lower()}"
    return f"{key} = {_value(value)}"


def _value(value: Any) -> str:  # noqa: ANN401 - any plain TOML value
    """Write one value; tables inside a table and lists of them are inline tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(_line(key, entry) for key, entry in value.items() if entry is not None) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return _line("", value).removeprefix(" = ") if isinstance(value, str | bool) else repr(value)


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and rename it into place.

    Raises
    ------
    InstanceError
        If the folder is missing or cannot be written.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be written: {error.strerror}", "check the folder") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InstanceError.single(str(path), "", f"cannot be written: {error.strerror}", "check the path") from error
