"""A family of models of which one is chosen: a base model and, for each member, the shape figures that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from planner.errors import InstanceError, Problem
from planner.instance import library
from planner.instance.loading import load_model, read_toml, validate
from planner.instance.model import MoeModel
from planner.instance.quantities import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


class MemberSpec(Frozen):
    """One member: ``shape`` replaces figures of the base model; tables inside are merged."""

    name: str
    shape: dict[str, Any]


class FamilySpec(Frozen):
    """What a family file holds. ``rule`` names the effective-parameter rule that measures quality."""

    name: str
    title: str
    base: str
    rule: str
    members: tuple[MemberSpec, ...] = Field(min_length=1)
    sources: dict[str, str]

    @model_validator(mode="after")
    def _consistent(self) -> FamilySpec:
        names = [member.name for member in self.members]
        if len(set(names)) < len(names):
            raise ValueError("members: names repeat")
        if not {"members", "rule"} <= self.sources.keys():
            raise ValueError("[sources] must say where members and rule come from")
        return self


def load_family(name_or_path: str) -> tuple[FamilySpec, tuple[MoeModel, ...]]:
    """Read a family and build its members.

    Raises
    ------
    InstanceError
        With every problem of the file and of each member's shape.
    """
    path = library.find("families", name_or_path)
    family = validate(FamilySpec, read_toml(path), str(path))
    base = load_model(family.base).model_dump()
    problems: list[Problem] = []
    members = list(_members(family, base, str(path), problems))
    if problems:
        raise InstanceError(problems)
    return family, tuple(members)


def _members(family: FamilySpec, base: dict[str, Any], file: str, problems: list[Problem]) -> Iterator[MoeModel]:
    for member in family.members:
        data = _merged(base, member.shape) | {"name": member.name, "title": f"{member.name} of {family.title}"}
        data["sources"] = {"shape": f"{file}: {family.sources['members']}"}
        try:
            model = validate(MoeModel, data, f"{file}: {member.name}")
        except InstanceError as error:
            problems.extend(error.problems)
            continue
        # no card: the published figures of a model that does not exist yet are its counts
        yield model.model_copy(
            update={
                "published_total_params": float(model.total_params),
                "published_active_params": float(model.active_params),
            }
        )


def _merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
