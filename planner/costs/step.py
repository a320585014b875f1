"""Step times of many layouts at once: the terms of a decode step and of a prefill batch, as columns [layout].

The judge composes the same scalar primitives on its own; this file is only for tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import compute, memory, network
from planner.instance.quantities import PRECISION_BYTES
from planner.topology.crossing import distinct_remote_destinations
from planner.topology.domain_rate import domain_all_to_all_bytes_per_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.costs.compute import Number
    from planner.costs.layout import Layouts
    from planner.instance.calibration import Calibration
    from planner.instance.case import DemandClass
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

    Column = NDArray[np.float64]

ACTIVATION_BYTES = 2.0
"""Bytes per activation that tensor and pipeline parallelism move (bf16)."""


@dataclass(frozen=True)
class Machine:
    """One model on one kind of GPU under one calibration, for a table of layouts.

    ``imbalance`` [layout, moe_layer] is the busiest GPU's load over the mean load.
    """

    model: MoeModel
    accelerator: Accelerator
    calibration: Calibration
    overlap_share: float
    layouts: Layouts
    imbalance: NDArray[np.float64]

    @property
    def stage(self) -> memory.StageLayers:
        """Layers of the fullest stage, columns [layout]."""
        return memory.fullest_stage(self.model, self.layouts.pipeline_parallel)


@dataclass(frozen=True)
class StepTerms:
    """Seconds [layout] that one pipeline stage spends on one micro-batch, by cause."""

    attention: Column
    dense: Column
    experts: Column
    all_reduce: Column
    all_to_all: Column
    overhead: Column
    overlap_share: float

    @property
    def stage_s(self) -> Column:
        """Time of one stage with the overlap taken off."""
        communication = self.all_reduce + self.all_to_all
        rest = self.attention + self.dense + self.experts + self.overhead
        return np.asarray(network.overlapped_s(communication, rest, self.overlap_share))


def decode_terms(machine: Machine, batch: Column, context_tokens: float) -> StepTerms:
    """Terms of one decode step with ``batch`` [layout] sequences per attention rank at ``context_tokens``."""
    overheads, stage = machine.calibration.overheads, machine.stage
    return StepTerms(
        attention=stage.layers * _attention_decode(machine, batch, context_tokens),
        dense=_dense(
            machine,
            batch,
            batch,
            machine.calibration.decode.dense_compute,
            machine.calibration.decode.dense_half_tokens,
        ),
        experts=stage.moe * _experts(machine, batch, machine.calibration.decode.expert_compute),
        all_reduce=2 * stage.layers * _all_reduce(machine, batch),
        all_to_all=stage.moe * _all_to_all(machine, batch),
        overhead=_layer_overhead(machine) + overheads.per_step_s + overheads.per_sequence_s * batch,
        overlap_share=machine.overlap_share,
    )


def prefill_terms(machine: Machine, requests: Column, demand: DemandClass) -> StepTerms:
    """Terms of one prefill batch of ``requests`` [layout] prompts of one class per attention rank."""
    efficiency, stage = machine.calibration.prefill, machine.stage
    tokens = requests * demand.new_input_tokens
    return StepTerms(
        attention=stage.layers * _attention_prefill(machine, requests, demand),
        dense=_dense(machine, tokens, requests, efficiency.dense_compute, 0.0),
        experts=stage.moe * _experts(machine, tokens, efficiency.expert_compute),
        all_reduce=2 * stage.layers * _all_reduce(machine, tokens),
        all_to_all=stage.moe * _all_to_all(machine, tokens),
        overhead=_layer_overhead(machine) + machine.calibration.overheads.per_step_s,
        overlap_share=machine.overlap_share,
    )


def _attention_decode(machine: Machine, batch: Column, context_tokens: float) -> Column:
    """Time [s] of a mean layer's attention."""
    model, chip, efficiency = machine.model, machine.accelerator, machine.calibration.decode
    attention, layouts = model.attention, machine.layouts
    total = np.zeros(len(layouts))
    for share, window in _attention_layers(model):
        total += share * compute.attention_decode_s(
            batch,
            compute.visible_context(context_tokens, window),
            kv_bytes_per_token=memory.kv_bytes_per_layer_token(model)
            / memory.kv_shards(model, layouts.tensor_parallel),
            flop_per_context_token=attention.flop_per_context_token() / layouts.tensor_parallel,
            flop_per_s=efficiency.attention_compute * chip.peak_flop_per_s("bf16"),
            bytes_per_s=efficiency.kv_bandwidth * chip.hbm_bytes_per_s,
        )
    return total


def _attention_prefill(machine: Machine, requests: Column, demand: DemandClass) -> Column:
    """Time [s] of a mean layer's attention."""
    model, chip = machine.model, machine.accelerator
    total = np.zeros(len(machine.layouts))
    for share, window in _attention_layers(model):
        pairs = compute.causal_pairs(demand.input_tokens, demand.new_input_tokens, window)
        total += share * compute.attention_prefill_s(
            requests,
            pairs,
            flop_per_context_token=model.attention.prefill_flop_per_context_token() / machine.layouts.tensor_parallel,
            flop_per_s=machine.calibration.prefill.attention_compute * chip.peak_flop_per_s("bf16"),
        )
    return total


def _attention_layers(model: MoeModel) -> list[tuple[float, float | None]]:
    """Shares of layers that see everything and that see a window; stages mix them alike."""
    sliding = model.attention.sliding_layers / model.layers
    window = model.attention.sliding_window_tokens
    return [(1.0 - sliding, None)] + ([(sliding, window)] if sliding else [])


