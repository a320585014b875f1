"""What the prototype's form reads of models, chips and shapes, as columns [point]."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import memory
from planner.costs.points import ENGINES
from planner.instance.quantities import PRECISION_BYTES
from planner.studies.validation.splits import generation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from planner.costs.points import ServingPoints, Workers
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel

    Column = NDArray[np.float64]

FOUR_BITS = ("fp4", "nvfp4", "mxfp4")
INT4 = ("int4", "int4_g32")
MIXED_ATTENTION_BYTES = 1.6


@dataclass(frozen=True, eq=False)
class ModelColumns:
    """Sizes of the model of each point; parameters are counts, ``*_bytes`` are bytes per parameter."""

    layers: Column
    dense_layers: Column
    moe_layers: Column
    hidden: Column
    experts: Column
    top_k: Column
    attention_params: Column
    feed_forward_params: Column
    """Dense blocks and shared experts, all layers."""
    head_params: Column
    expert_params: Column
    attention_bytes: Column
    feed_forward_bytes: Column
    expert_bytes: Column
    special_layers: Column
    """Layers with a latent, sparse or linear attention."""
    four_bits: Column
    int4: Column
    attention_flop_per_s: Column
    feed_forward_flop_per_s: Column
    expert_flop_per_s: Column
    bf16_flop_per_s: Column
    hbm_bytes: Column
    hbm_bytes_per_s: Column
    scale_up_bytes_per_s: Column
    blackwell: Column
    engines: Column
    """One-hot [point, engine of ENGINES]."""


@functools.lru_cache(maxsize=64)
def model_columns(points: ServingPoints) -> ModelColumns:
    """Columns that follow from model, chip and engine alone."""
    pairs = np.stack([points.model, points.accelerator])
    unique, inverse = np.unique(pairs, axis=1, return_inverse=True)
    places = np.asarray(inverse).reshape(-1)

    def column(of: Callable[[MoeModel, Accelerator], float]) -> Column:
        each = [of(points.models[model], points.accelerators[chip]) for model, chip in unique.T]
        return np.array(each, dtype=np.float64)[places]

    width = PRECISION_BYTES
    return ModelColumns(
        layers=column(lambda model, _: model.layers),
        dense_layers=column(lambda model, _: model.dense_layers),
        moe_layers=column(lambda model, _: model.moe_layers),
        hidden=column(lambda model, _: model.hidden_size),
        experts=column(lambda model, _: max(model.routed_experts, 1)),
        top_k=column(lambda model, _: model.experts_per_token),
        attention_params=column(lambda model, _: model.layers * model.attention_params),
        feed_forward_params=column(
            lambda model, _: model.dense_layers * model.dense_ffn_params + model.moe_layers * model.shared_params
        ),
        head_params=column(lambda model, _: model.vocab_size * model.hidden_size),
        expert_params=column(lambda model, _: model.expert_params if model.moe_layers else 0),
        attention_bytes=column(lambda model, _: _attention_bytes(model)),
        feed_forward_bytes=column(lambda model, _: width[model.weights.dense_ffn]),
        expert_bytes=column(lambda model, _: width[model.weights.routed_experts]),
        special_layers=column(lambda model, _: model.special_attention_layers),
        four_bits=column(lambda model, _: _narrow(model) in FOUR_BITS),
        int4=column(lambda model, _: _narrow(model) in INT4),
        attention_flop_per_s=column(lambda model, chip: chip.peak_flop_per_s(_attention_format(model))),
        feed_forward_flop_per_s=column(lambda model, chip: chip.peak_flop_per_s(model.weights.dense_ffn)),
        expert_flop_per_s=column(lambda model, chip: chip.peak_flop_per_s(model.weights.routed_experts)),
        bf16_flop_per_s=column(lambda _, chip: chip.peak_flop_per_s("bf16")),
        hbm_bytes=column(lambda _, chip: chip.hbm_bytes),
        hbm_bytes_per_s=column(lambda _, chip: chip.hbm_bytes_per_s),
        scale_up_bytes_per_s=column(lambda _, chip: chip.scale_up_bytes_per_s),
        blackwell=column(lambda _, chip: generation_of(chip.name) == "blackwell"),
        engines=(points.engine[:, None] == np.arange(len(ENGINES))).astype(np.float64),
    )


def _mixed_attention(model: MoeModel) -> bool:
    """Whether the dossier's mean of DeepSeek's nvfp4 checkpoints applies: 1.6 bytes a weight of attention, in fp8."""
    mixed = model.weights.routed_experts == "nvfp4" and model.weights.attention == "bf16"
    return mixed and model.name.startswith("deepseek")


def _attention_bytes(model: MoeModel) -> float:
    return MIXED_ATTENTION_BYTES if _mixed_attention(model) else PRECISION_BYTES[model.weights.attention]


def _attention_format(model: MoeModel) -> str:
    return "fp8" if _mixed_attention(model) else model.weights.attention


def _narrow(model: MoeModel) -> str:
    return model.weights.routed_experts if model.moe_layers else model.weights.dense_ffn


@dataclass(frozen=True, eq=False)
class PoolColumns:
    """Widths of one pool's workers and what one sequence costs a GPU of them."""

    count: Column
    tensor: Column
    data: Column
    expert: Column
    shards: Column
    gpus: Column
    weight_bytes: Column
    kv_bytes_read: Column
    """Bytes that one decode step moves for one sequence at the mean context."""
    kv_bytes_stored: Column
    decode_flop: Column
    prefill_flop: Column
    """FLOP of attention for one whole prompt."""


