"""A case file: which model, which pools of GPUs at which price, which demand, which limits, what to search."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from planner.instance.hardware import Precision
from planner.instance.prefixes import CacheSpec, PrefixSpec
from planner.instance.quantities import Frozen, RatePerSecond, Seconds, Share, UsdPerGpuHour

Phase = Literal["prefill", "decode", "both"]
Name = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1, le=10**9)]
"""A positive count; the limit keeps a slip of the finger out of the solver."""
CountOrNone = Annotated[int, Field(ge=0, le=10**9)]
"""A count that may be 0."""

Priced = TypeVar("Priced", "PoolSpec", "TrainingSpec")


def _with_one_price(spec: Priced) -> Priced:
    if (spec.price_column is None) == (spec.usd_per_gpu_hour is None):
        raise ValueError("give either price_column or usd_per_gpu_hour")
    if spec.usd_per_gpu_hour is not None and not spec.price_source:
        raise ValueError("usd_per_gpu_hour needs price_source")
    return spec


class PoolSpec(Frozen):
    """GPUs of one kind. A domain is one scale-up domain: a rack or an island."""

    name: Name
    hardware: str
    domains: Count | None = Field(default=None, description="Absent: as many as wanted.")
    gpus_per_domain: Count | None = Field(default=None, description="Absent: the accelerator's own domain size.")
    price_column: str | None = None
    usd_per_gpu_hour: UsdPerGpuHour | None = None
    price_source: str | None = None
    billing: Literal["gpu", "domain"] = Field(
        default="domain", description="domain: idle GPUs of a domain in use are paid; gpu: only GPUs in use are."
    )
    override: dict[str, Any] = Field(default_factory=dict, description="Data-sheet figures to replace, by key.")

    @model_validator(mode="after")
    def _one_price(self) -> PoolSpec:
        return _with_one_price(self)


class DemandClass(Frozen):
    """One kind of request. A limit holds at ``percentile``; an absent limit does not bind."""

    name: Name
    requests_per_s: RatePerSecond
    input_tokens: Count
    output_tokens: Count
    cached_share: Share = Field(default=0.0, lt=1, description="Share of input tokens whose KV is already there.")
    ttft_s: Seconds | None = None
    tpot_s: Seconds | None = None
    percentile: float = Field(default=0.95, gt=0, lt=1)

    @property
    def mean_context_tokens(self) -> float:
        """Context that a decoding request has on average: the prompt and half of the answer."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def new_input_tokens(self) -> float:
        """Input tokens that must be computed."""
        return self.input_tokens * (1 - self.cached_share)

    @property
    def prefix_fetch_s(self) -> float:
        """Time [s] to fetch cached KV before prefill starts; 0 where it is at hand."""
        return 0.0


class ExpertLoadSpec(Frozen):
    """Seeded generator of expert loads: lognormal spread over router groups and over experts inside them."""

    sigma: float = Field(ge=0, le=3)
    group_sigma: float = Field(default=0.0, ge=0, le=3)
    seed: int = Field(ge=0)
    source: str


class Quality(Frozen):
    """The quality to reach: that of a model with these figures, under the loss law and the effective-parameter rule."""

    active_params: float = Field(gt=0)
    sparsity: float = Field(ge=1, description="As the family's rule measures it; 1 for a dense model.")
    tokens: float = Field(gt=0, description="Pre-training tokens.")


class TrainingSpec(Frozen):
    """Where the model is trained: one price per GPU-hour and the share of the peak that training reaches."""

    hardware: str
    arithmetic: Precision = "fp8"
    price_column: str | None = None
    usd_per_gpu_hour: UsdPerGpuHour | None = None
    price_source: str | None = None
    efficiency: float = Field(gt=0, le=1, description="Model FLOP over peak FLOP.")

    @model_validator(mode="after")
    def _one_price(self) -> TrainingSpec:
        return _with_one_price(self)


class LifecycleSpec(Frozen):
    """Which model to train is open: a family, the quality to reach, and what training costs."""

    family: str
    member: str | None = Field(default=None, description="Fixes the member by hand.")
    law: str
    quality: Quality
    rl_tokens: float = Field(default=0.0, ge=0, description="RL tokens needed: a threshold, not a term of the loss.")
    training: TrainingSpec


class SearchSpec(Frozen):
    """The choices that the program is offered. The bound is a bound over these."""

    deployment_gpus: tuple[Count, ...] = Field(min_length=1)
    tensor_parallel: tuple[Count, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    pipeline_parallel: tuple[Count, ...] = Field(default=(1,), min_length=1)
    extra_slots_per_gpu: tuple[CountOrNone, ...] = Field(default=(0, 1, 2), min_length=1)
    prefill_requests_per_rank: tuple[Count, ...] = Field(default=(1, 2, 4, 8), min_length=1)
    phases: tuple[Phase, ...] = ("prefill", "decode", "both")
    largest_decode_batch: Count = Field(default=4096, description="Sequences per attention rank.")

    @model_validator(mode="after")
    def _both_phases(self) -> SearchSpec:
        if "both" not in self.phases and not {"prefill", "decode"} <= set(self.phases):
            raise ValueError("phases must offer both, or prefill and decode")
        return self


class ReferenceSpec(Frozen):
    """What somebody paid for this demand. The report sets the plan beside it, and the roofline's plan too."""

    cost_usd: float = Field(gt=0, description="Over the horizon.")
    calibration: str = Field(default="ideal", description="A second calibration to plan with, for comparison.")
    source: str
    note: str = ""


class CaseSpec(Frozen):
    """What a case file holds."""

    name: Name
    title: str
    description: str = ""
    model: str | None = Field(default=None, description="Absent where [lifecycle] leaves the model open.")
    lifecycle: LifecycleSpec | None = None
    kv_format: Precision | None = Field(default=None, description="Absent: the model's own.")
    calibration: str
    engine: Literal["sglang", "vllm", "trtllm"] | None = Field(
        default=None, description="What serves; absent: an engine without values of its own."
    )
    overlap: Literal["none", "two_batch"] = "two_batch"
    horizon_hours: float = Field(default=1.0, gt=0, le=1e7, description="Hours that cost_usd covers.")
    pools: tuple[PoolSpec, ...] = Field(min_length=1)
    demand: tuple[DemandClass, ...] = Field(min_length=1)
    expert_load: ExpertLoadSpec | None = None
    search: SearchSpec
    prefixes: tuple[PrefixSpec, ...] = Field(default=(), description="Prompts that begin alike; needs [cache].")
    cache: CacheSpec | None = None
    reference: ReferenceSpec | None = None
    sources: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_model(self) -> CaseSpec:
        if (self.model is None) == (self.lifecycle is None):
            raise ValueError("give either model or [lifecycle]")
        return self

    @model_validator(mode="after")
    def _unique_names(self) -> CaseSpec:
        for kind, entries in (("pools", self.pools), ("demand", self.demand), ("prefixes", self.prefixes)):
            listed = [entry.name for entry in entries]
            if len(set(listed)) < len(listed):
                raise ValueError(f"{kind}: names repeat")
        return self
