"""Bytes that weights and KV take on one GPU. Floats or NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from planner.costs.compute import Number
    from planner.instance.model import MoeModel


def kv_shards(model: MoeModel, tensor_parallel: Number) -> Number:
    """GPUs over which tensor parallelism spreads the KV of one sequence: KV heads divide, an MLA latent does not."""
    if model.attention.kind == "mla":
        return np.ones_like(np.asarray(tensor_parallel, dtype=np.float64))
    return np.asarray(np.minimum(np.asarray(tensor_parallel, dtype=np.float64), model.attention.kv_heads))


def kv_bytes_per_layer_token(model: MoeModel) -> float:
    """KV bytes that one layer keeps for one token [B]."""
    return model.attention.kv_numbers_per_token() * PRECISION_BYTES[model.kv_format]


def kv_bytes_of_sequence(model: MoeModel, context_tokens: Number) -> Number:
    """KV bytes STORED for one sequence, all layers [B]; sliding layers keep their window only."""
    attention = model.attention
    full = (model.layers - attention.sliding_layers) * np.asarray(context_tokens, dtype=np.float64)
    window = attention.sliding_window_tokens or 0
    sliding = attention.sliding_layers * np.minimum(context_tokens, window)
    return np.asarray(kv_bytes_per_layer_token(model) * (full + sliding))


def kv_bytes_per_gpu(
    model: MoeModel, sequences_per_rank: Number, context_tokens: Number, tensor_parallel: Number
) -> Number:
    """KV bytes on one GPU [B] when every attention rank of every pipeline stage serves ``sequences_per_rank``.

    With P stages a GPU holds 1/P of the layers of P micro-batches: P cancels (seed claims dossier, C29).
    """
    return sequences_per_rank * kv_bytes_of_sequence(model, context_tokens) / kv_shards(model, tensor_parallel)


def weight_bytes_per_gpu(
    model: MoeModel,
    *,
    tensor_parallel: Number,
    expert_shards: Number,
    slots_per_gpu: Number,
    pipeline_parallel: Number,
) -> Number:
    """Weight bytes on the fullest GPU [B].

    Attention, dense and shared blocks are cut by tensor parallelism and copied over data-parallel ranks; a slot holds
    one expert cut ``expert_shards`` ways; a stage holds one embedding, a single stage both.
    """
    first, later = (
        _layer_bytes(model, stage(model, pipeline_parallel), tensor_parallel, expert_shards, slots_per_gpu)
        for stage in (first_stage, fullest_stage)
    )
    embedding = model.vocab_size * model.hidden_size * PRECISION_BYTES[model.weights.embeddings]
    copies = np.where(np.asarray(pipeline_parallel) > 1, 1.0, 1.0 if model.tied_embeddings else 2.0)
    return np.maximum(first, later) + copies * embedding / tensor_parallel


def _layer_bytes(
    model: MoeModel, stage: StageLayers, tensor_parallel: Number, expert_shards: Number, slots_per_gpu: Number
) -> Number:
    width = PRECISION_BYTES
    attention = stage.layers * (model.attention_params + 2 * model.hidden_size) * width[model.weights.attention]
    dense = (stage.dense * model.dense_ffn_params + stage.moe * model.shared_params) * width[model.weights.dense_ffn]
    routers = stage.moe * model.router_params * width["bf16"]
    slots = stage.moe * slots_per_gpu * model.expert_params * width[model.weights.routed_experts] / expert_shards
    return (attention + dense) / tensor_parallel + routers + slots


class StageLayers(NamedTuple):
    """Layers of one pipeline stage: all of them, those with routed experts, those with a dense block."""

    layers: Number
    moe: Number
    dense: Number


def fullest_stage(model: MoeModel, pipeline_parallel: Number) -> StageLayers:
    """Layers of the stage with most experts: ceil(layers / P), of which as many as possible hold experts.

    Dense layers come first in every model here, so a later stage holds experts only. One stage holds the whole model.
    """
    layers = np.ceil(model.layers / np.asarray(pipeline_parallel, dtype=np.float64))
    moe = np.minimum(layers, model.moe_layers)
    return StageLayers(layers, moe, layers - moe)


def first_stage(model: MoeModel, pipeline_parallel: Number) -> StageLayers:
    """Layers of the first stage: ceil(layers / P), the dense ones among them."""
    layers = np.ceil(model.layers / np.asarray(pipeline_parallel, dtype=np.float64))
    dense = np.minimum(layers, model.dense_layers)
    return StageLayers(layers, layers - dense, dense)


def usable_bytes(hbm_bytes: float, usable_share: float, reserve_bytes: float) -> float:
    """HBM that weights and KV may fill on one GPU [B]."""
    return hbm_bytes * usable_share - reserve_bytes