@functools.lru_cache(maxsize=64)
def pool_columns(points: ServingPoints, *, prefill: bool) -> PoolColumns:
    """Columns of the pool that decodes, or of the one that prefills."""
    workers = points.prefill_workers if prefill else points.workers
    tensor = workers.tensor_parallel.astype(np.float64)
    read, stored, decode, first = (np.empty(len(points)) for _ in range(4))
    for place, model in enumerate(points.models):
        rows = points.model == place
        context, prompt, width = points.context_tokens[rows], points.input_tokens[rows], tensor[rows]
        read[rows] = memory.kv_bytes_read_of_sequence(model, context, width)
        stored[rows] = memory.kv_bytes_of_sequence(model, context, width)
        decode[rows] = _decode_flop(model, context) / width
        first[rows] = _prefill_flop(model, prompt) / width
    return PoolColumns(
        count=workers.count.astype(np.float64),
        tensor=tensor,
        data=workers.data_parallel.astype(np.float64),
        expert=workers.expert_parallel.astype(np.float64),
        shards=np.maximum(workers.expert_shards, 1.0),
        gpus=workers.worker_gpus.astype(np.float64),
        weight_bytes=_weight_bytes(model_columns(points), workers),
        kv_bytes_read=read,
        kv_bytes_stored=stored,
        decode_flop=decode,
        prefill_flop=first,
    )


def _decode_flop(model: MoeModel, context: Column) -> Column:
    total = np.zeros(len(context))
    for kind in model.context_layers:
        kept = memory.entries_kept(kind, context)
        seen = kept if kind.entries_read is None else np.minimum(kept, kind.entries_read)
        total += kind.layers * seen * kind.flop_per_entry_decode
    return total


def _prefill_flop(model: MoeModel, prompt: Column) -> Column:
    total = np.zeros(len(prompt))
    for kind in model.context_layers:
        window = np.inf if kind.window_tokens is None else float(kind.window_tokens)
        pairs = np.minimum(prompt * prompt / 2, prompt * window) / kind.tokens_per_entry
        total += kind.layers * pairs * kind.flop_per_entry_prefill
    return total


def _weight_bytes(model: ModelColumns, workers: Workers) -> Column:
    tensor, shards = workers.tensor_parallel, np.maximum(workers.expert_shards, 1.0)
    dense = model.attention_params * model.attention_bytes + model.feed_forward_params * model.feed_forward_bytes
    experts = model.moe_layers * model.experts * model.expert_params * model.expert_bytes
    embeddings = 2 * model.head_params * 2
    total = (dense + embeddings) / tensor + experts / (workers.expert_parallel * shards)
    return np.asarray(total / workers.pipeline_parallel)
