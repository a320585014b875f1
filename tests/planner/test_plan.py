"""A plan goes to JSON and back, and a file that holds none is refused with every problem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InstanceError
from planner.plan import Deployment, DomainContent, DomainUse, Plan, map_key, read_plan

if TYPE_CHECKING:
    from pathlib import Path

counts = st.integers(1, 64)


def a_plan(rate: float = 1.5, replicas: int = 2) -> Plan:
    """Write a small plan."""
    deployment = Deployment(
        name="decode",
        pool="rack",
        phase="decode",
        replicas=replicas,
        tensor_parallel=2,
        data_parallel=3,
        pipeline_parallel=2,
        expert_parallel=6,
        slots_per_gpu=2,
        decode_batch=8,
        prefill_requests=0,
        requests_per_s={"chat": rate},
    )
    use = DomainUse(pool="rack", domains=1, holds=(DomainContent(deployment="decode", gpus=12),))
    return Plan(case="case", deployments=(deployment,), domains=(use,), expert_maps={"6x2": ((0, 1, 2),)})


@given(rate=st.floats(0, 1e6), replicas=counts)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, rate: float, replicas: int) -> None:
    """What is read is what was written, to the last digit."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    a_plan(rate, replicas).write(path)
    assert read_plan(path) == a_plan(rate, replicas)


def test_sizes_of_a_replica() -> None:
    """TP2 x DP3 x PP2 are twelve GPUs, six a stage; its map is that of six ranks with two slots."""
    deployment = a_plan().deployments[0]
    assert (deployment.gpus, deployment.stage_gpus, deployment.map_key) == (12, 6, "6x2")
    assert map_key(144, 2) == "144x2"


def broken(**changes: object) -> dict[str, Any]:
    """Change the only deployment in the JSON form."""
    data = a_plan().model_dump(mode="json")
    data["deployments"][0] |= changes
    return data


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (broken(replicas=0, phase="train"), {"deployments.0.replicas", "deployments.0.phase"}),
        (broken(gpu_count=3), {"deployments.0.gpu_count"}),
        (broken(decode_batch=-1, tensor_parallel=1.5), {"deployments.0.decode_batch", "deployments.0.tensor_parallel"}),
        (broken(replicas=10**30, slots_per_gpu=10**30), {"deployments.0.replicas", "deployments.0.slots_per_gpu"}),
        ([], {""}),
        ({"case": "x"}, {"deployments", "domains", "expert_maps"}),
    ],
)
def test_every_problem_of_a_plan_is_listed(tmp_path: Path, data: object, keys: set[str]) -> None:
    """Wrong values, unknown and missing keys are told at once, each with file and key."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InstanceError) as caught:
        read_plan(path)
    assert {problem.key for problem in caught.value.problems} == keys
    assert all(problem.file == str(path) and problem.remedy for problem in caught.value.problems)


@pytest.mark.parametrize(("content", "message"), [(b"{", "is not JSON"), (b"\xff\xfe", "is not JSON")])
def test_file_that_is_not_json(tmp_path: Path, content: bytes, message: str) -> None:
    """Half a document and bytes that are no text are refused by name."""
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(InstanceError, match=message):
        read_plan(path)


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    """Infinite and missing rates are refused, though Python's reader takes them."""
    path = tmp_path / "plan.json"
    for word in ("Infinity", "NaN"):
        path.write_text(json.dumps(a_plan().model_dump(mode="json")).replace("1.5", word), encoding="utf-8")
        with pytest.raises(InstanceError, match="finite"):
            read_plan(path)


def test_missing_file(tmp_path: Path) -> None:
    """A path to nothing says so."""
    with pytest.raises(InstanceError, match="cannot be read: No such file"):
        read_plan(tmp_path / "none.json")
