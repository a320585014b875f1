"""How far real kernels, links and schedulers stay behind the data sheet: one profile of efficiencies and overheads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.instance.quantities import Bytes, Efficiency, Frozen, NonNegativeSeconds, Share

ENGINE_FACTORS = ("trtllm", "sglang", "vllm")


class DecodeEfficiency(Frozen):
    """Shares of the peak reached in a decode step; half tokens are the batch at which a GEMM reaches half its rate."""

    kv_bandwidth: Efficiency
    attention_compute: Efficiency
    weight_bandwidth: Efficiency
    expert_weight_bandwidth: Efficiency
    dense_compute: Efficiency
    dense_half_tokens: float = Field(ge=0)
    expert_compute: Efficiency
    expert_half_tokens: float = Field(ge=0)
    popularity_shape: float | None = Field(
        default=None, gt=0, description="Shape of the gamma law of experts' popularity; absent: all alike."
    )
    foreign_scale_factor: float = Field(
        default=1.0,
        ge=1,
        description="Time of routed experts in a format whose scales the chip's tensor cores do not apply, over plain.",
    )


class PrefillEfficiency(Frozen):
    """Shares of the peak reached while prompts are processed."""

    dense_compute: Efficiency
    expert_compute: Efficiency
    attention_compute: Efficiency
    scale_up: Efficiency | None = Field(default=None, description="Of large all-reduces; absent: as in decode.")


class NetworkEfficiency(Frozen):
    """Shares of the link rates reached, and what each collective costs besides its bytes."""

    scale_up: Efficiency
    scale_out: Efficiency
    all_reduce_latency_s: NonNegativeSeconds
    all_reduce_latency_exponent: float = Field(ge=0)
    all_to_all_latency_s: NonNegativeSeconds
    all_to_all_scale_up: Efficiency | None = Field(default=None, description="Of dispatch and combine.")
    all_reduce_remote_latency_s: NonNegativeSeconds = Field(
        default=0.0, description="More for an all-reduce that leaves the scale-up domain."
    )
    pipeline_hop_s: NonNegativeSeconds
    dispatch_bytes_per_number: float = Field(gt=0)
    combine_bytes_per_number: float = Field(gt=0)
    deduplicate_by_domain: bool = Field(description="A token crosses to each remote domain once, then fans out.")
    decode_deduplicates: bool | None = Field(
        default=None,
        description="The same of decode steps, whose kernels may differ; absent: as deduplicate_by_domain.",
    )

    def deduplicates(self, *, decode: bool) -> bool:
        """Whether a token crosses to each remote domain once in this phase."""
        own = self.decode_deduplicates if decode else None
        return self.deduplicate_by_domain if own is None else own


class Overheads(Frozen):
    """Time that no roofline sees: launches, scheduling, sampling."""

    per_layer_s: NonNegativeSeconds
    per_moe_layer_s: NonNegativeSeconds
    per_mla_layer_s: NonNegativeSeconds
    per_step_s: NonNegativeSeconds
    per_sequence_s: NonNegativeSeconds
    layer_factor_with_fp4_units: float = Field(
        default=1.0, gt=0, description="Factor on what layers cost on chips with fp4 units, whose launches are leaner."
    )
    first_token_s: NonNegativeSeconds


class FirstToken(Frozen):
    """What a request waits for before its first token, besides its own prefill and one step.

    A prompt's step is launched kernel by kernel, so its fixed part grows with the layers; engines differ in it.
    """

    base_s: NonNegativeSeconds
    per_layer_s: NonNegativeSeconds = Field(description="Each latent, sparse or linear attention counts once more.")
    trtllm: float = Field(default=1.0, gt=0, description="Factor on both, by engine; 1 for one that is not named.")
    sglang: float = Field(default=1.0, gt=0)
    vllm: float = Field(default=1.0, gt=0)
    queue_share: float = Field(ge=0, description="Share of the other requests' prompts that a prompt waits behind.")
    queue_rank_exponent: float = Field(ge=0, description="A replica of d attention ranks divides the queue by d^this.")
    interference: float = Field(ge=0, description="Share of another prompt's time that a decoding request stands.")
    interference_rank_exponent: float = Field(ge=0)

    def of_engine(self, engine: str) -> FirstToken:
        """Fold the factor of one engine into the times; an engine that is not named keeps them."""
        factor = float(getattr(self, engine)) if engine in ENGINE_FACTORS else 1.0
        times = {"base_s": factor * self.base_s, "per_layer_s": factor * self.per_layer_s}
        return self.model_copy(update=times | dict.fromkeys(ENGINE_FACTORS, 1.0))


class MemoryLimits(Frozen):
    """What of HBM an engine hands to weights and KV cache."""

    usable_share: Share
    reserve_bytes: Bytes | Literal[0]


class Band(Frozen):
    """Factors on a prediction between which the nominal share of measured values lay, left out of the fit."""

    low: float = Field(gt=0)
    high: float = Field(gt=0)


class Bands(Frozen):
    """Bands of the three answers, and the share of rows they are meant to hold."""

    nominal: Share = 0.8
    tpot: Band
    ttft: Band
    throughput: Band
    hardware: tuple[str, ...] = Field(default=(), description="Accelerators of the fit; others widen a band.")
    engines: tuple[str, ...] = Field(default=(), description="Engines of the fit; others widen a band.")


class Errors(Frozen):
    """Absolute errors of predictions over some rows, as fractions of what was measured; None: not measured."""

    n: int = Field(ge=1)
    tpot_mean: float | None = None
    tpot_median: float | None = None
    ttft_mean: float | None = None
    ttft_median: float | None = None
    throughput_mean: float | None = None
    throughput_median: float | None = None


class LeftOut(Frozen):
    """How far a profile's form is off on rows that its fit did not see, beside baselines on the same rows, same run."""

    file: str
    date: str
    command: str = Field(description="What makes the figures again.")
    splits: dict[str, dict[str, Errors]] = Field(
        description="Split (each part left out of its own fit) -> model, hand_values, prototype_form."
    )
    phases: dict[str, dict[str, Errors]] = Field(description="Aggregated and disaggregated rows, left out by group.")
    coverage: dict[str, dict[str, float]] = Field(description="Split -> metric -> share of rows inside the band.")
    answered_by_aiconfigurator: dict[str, dict[str, Errors]] = Field(
        description="Rows that aiconfigurator answered, all and by engine or phase -> every planner."
    )
    after_points: dict[str, Errors] = Field(description="Points of the site's own -> errors of its other rows.")
    groups: dict[str, Errors] = Field(description="Model, accelerator and engine -> errors, that group left out.")
    notes: tuple[str, ...] = Field(default=(), description="What a reader should know of how the form was chosen.")


