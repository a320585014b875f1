"""How far real kernels, links and schedulers stay behind the data sheet: one profile of efficiencies and overheads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from planner.instance.quantities import Bytes, Efficiency, Frozen, NonNegativeSeconds, Share


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


class PrefillEfficiency(Frozen):
    """Shares of the peak reached while prompts are processed."""

    dense_compute: Efficiency
    expert_compute: Efficiency
    attention_compute: Efficiency


class NetworkEfficiency(Frozen):
    """Shares of the link rates reached, and what each collective costs besides its bytes."""

    scale_up: Efficiency
    scale_out: Efficiency
    all_reduce_latency_s: NonNegativeSeconds
    all_reduce_latency_exponent: float = Field(ge=0)
    all_to_all_latency_s: NonNegativeSeconds
    pipeline_hop_s: NonNegativeSeconds
    dispatch_bytes_per_number: float = Field(gt=0)
    combine_bytes_per_number: float = Field(gt=0)
    deduplicate_by_domain: bool = Field(description="A token crosses to each remote domain once, then fans out.")


class Overheads(Frozen):
    """Time that no roofline sees: launches, scheduling, sampling."""

    per_layer_s: NonNegativeSeconds
    per_moe_layer_s: NonNegativeSeconds
    per_mla_layer_s: NonNegativeSeconds
    per_step_s: NonNegativeSeconds
    per_sequence_s: NonNegativeSeconds
    first_token_s: NonNegativeSeconds


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
    two_batch_overlap_share: Share = Field(
        description="Share of min(communication, rest) hidden when two micro-batches interleave."
    )
    highest_utilisation: Share = Field(description="Utilisation that a replica may not pass, whatever its limits.")
    bands: Bands | None = Field(default=None, description="Absent: the answer is a point, and says so.")
    site: tuple[SiteCorrection, ...] = ()
    sources: dict[str, str]
