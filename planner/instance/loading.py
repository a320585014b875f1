"""Read TOML into the frozen schemas; every problem of a file is reported at once with its key and a remedy."""

from __future__ import annotations

import functools
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from planner.errors import InstanceError, Problem
from planner.instance import library
from planner.instance.hardware import Accelerator
from planner.instance.model import MoeModel

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core import ErrorDetails

Schema = TypeVar("Schema", bound=BaseModel)

_REMEDIES = {
    "extra_forbidden": "remove the key or correct its spelling",
    "missing": "add the key",
    "greater_than": "give a larger value",
    "string_too_short": "give a name",
    "less_than": "give a smaller value",
    "greater_than_equal": "give a larger value",
    "less_than_equal": "give a smaller value",
    "value_error": "correct the value",
    "literal_error": "use one of the listed values",
}

# where pydantic speaks of Python, in the words of the file
_MESSAGES = {
    "extra_forbidden": "no such key here",
    "missing": "is missing",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def read_toml(path: Path) -> dict[str, Any]:
    """Parse one TOML file.

    Raises
    ------
    InstanceError
        If the file is missing, not text, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:  # not only its own error: an integer of 5,000 digits, deep nesting
        raise InstanceError.single(str(path), "", f"is not TOML: {error}", "correct the syntax") from error


def validate(schema: type[Schema], data: dict[str, Any], file: str) -> Schema:
    """Build ``schema`` from ``data``.

    Raises
    ------
    InstanceError
        With one problem for each thing that is wrong.
    """
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise InstanceError(problems_of(error, file)) from error


def problems_of(error: ValidationError, file: str, prefix: str = "") -> list[Problem]:
    """Translate a pydantic error into the planner's problems."""
    found = error.errors(include_url=False)
    return [
        Problem(
            file=file,
            key=prefix + ".".join(str(part) for part in item["loc"]),
            message=_MESSAGES.get(item["type"]) or item["msg"].removeprefix("Value error, ").removeprefix("Input "),
            remedy=_REMEDIES.get(item["type"], "correct the value"),
        )
        for item in found
        if item["type"] != "too_short" or not _holds_another(item["loc"], found)
    ]


def _holds_another(place: tuple[int | str, ...], found: list[ErrorDetails]) -> bool:
    """Whether entries of the list at ``place`` are wrong themselves: pydantic then counts the list as empty too."""
    return any(len(item["loc"]) > len(place) and item["loc"][: len(place)] == place for item in found)


def load_accelerator(name_or_path: str) -> Accelerator:
    """Read one accelerator by name, alias, another spelling of either, or path.

    Raises
    ------
    InstanceError
        If there is no such file, or it is wrong.
    """
    name = accelerator_names(library.instances_root()).get(name_or_path.casefold(), name_or_path)
    if not _is_shipped("hardware", name) and not name.endswith(".toml"):
        from planner.instance.aliases import hardware_of_name  # it reads files by this module

        named = hardware_of_name(name)
        if named is not None:
            return named
    path = library.find("hardware", name)
    return validate(Accelerator, read_toml(path), str(path))


@functools.cache
def accelerator_names(root: Path) -> dict[str, str]:
    """Every alias and name of the shipped hardware under ``root``, in lower case, with the name of its file."""
    names = {}
    for path in sorted((root / "hardware").glob("*.toml")):
        for alias in (path.stem, *read_toml(path).get("aliases", [])):
            names[str(alias).casefold()] = path.stem
    return names


def load_model(name_or_path: str) -> MoeModel:
    """Read one model by name (in any case, with or without the organisation before a slash), alias or path.

    A precision at the end of a name that is not a file's own, such as ``-FP8``, is applied to the weights.

    Raises
    ------
    InstanceError
        If there is no such file, or it is wrong.
    """
    short = name_or_path.rsplit("/", maxsplit=1)[-1].casefold()
    if not _is_shipped("models", short) and not name_or_path.endswith(".toml"):
        from planner.instance.aliases import model_candidates, model_of_name  # it reads files by this module

        named = model_of_name(name_or_path)
        if named is not None:
            return named
        near = model_candidates(name_or_path)
        if near:
            remedy = f"did you mean {' or '.join(near)}? `planner list models` has all names"
            raise InstanceError.single(name_or_path, "", "no such file in models", remedy)
    path = library.find("models", short if _is_shipped("models", short) else name_or_path)
    return validate(MoeModel, read_toml(path), str(path))


def _is_shipped(kind: str, name: str) -> bool:
    return name in library.names(kind)
