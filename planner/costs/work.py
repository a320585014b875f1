"""What one step does on one GPU, as numbers: weights, bytes and operations of a cut model, and the rates of its chip.

`work_of` writes a table of layouts of one model on one chip; `concatenate` joins such tables, so that the same step
formulas price rows of many models and chips at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.costs import memory
from planner.instance.attention import ContextLayers
from planner.instance.quantities import PRECISION_BYTES
from planner.topology.crossing import distinct_remote_destinations
from planner.topology.domain_rate import domain_all_to_all_bytes_per_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.costs.layout import Layouts
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

Column: TypeAlias = NDArray[np.float64]

ACTIVATION_BYTES = 2.0
"""Bytes per activation that tensor and pipeline parallelism move (bf16)."""

NO_WINDOW = 1e18
"""Tokens that a layer without a sliding window sees: more than any context, finite so that 0 times it is 0."""

ATTENTION_KINDS = 3
"""Most kinds of layers, by what they keep of the context, that one model mixes."""


@dataclass(frozen=True)
class Gemm:
    """A dense product of one GPU: weights, bytes of a weight and the chip's peak for it, columns [row]."""

    params: Column
    bytes_per_param: Column
    peak_flop_per_s: Column


@dataclass(frozen=True)
class AttentionKind:
    """Layers that keep and read the context alike, columns [row]; see ``ContextLayers`` for each number.

    ``share`` is their share of all layers (a stage mixes the kinds alike); ``window_tokens`` and ``entries_read`` are
    ``NO_WINDOW`` where there is no such limit; bytes and FLOP are those of one GPU.
    """

    share: Column
    window_tokens: Column
    tokens_per_entry: Column
    entries_read: Column
    kv_bytes_per_entry: Column
    index_bytes_per_entry: Column
    index_flop_per_entry: Column
    flop_per_entry_decode: Column
    flop_per_entry_prefill: Column
    state_bytes_moved: Column
    state_flop_per_token: Column


@dataclass(frozen=True)
class Work:
    """One row a layout of a model on a chip; every field a column [row] unless said otherwise."""

    stage_layers: Column
    stage_moe_layers: Column
    tensor_parallel: Column
    data_parallel: Column
    expert_parallel: Column
    slots_per_gpu: Column
    special_attention_share: Column
    """Share of layers with a latent, sparse, compressed or linear attention."""
    attention: tuple[AttentionKind, ...]
    """``ATTENTION_KINDS`` of them, those that a model lacks with a share of 0."""
    projections: Gemm
    dense_ffn: Gemm
    routers: Gemm
    head: Gemm
    expert_shard: Gemm
    """One routed expert's part on one GPU."""
    has_experts: Column
    experts_per_token: Column
    hidden_size: Column
    destinations: Column
    """Distinct other GPUs that a token is sent to in a MoE layer."""
    remote_domains_deduplicated: Column
    remote_domains_by_assignment: Column
    hbm_bytes_per_s: Column
    bf16_flop_per_s: Column
    scale_up_bytes_per_s: Column
    all_to_all_bytes_per_s: Column
    """Rate of an all-to-all inside a domain."""
    scale_out_bytes_per_s: Column
    hop_latency_s: Column
    tensor_domains: Column
    """Scale-up domains that the ranks of one tensor-parallel group lie in."""
    foreign_scales: Column
    """1 where the experts' format has scales that the chip's tensor cores do not apply, though they apply others."""
    fp4_units: Column
    """1 where the chip computes in fp4: it stands for the generation."""
    chip: NDArray[np.str_]
    """Name of the accelerator."""

    def __len__(self) -> int:
        return len(self.stage_layers)


def work_of(model: MoeModel, chip: Accelerator, layouts: Layouts) -> Work:
    """Numbers of ``layouts`` of one model on one chip."""
    tensor = layouts.tensor_parallel.astype(np.float64)
    stage = memory.fullest_stage(model, layouts.pipeline_parallel)
    domains = layouts.stage_domains.astype(np.float64)
    inside = np.minimum(layouts.stage_gpus, layouts.gpus_per_domain)
    columns = _Columns(len(layouts), chip)
    moe = model.moe_layers > 0
    return Work(
        stage_layers=columns.of(stage.layers),
        stage_moe_layers=columns.of(stage.moe),
        tensor_parallel=tensor,
        data_parallel=columns.of(layouts.data_parallel),
        expert_parallel=columns.of(layouts.expert_parallel),
        slots_per_gpu=columns.of(layouts.slots_per_gpu),
        special_attention_share=columns.of(model.special_attention_layers / model.layers),
        attention=_attention_kinds(model, columns, tensor),
        projections=columns.gemm(
            stage.layers * memory.attention_params_per_rank(model, tensor), model.weights.attention
        ),
        dense_ffn=columns.gemm(
            (stage.dense * model.dense_ffn_params + stage.moe * model.shared_params) / tensor, model.weights.dense_ffn
        ),
        routers=columns.gemm(stage.moe * float(model.router_params), "bf16"),
        head=columns.gemm(model.vocab_size * model.hidden_size / tensor, model.weights.embeddings),
        expert_shard=columns.gemm(model.expert_params / layouts.expert_shards, model.weights.routed_experts),
        has_experts=columns.of(float(moe)),
        experts_per_token=columns.of(float(model.experts_per_token)),
        hidden_size=columns.of(float(model.hidden_size)),
        destinations=columns.of(_distinct(model, layouts.expert_parallel) * layouts.expert_shards),
        remote_domains_deduplicated=columns.of(_distinct(model, domains)),
        remote_domains_by_assignment=columns.of(model.experts_per_token * (domains - 1.0) / domains),
        hbm_bytes_per_s=columns.of(chip.hbm_bytes_per_s),
        bf16_flop_per_s=columns.of(chip.peak_flop_per_s("bf16")),
        scale_up_bytes_per_s=columns.of(chip.scale_up_bytes_per_s),
        all_to_all_bytes_per_s=columns.of(domain_all_to_all_bytes_per_s(chip, inside)),
        scale_out_bytes_per_s=columns.of(chip.scale_out_bytes_per_s),
        hop_latency_s=columns.of(np.where(domains > 1, chip.scale_out_latency_s, chip.scale_up_latency_s)),
        tensor_domains=columns.of(np.ceil(tensor / layouts.gpus_per_domain)),
        foreign_scales=columns.of(float(moe and has_foreign_scales(model, chip))),
        fp4_units=columns.of(float(has_fp4_units(chip))),
        chip=np.full(len(layouts), chip.name),
    )


