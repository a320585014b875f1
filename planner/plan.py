"""A plan: the decisions and nothing that can be computed from them. JSON in, JSON out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from planner.errors import InstanceError
from planner.files import write_text
from planner.instance.case import Count, CountOrNone, Phase
from planner.instance.loading import problems_of
from planner.instance.prefixes import WritePolicy
from planner.instance.quantities import Frozen

if TYPE_CHECKING:
    from pathlib import Path


class Deployment(Frozen):
    """Replicas of one layout in one pool, and the requests/s of each class that they take together."""

    name: str
    pool: str
    phase: Phase
    replicas: Count
    tensor_parallel: Count
    data_parallel: Count
    pipeline_parallel: Count
    expert_parallel: Count
    slots_per_gpu: CountOrNone
    decode_batch: CountOrNone = Field(description="Sequences per attention rank and micro-batch.")
    prefill_requests: CountOrNone = Field(description="Prompts per attention rank and prefill batch.")
    requests_per_s: dict[str, float]

    @property
    def stage_gpus(self) -> int:
        """GPUs of one pipeline stage."""
        return self.tensor_parallel * self.data_parallel

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.stage_gpus * self.pipeline_parallel

    @property
    def map_key(self) -> str:
        """Name of the expert map that the deployment uses."""
        return map_key(self.expert_parallel, self.slots_per_gpu)


class DomainContent(Frozen):
    """What one domain holds of one deployment."""

    deployment: str
    gpus: Count


class DomainUse(Frozen):
    """Equal domains of a pool: how many there are of this kind and what each holds."""

    pool: str
    domains: Count
    holds: tuple[DomainContent, ...]


class TrainingChoice(Frozen):
    """Which member of the family is trained, and on how much."""

    member: str
    pretraining_tokens: float = Field(gt=0)
    rl_tokens: float = Field(ge=0)


class Holding(Frozen):
    """A kind of prefix kept in a tier, written on its first or second use; ``share`` of its prefixes."""

    prefix: str
    tier: str
    write: WritePolicy
    share: float = Field(gt=0, le=1)


class CacheChoice(Frozen):
    """Where prefixes are kept, and the devices of each tier in all hosts together. What is not named is computed."""

    holdings: tuple[Holding, ...] = ()
    devices: dict[str, CountOrNone] = Field(default_factory=dict)


class Plan(Frozen):
    """All decisions of one case.

    ``expert_maps`` holds, for each number of ranks and slots in use, the logical expert of every slot, rank-major:
    [moe_layer][rank * slots_per_gpu + slot].
    """

    case: str
    deployments: tuple[Deployment, ...]
    domains: tuple[DomainUse, ...]
    expert_maps: dict[str, tuple[tuple[int, ...], ...]]
    training: TrainingChoice | None = None
    cache: CacheChoice | None = None

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        write_text(path, json.dumps(self.model_dump(mode="json"), separators=(",", ":")) + "\n")


def map_key(expert_parallel: int, slots_per_gpu: int) -> str:
    """Name of an expert map: ranks x slots per rank."""
    return f"{expert_parallel}x{slots_per_gpu}"


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    InstanceError
        If the file is missing, is not JSON, or does not hold a plan; every problem is listed.
    """
    try:
        return Plan.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InstanceError.single(str(path), "", f"cannot be read: {error.strerror}", "check the path") from error
    except ValidationError as error:
        raise InstanceError(problems_of(error, str(path))) from error
    except (ValueError, RecursionError) as error:
        raise InstanceError.single(str(path), "", f"is not JSON: {error}", "give a plan.json") from error