class SiteCorrection(Frozen):
    """Factors from a site's own points; they hold for one model, accelerator and engine at one precision."""

    model: str
    hardware: str
    engine: str
    precision: str = ""
    tpot_factor: float = Field(gt=0)
    ttft_factor: float = Field(gt=0)
    points: int = Field(ge=1)


class Calibration(Frozen):
    """One profile. ``sources`` says where each group of values comes from."""

    name: str
    title: str
    decode: DecodeEfficiency
    prefill: PrefillEfficiency
    network: NetworkEfficiency
    overheads: Overheads
    memory: MemoryLimits
    first_token: FirstToken | None = Field(default=None, description="Absent: the prototype's hand values.")
    compute_exponent: Share = Field(
        default=0.0, description="A product reaches share * (peak / 1 PFLOP/s)^-this of the peak: fast cores starve."
    )
    chips: dict[str, float] = Field(
        default_factory=dict, description="Factor on a decode step by accelerator; 1 for one that is not named."
    )
    ttft_chips: dict[str, float] = Field(
        default_factory=dict, description="Factor on a plan's TTFT by accelerator, from a site's own points."
    )
    two_batch_overlap_share: Share = Field(
        description="Share of min(communication, rest) hidden when two micro-batches interleave."
    )
    highest_utilisation: Share = Field(description="Utilisation that a replica may not pass, whatever its limits.")
    bands: Bands | None = Field(default=None, description="Absent: the answer is a point, and says so.")
    left_out: LeftOut | None = Field(default=None, description="Absent: its error is unknown.")
    site: tuple[SiteCorrection, ...] = ()
    sources: dict[str, str]

    def for_engine(self, engine: str | None) -> Calibration:
        """Return the profile as it holds for one engine; None: an engine without values of its own."""
        if self.first_token is None:
            return self
        return self.model_copy(update={"first_token": self.first_token.of_engine(engine or "")})