def has_fp4_units(chip: Accelerator) -> bool:
    """Whether the chip's matrix units compute in 4-bit floats."""
    return chip.arithmetic("nvfp4") == "fp4"


def has_foreign_scales(model: MoeModel, chip: Accelerator) -> bool:
    """Whether a chip that scales blocks of 4-bit floats itself must rescale this model's experts in software.

    Tensor cores with fp4 units apply the scales of mxfp4 and nvfp4; fp8 in 128 x 128 blocks and weight-only int4 are
    rescaled by the kernel, at the cost of the unit's rate. On chips without fp4 units every format is.
    """
    wanted = model.weights.routed_experts
    return has_fp4_units(chip) and (wanted in ("int4", "int4_g32") or (wanted == "fp8" and model.moe_layers > 0))


def concatenate(parts: Sequence[Work], order: NDArray[np.intp]) -> Work:
    """Join tables one below the other and return their rows in ``order`` [row]."""
    return _joined(Work, parts, order)


_Table = TypeVar("_Table", Work, AttentionKind, Gemm)


def _joined(kind: type[_Table], parts: Sequence[_Table], order: NDArray[np.intp]) -> _Table:
    joined: dict[str, Any] = {}
    for field in fields(kind):
        values = [getattr(part, field.name) for part in parts]
        joined[field.name] = _joined_values(values, order)
    return kind(**joined)


def _joined_values(values: list[Any], order: NDArray[np.intp]) -> Any:  # noqa: ANN401 - a column or a table of them
    first = values[0]
    if isinstance(first, tuple):
        return tuple(_joined_values(list(entries), order) for entries in zip(*values, strict=True))
    if isinstance(first, Gemm | AttentionKind):
        return _joined(type(first), values, order)
    return np.concatenate(values)[order]


@dataclass(frozen=True)
class _Columns:
    """Makes columns of one length for one chip."""

    length: int
    chip: Accelerator

    def of(self, value: object) -> Column:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), (self.length,))

    def gemm(self, params: object, precision: str) -> Gemm:
        width, peak = PRECISION_BYTES[precision], self.chip.peak_flop_per_s(precision)
        return Gemm(self.of(params), self.of(width), self.of(peak))


def _attention_kinds(model: MoeModel, columns: _Columns, tensor: Column) -> tuple[AttentionKind, ...]:
    kinds = [_attention(kind, kind.layers / model.layers, columns, tensor) for kind in model.context_layers]
    none = _attention(ContextLayers(layers=0), 0.0, columns, tensor)
    return (*kinds, *[none] * (ATTENTION_KINDS - len(kinds)))


def _attention(kind: ContextLayers, share: float, columns: _Columns, tensor: Column) -> AttentionKind:
    def limit(value: int | None) -> float:
        return NO_WINDOW if value is None else float(value)

    return AttentionKind(
        share=columns.of(share),
        window_tokens=columns.of(limit(kind.window_tokens)),
        tokens_per_entry=columns.of(float(kind.tokens_per_entry)),
        entries_read=columns.of(limit(kind.entries_read)),
        kv_bytes_per_entry=columns.of(kind.kv_bytes_per_entry / memory.shards(kind.kv_shards, tensor)),
        index_bytes_per_entry=columns.of(kind.index_bytes_per_entry),
        index_flop_per_entry=columns.of(kind.index_flop_per_entry),
        flop_per_entry_decode=columns.of(kind.flop_per_entry_decode / tensor),
        flop_per_entry_prefill=columns.of(kind.flop_per_entry_prefill / tensor),
        state_bytes_moved=columns.of(kind.state_bytes_moved / memory.shards(kind.state_shards, tensor)),
        state_flop_per_token=columns.of(kind.state_flop_per_token / tensor),
    )


def _distinct(model: MoeModel, units: NDArray[np.int64] | Column) -> Column:
    """Distinct other units that a token is sent to; none without experts."""
    if model.moe_layers == 0:
        return np.zeros(len(units))
    return distinct_remote_destinations(model.routed_experts, model.experts_per_token, units.astype(np.float64))
