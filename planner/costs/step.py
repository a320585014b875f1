"""Step times of many rows at once: the terms of a decode step and of a prefill batch, as columns [row].

Rows are layouts of one model on one chip (tables) or measured points of many models and chips: the formulas are the
same. The judge composes the same scalar primitives on its own; this file is not for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from planner.costs import compute, network
from planner.costs.work import ACTIVATION_BYTES, Column, Work, work_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from planner.costs.compute import Number
    from planner.costs.layout import Layouts
    from planner.costs.work import AttentionKind, Gemm
    from planner.instance.calibration import Calibration
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel


class Stepping(Protocol):
    """What the step formulas read: the work of each row, one profile, how even the load is."""

    @property
    def work(self) -> Work:
        """Numbers of each row."""

    @property
    def calibration(self) -> Calibration:
        """The profile."""

    @property
    def overlap_share(self) -> Number:
        """Share of the shorter of communication and the rest that is hidden."""

    @property
    def imbalance(self) -> NDArray[np.float64]:
        """Busiest GPU's load over the mean load [row, moe_layer]; one column where all layers are alike."""


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

    @cached_property
    def work(self) -> Work:
        """Numbers of each layout."""
        return work_of(self.model, self.accelerator, self.layouts)


@dataclass(frozen=True)
class StepTerms:
    """Seconds [row] that one pipeline stage spends on one micro-batch, by cause."""

    attention: Column
    dense: Column
    experts: Column
    all_reduce: Column
    all_to_all: Column
    overhead: Column
    overlap_share: Number

    def scaled(self, factor: Column) -> StepTerms:
        """Every term times a factor [row]."""
        parts = {
            entry.name: getattr(self, entry.name) * factor for entry in fields(self) if entry.name != "overlap_share"
        }
        return StepTerms(**parts, overlap_share=self.overlap_share)

    @property
    def stage_s(self) -> Column:
        """Time of one stage with the overlap taken off."""
        communication = self.all_reduce + self.all_to_all
        rest = self.attention + self.dense + self.experts + self.overhead
        return np.asarray(network.overlapped_s(communication, rest, self.overlap_share))


def decode_terms(
    machine: Stepping, batch: Column, context_tokens: Number, tokens_per_sequence: Number = 1.0
) -> StepTerms:
    """Terms of one decode step with ``batch`` [row] sequences per attention rank at ``context_tokens``.

    ``tokens_per_sequence`` are computed of each: more than 1 where a step verifies guessed tokens.
    """
    overheads, work, efficiency = machine.calibration.overheads, machine.work, machine.calibration.decode
    links = machine.calibration.network
    tokens = batch * tokens_per_sequence
    terms = StepTerms(
        attention=work.stage_layers * _attention_decode(machine, batch, context_tokens, tokens_per_sequence),
        dense=_dense(machine, tokens, tokens, efficiency.dense_compute, efficiency.dense_half_tokens),
        experts=work.stage_moe_layers * _experts(machine, tokens, efficiency.expert_compute),
        all_reduce=2 * work.stage_layers * _all_reduce(machine, tokens, links.scale_up),
        all_to_all=work.stage_moe_layers * _all_to_all(machine, tokens, decode=True),
        overhead=_layer_overhead(machine) + overheads.per_step_s + overheads.per_sequence_s * batch,
        overlap_share=machine.overlap_share,
    )
    chips = machine.calibration.chips
    return terms.scaled(_of_chip(work, chips)) if chips else terms


def _of_chip(work: Work, chips: Mapping[str, float]) -> Column:
    """Factor of each row's chip; 1 for one that is not named."""
    factor = np.ones(len(work))
    for name, value in chips.items():
        factor[work.chip == name] = value
    return factor


