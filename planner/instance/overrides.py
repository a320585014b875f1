"""Apply ``--set key=value`` to the raw tables of a case file before they are checked."""

from __future__ import annotations

import copy
import tomllib
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Read texts such as ``pools.nvl72.domains=3`` into a mapping; values are TOML, or plain text.

    Raises
    ------
    InstanceError
        For every text without ``=`` or with an empty key.
    """
    parsed, problems = well_formed(assignments)
    if problems:
        raise InstanceError(problems)
    return parsed


def well_formed(assignments: Iterable[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Read the texts that are of the form key=value, and name the others."""
    problems: list[Problem] = []
    parsed: dict[str, Any] = {}
    for text in assignments:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            problems.append(
                Problem("--set", text, "is not of the form key=value", "for example --set pools.0.domains=3")
            )
        else:
            parsed[key.strip()] = _value(value.strip())
    return parsed, problems


def _value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def apply(data: dict[str, Any], changes: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return ``data`` with each dotted key replaced.

    An entry of a list of tables is named by its position or by its ``name``. A price set by hand takes the place of a
    price column and the other way round, so that one ``--set`` is enough.

    Raises
    ------
    InstanceError
        For every key whose path does not exist.
    """
    result, problems = applied(data, changes, file)
    if problems:
        raise InstanceError(problems)
    return result


def applied(data: dict[str, Any], changes: Mapping[str, Any], file: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return ``data`` with the keys replaced whose path exists, and the problems of the others."""
    result = copy.deepcopy(data)
    problems: list[Problem] = []
    for key, value in changes.items():
        *path, last = key.split(".")
        table = _walk(result, path)
        position = _position(table, last) if isinstance(table, list) else None
        if position is not None:
            table[position] = value
        elif isinstance(table, dict):
            table[last] = value
            _replace_other_price(table, last, ".".join(path), changes)
        else:
            problems.append(Problem(file, key, "no such table to set", "use dots between table, entry name and key"))
    return result, problems


_OTHER_PRICE = {"usd_per_gpu_hour": "price_column", "price_column": "usd_per_gpu_hour"}


def _replace_other_price(table: dict[str, Any], key: str, path: str, changes: Mapping[str, Any]) -> None:
    other = _OTHER_PRICE.get(key)
    if other is None or f"{path}.{other}" in changes:
        return
    table.pop(other, None)
    if key == "usd_per_gpu_hour" and f"{path}.price_source" not in changes:
        table["price_source"] = "set for this run"


def _walk(table: Any, path: list[str]) -> Any:  # noqa: ANN401 - raw TOML
    for part in path:
        if isinstance(table, dict):
            table = table.setdefault(part, {})
        elif isinstance(table, list):
            table = _entry(table, part)
        else:
            return None
    return table


def _entry(entries: list[Any], name: str) -> Any:  # noqa: ANN401 - raw TOML
    position = _position(entries, name)
    return None if position is None else entries[position]


def _position(entries: list[Any], name: str) -> int | None:
    for position, entry in enumerate(entries):
        if str(position) == name or (isinstance(entry, dict) and entry.get("name") == name):
            return position
    return None
