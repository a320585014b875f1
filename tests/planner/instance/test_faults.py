"""Faults of a case and of --set are told together, each with file, key and remedy."""

from __future__ import annotations

import pytest

from planner.errors import InstanceError
from planner.instance.quantities import Frozen
from planner.studies.api import open_case

CASE = "tiny_mixtral_island"


def faults(*changes: str) -> list[tuple[str, str]]:
    """Key and message of every problem of a case with these changes; each must have a remedy."""
    with pytest.raises(InstanceError) as refused:
        open_case(CASE, changes)
    assert all(problem.file and problem.remedy for problem in refused.value.problems)
    return [(problem.key, problem.message) for problem in refused.value.problems]


def test_true_is_no_number() -> None:
    """Python counts true as 1; a case file must not, alone or in a list."""
    told = faults("pools.h100.domains=true", "demand.chat.requests_per_s=false", "search.deployment_gpus=[1, true]")
    assert sorted(told) == [
        ("demand.0.requests_per_s", "is true or false, must be a number"),
        ("pools.0.domains", "is true or false, must be a number"),
        ("search.deployment_gpus", "is true or false, must be a number"),
    ]


def test_true_stays_true_where_it_may() -> None:
    """Fields of truth, and fields of anything, take it."""

    class Mixed(Frozen):
        flag: bool
        either: bool | float
        numbers: dict[str, float]
        anything: list[object]

    made = Mixed(flag=True, either=True, numbers={"a": 1}, anything=[True])
    assert made.either is True
    with pytest.raises(ValueError, match="must be a number"):
        Mixed(flag=True, either=1.5, numbers={"a": True}, anything=[])


def test_a_bad_path_of_set_is_told_with_the_other_faults() -> None:
    """Not of the form key=value, no such table, no such key and a wrong value: four lines in one go."""
    told = dict(faults("garbage", "pools.other.domains=1", "search.nonsense=1", "demand.chat.requests_per_s=-1"))
    assert set(told) == {"garbage", "pools.other.domains", "search.nonsense", "demand.0.requests_per_s"}