def prefill_terms(machine: Stepping, requests: Column, input_tokens: Number, new_tokens: Number) -> StepTerms:
    """Terms of one prefill batch of ``requests`` [row] prompts per attention rank.

    Each prompt has ``input_tokens``, of which the last ``new_tokens`` are computed.
    """
    efficiency, work, links = machine.calibration.prefill, machine.work, machine.calibration.network
    tokens = requests * new_tokens
    return StepTerms(
        attention=work.stage_layers * _attention_prefill(machine, requests, input_tokens, new_tokens),
        dense=_dense(machine, tokens, requests, efficiency.dense_compute, 0.0),
        experts=work.stage_moe_layers * _experts(machine, tokens, efficiency.expert_compute),
        all_reduce=2 * work.stage_layers * _all_reduce(machine, tokens, efficiency.scale_up or links.scale_up),
        all_to_all=work.stage_moe_layers * _all_to_all(machine, tokens, decode=False),
        overhead=_layer_overhead(machine) + machine.calibration.overheads.per_step_s,
        overlap_share=machine.overlap_share,
    )


def _attention_kinds(work: Work) -> tuple[AttentionKind, ...]:
    return tuple(kind for kind in work.attention if kind.share.any())


def _attention_decode(machine: Stepping, batch: Column, context_tokens: Number, tokens_per_sequence: Number) -> Column:
    """Time [s] of a mean layer's attention: the entries read, every index key, and the states."""
    work, efficiency = machine.work, machine.calibration.decode
    flop_per_s = efficiency.attention_compute * work.bf16_flop_per_s
    bytes_per_s = efficiency.kv_bandwidth * work.hbm_bytes_per_s
    total = np.zeros(len(work))
    for kind in _attention_kinds(work):
        kept = np.minimum(context_tokens, kind.window_tokens) / kind.tokens_per_entry
        reads = (
            (np.minimum(kept, kind.entries_read), kind.kv_bytes_per_entry, kind.flop_per_entry_decode),
            (kept, kind.index_bytes_per_entry, kind.index_flop_per_entry),
        )
        for entries, bytes_per_entry, flop_per_entry in reads:
            total += kind.share * compute.attention_decode_s(
                batch,
                entries,
                kv_bytes_per_token=bytes_per_entry,
                flop_per_context_token=flop_per_entry,
                flop_per_s=flop_per_s,
                bytes_per_s=bytes_per_s,
                tokens_per_sequence=tokens_per_sequence,
            )
        total += kind.share * compute.state_s(
            batch,
            state_bytes=kind.state_bytes_moved,
            flop=kind.state_flop_per_token,
            flop_per_s=flop_per_s,
            bytes_per_s=bytes_per_s,
        )
    return total


def _attention_prefill(machine: Stepping, requests: Column, input_tokens: Number, new_tokens: Number) -> Column:
    """Time [s] of a mean layer's attention: query-key pairs, pairs of the index, and the states."""
    work = machine.work
    share, exponent = machine.calibration.prefill.attention_compute, machine.calibration.compute_exponent
    rate = compute.reached_flop_per_s(share, work.bf16_flop_per_s, exponent)
    total = np.zeros(len(work))
    for kind in _attention_kinds(work):
        pairs = compute.causal_pairs(input_tokens, new_tokens, kind.window_tokens) / kind.tokens_per_entry
        parts = (
            (np.minimum(pairs, new_tokens * kind.entries_read), kind.flop_per_entry_prefill),
            (pairs, kind.index_flop_per_entry),
            (new_tokens, kind.state_flop_per_token),
        )
        for count, flop in parts:
            total += kind.share * compute.attention_prefill_s(
                requests, count, flop_per_context_token=flop, flop_per_s=rate
            )
    return total


def _dense(machine: Stepping, tokens: Column, sampled: Column, compute_share: float, half_tokens: float) -> Column:
    """Time [s] of projections, dense blocks, shared experts and router of a stage, and of the output head."""
    work = machine.work
    blocks = (work.projections, tokens), (work.dense_ffn, tokens), (work.routers, tokens), (work.head, sampled)
    total = np.zeros(len(work))
    for gemm, rows in blocks:
        total += _gemm(machine, gemm, rows, compute_share, half_tokens)
    return total


