"""Tables of a case file about prompts that begin alike: which prefixes there are, and where their KV may be kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.instance.quantities import Frozen, Seconds, Share

HBM = "hbm"
"""Name of the tier that is the GPUs' own memory."""

WritePolicy = Literal["first_use", "second_use"]
WRITE_POLICIES: tuple[WritePolicy, ...] = ("first_use", "second_use")


class PrefixSpec(Frozen):
    """Prefixes of one kind: ``live`` of them are in use, each again after ``reuse_interval_s``.

    A prefix is used again with probability ``hit_ceiling``, else it is dead: it is used 1 / (1 - ceiling) times on
    average, and a ceiling of 1 means prefixes that never change, such as system prompts.
    """

    name: Annotated[str, Field(min_length=1)]
    demand: str = Field(description="Class of demand whose requests begin with it.")
    tokens: int = Field(ge=1, le=10**9)
    live: float = Field(gt=0, le=1e12, description="Different prefixes in use at a time.")
    reuse_interval_s: Seconds
    hit_ceiling: Share = Field(default=1.0, gt=0, description="Share of uses that find a prefix used before.")

    @property
    def uses_per_s(self) -> float:
        """Requests/s that begin with a prefix of this kind."""
        return self.live / self.reuse_interval_s


class CacheSpec(Frozen):
    """Where prefixes may be kept beside the GPUs that prefill."""

    tiers: str = Field(default="host_2026", description="File of instances/memory_tiers.")
    allowed: tuple[str, ...] | None = Field(
        default=None, description="Tiers that may hold prefixes, hbm among them; absent: all; empty: none."
    )
    devices_per_host: dict[str, Annotated[int, Field(ge=0, le=1000)]] = Field(
        default_factory=dict, description="Places for devices of a tier in a host; absent: 1 each."
    )
    write: Literal["first_use", "second_use", "either"] = "either"
    split: bool = Field(default=False, description="A kind of prefix may be spread over several tiers.")
    highest_utilisation: float = Field(default=0.8, gt=0, lt=1, description="Of a device's bandwidth.")

    @model_validator(mode="after")
    def _each_tier_once(self) -> CacheSpec:
        if self.allowed is not None and len(set(self.allowed)) < len(self.allowed):
            raise ValueError("allowed: tiers repeat")
        return self

    @property
    def policies(self) -> tuple[WritePolicy, ...]:
        """Write policies to choose from."""
        return WRITE_POLICIES if self.write == "either" else (self.write,)