def _dense(machine: Machine, tokens: Column, sampled: Column, compute_share: float, half_tokens: float) -> Column:
    """Time [s] of projections, dense blocks, shared experts and router of a stage, and of the output head."""
    model, layouts, stage = machine.model, machine.layouts, machine.stage
    weights, tensor = model.weights, layouts.tensor_parallel
    blocks = (
        (stage.layers * model.attention_params / tensor, weights.attention),
        ((stage.dense * model.dense_ffn_params + stage.moe * model.shared_params) / tensor, weights.dense_ffn),
        (stage.moe * float(model.router_params), "bf16"),
    )
    total = np.zeros(len(layouts))
    for params, precision in blocks:
        total += _gemm(machine, params, tokens, precision, compute_share, half_tokens)
    head = _gemm(
        machine, model.vocab_size * model.hidden_size / tensor, sampled, weights.embeddings, compute_share, half_tokens
    )
    return total + head


def _gemm(
    machine: Machine, params: Number, tokens: Column, precision: str, compute_share: float, half_tokens: float
) -> Column:
    chip = machine.accelerator
    return np.asarray(
        compute.gemm_s(
            params,
            tokens,
            weight_bytes_per_param=PRECISION_BYTES[precision],
            flop_per_s=compute_share * chip.peak_flop_per_s(precision),
            bytes_per_s=machine.calibration.decode.weight_bandwidth * chip.hbm_bytes_per_s,
            half_tokens=half_tokens,
        )
    )


def _experts(machine: Machine, tokens_per_rank: Column, compute_share: float) -> Column:
    """Time [s] of a mean MoE layer's routed experts on the busiest GPU: mean over layers of max(compute, read)."""
    model, chip, layouts = machine.model, machine.accelerator, machine.layouts
    if model.moe_layers == 0:
        return np.zeros(len(layouts))
    precision = model.weights.routed_experts
    tokens = tokens_per_rank * layouts.data_parallel
    slots = layouts.expert_parallel * layouts.slots_per_gpu
    touched = layouts.slots_per_gpu * compute.touched_share(model.experts_per_token, slots, tokens)
    shard_params = model.expert_params / layouts.expert_shards
    mean_tokens = tokens * model.experts_per_token / layouts.expert_parallel
    arithmetic = compute.expert_compute_s(
        machine.imbalance * mean_tokens[:, None],
        touched[:, None],
        shard_params[:, None],
        flop_per_s=compute_share * chip.peak_flop_per_s(precision),
        half_tokens=machine.calibration.decode.expert_half_tokens,
    )
    read = compute.expert_read_s(
        touched,
        shard_params * PRECISION_BYTES[precision],
        bytes_per_s=machine.calibration.decode.expert_weight_bandwidth * chip.hbm_bytes_per_s,
    )
    return np.asarray(np.maximum(arithmetic, np.asarray(read)[:, None]).mean(axis=1))


def _all_reduce(machine: Machine, tokens: Column) -> Column:
    links = machine.calibration.network
    return np.asarray(
        network.all_reduce_s(
            tokens,
            machine.model.hidden_size * ACTIVATION_BYTES,
            machine.layouts.tensor_parallel,
            bytes_per_s=links.scale_up * machine.accelerator.scale_up_bytes_per_s,
            latency_s=links.all_reduce_latency_s,
            latency_exponent=links.all_reduce_latency_exponent,
        )
    )


def _all_to_all(machine: Machine, tokens_per_rank: Column) -> Column:
    """Time [s] of dispatch and combine of a mean MoE layer; none where every rank sees every token."""
    model, chip, links, layouts = machine.model, machine.accelerator, machine.calibration.network, machine.layouts
    if model.moe_layers == 0:
        return np.zeros(len(layouts))
    inside = np.minimum(layouts.stage_gpus, layouts.gpus_per_domain)
    per_layer = network.all_to_all_s(
        tokens_per_rank / layouts.tensor_parallel,
        model.hidden_size * (links.dispatch_bytes_per_number + links.combine_bytes_per_number),
        destinations=distinct_remote_destinations(
            model.routed_experts, model.experts_per_token, layouts.expert_parallel.astype(np.float64)
        )
        * layouts.expert_shards,
        remote_domains=_remote_domains(machine),
        scale_up_bytes_per_s=links.scale_up * domain_all_to_all_bytes_per_s(chip, inside),
        scale_out_bytes_per_s=links.scale_out * chip.scale_out_bytes_per_s,
        imbalance=machine.imbalance.mean(axis=1),
        latency_s=links.all_to_all_latency_s
        + np.where(layouts.stage_domains > 1, chip.scale_out_latency_s, chip.scale_up_latency_s),
    )
    return np.where(layouts.data_parallel > 1, per_layer, 0.0)


def _remote_domains(machine: Machine) -> Column:
    model, domains = machine.model, machine.layouts.stage_domains.astype(np.float64)
    if machine.calibration.network.deduplicate_by_domain:
        return np.asarray(distinct_remote_destinations(model.routed_experts, model.experts_per_token, domains))
    return model.experts_per_token * (domains - 1.0) / domains


def _layer_overhead(machine: Machine) -> Column:
    overheads, stage = machine.calibration.overheads, machine.stage
    mla = machine.model.attention.kind == "mla"
    per_layer = overheads.per_layer_s + (overheads.per_mla_layer_s if mla else 0.0)
    return np.asarray(stage.layers * per_layer + stage.moe * overheads.per_moe_layer_s)