def _gemm(machine: Stepping, gemm: Gemm, tokens: Column, compute_share: float, half_tokens: float) -> Column:
    return np.asarray(
        compute.gemm_s(
            gemm.params,
            tokens,
            weight_bytes_per_param=gemm.bytes_per_param,
            flop_per_s=compute.reached_flop_per_s(
                compute_share, gemm.peak_flop_per_s, machine.calibration.compute_exponent
            ),
            bytes_per_s=machine.calibration.decode.weight_bandwidth * machine.work.hbm_bytes_per_s,
            half_tokens=half_tokens,
        )
    )


def _experts(machine: Stepping, tokens_per_rank: Column, compute_share: float) -> Column:
    """Time [s] of a mean MoE layer's routed experts on the busiest GPU: mean over layers of max(compute, read)."""
    work, efficiency, expert = machine.work, machine.calibration.decode, machine.work.expert_shard
    if not work.has_experts.any():
        return np.zeros(len(work))
    tokens = tokens_per_rank * work.data_parallel
    slots = np.maximum(work.expert_parallel * work.slots_per_gpu, 1.0)
    touched = work.slots_per_gpu * compute.touched_share(
        work.experts_per_token, slots, tokens, efficiency.popularity_shape
    )
    rate = compute.reached_flop_per_s(compute_share, expert.peak_flop_per_s, machine.calibration.compute_exponent)
    software = np.where(work.foreign_scales > 0, efficiency.foreign_scale_factor, 1.0)
    mean_tokens = tokens * work.experts_per_token / work.expert_parallel
    arithmetic = compute.expert_compute_s(
        machine.imbalance * mean_tokens[:, None],
        touched[:, None],
        expert.params[:, None],
        flop_per_s=np.asarray(rate)[:, None],
        half_tokens=efficiency.expert_half_tokens,
    )
    read = compute.expert_read_s(
        touched,
        expert.params * expert.bytes_per_param,
        bytes_per_s=efficiency.expert_weight_bandwidth * work.hbm_bytes_per_s,
    )
    return np.asarray(np.maximum(arithmetic, np.asarray(read)[:, None]).mean(axis=1) * work.has_experts * software)


def _all_reduce(machine: Stepping, tokens: Column, scale_up: float) -> Column:
    links, work = machine.calibration.network, machine.work
    return np.asarray(
        network.all_reduce_s(
            tokens,
            work.hidden_size * ACTIVATION_BYTES,
            work.tensor_parallel,
            bytes_per_s=scale_up * work.scale_up_bytes_per_s,
            latency_s=links.all_reduce_latency_s,
            latency_exponent=links.all_reduce_latency_exponent,
            remote_latency_s=links.all_reduce_remote_latency_s * (work.tensor_domains > 1),
        )
    )


def _all_to_all(machine: Stepping, tokens_per_rank: Column, *, decode: bool) -> Column:
    """Time [s] of dispatch and combine of a mean MoE layer; none where every rank sees every token."""
    links, work = machine.calibration.network, machine.work
    if not work.has_experts.any():
        return np.zeros(len(work))
    by_domain = links.deduplicates(decode=decode)
    per_layer = network.all_to_all_s(
        tokens_per_rank / work.tensor_parallel,
        work.hidden_size * (links.dispatch_bytes_per_number + links.combine_bytes_per_number),
        destinations=work.destinations,
        remote_domains=work.remote_domains_deduplicated if by_domain else work.remote_domains_by_assignment,
        scale_up_bytes_per_s=(links.all_to_all_scale_up or links.scale_up) * work.all_to_all_bytes_per_s,
        scale_out_bytes_per_s=links.scale_out * work.scale_out_bytes_per_s,
        imbalance=machine.imbalance.mean(axis=1),
        latency_s=links.all_to_all_latency_s + work.hop_latency_s,
    )
    return np.where((work.data_parallel > 1) & (work.has_experts > 0), per_layer, 0.0)


def _layer_overhead(machine: Stepping) -> Column:
    overheads, work = machine.calibration.overheads, machine.work
    per_layer = overheads.per_layer_s + overheads.per_mla_layer_s * work.special_attention_share
    later = np.where(work.fp4_units > 0, overheads.layer_factor_with_fp4_units, 1.0)
    return np.asarray(later * (work.stage_layers * per_layer + work.stage_moe_layers * overheads.per_moe_layer_s))
