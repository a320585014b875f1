"""Bytes that weights and KV take on one GPU. Floats or NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.instance.quantities import PRECISION_BYTES

if TYPE_CHECKING:
    from planner.costs.compute import Number
    from planner.instance.attention import ContextLayers
    from planner.instance.model import MoeModel


def shards(ways: float, tensor_parallel: Number) -> Number:
    """GPUs over which tensor parallelism spreads what at most ``ways`` can hold: KV heads, 1 for a latent."""
    return np.asarray(np.minimum(np.asarray(tensor_parallel, dtype=np.float64), ways))


def entries_kept(kind: ContextLayers, context_tokens: Number) -> Number:
    """Cache entries that one layer of ``kind`` keeps for one sequence."""
    seen = np.asarray(context_tokens, dtype=np.float64)
    if kind.window_tokens is not None:
        seen = np.minimum(seen, kind.window_tokens)
    return np.asarray(seen / kind.tokens_per_entry)


def kv_bytes_of_sequence(model: MoeModel, context_tokens: Number, tensor_parallel: Number = 1.0) -> Number:
    """KV bytes STORED for one sequence, all layers [B], on one GPU of ``tensor_parallel`` that share it.

    Sliding layers keep their window only, linear ones a state whatever the length; heads and states are cut, a latent
    and an index are not.
    """
    total = np.zeros(())
    for kind in model.context_layers:
        kept = entries_kept(kind, context_tokens)
        each = kept * (kind.kv_bytes_per_entry / shards(kind.kv_shards, tensor_parallel) + kind.index_bytes_per_entry)
        total = total + kind.layers * (each + kind.state_bytes / shards(kind.state_shards, tensor_parallel))
    return np.asarray(total)


def kv_bytes_read_of_sequence(model: MoeModel, context_tokens: Number, tensor_parallel: Number = 1.0) -> Number:
    """KV and state bytes that one decode step MOVES for one sequence on one GPU, all layers [B].

    Sparse attention reads its best entries and every index key; a state is read and written.
    """
    total = np.zeros(())
    for kind in model.context_layers:
        kept = entries_kept(kind, context_tokens)
        read = kept if kind.entries_read is None else np.minimum(kept, kind.entries_read)
        each = read * kind.kv_bytes_per_entry / shards(kind.kv_shards, tensor_parallel)
        each = each + kept * kind.index_bytes_per_entry
        total = total + kind.layers * (each + kind.state_bytes_moved / shards(kind.state_shards, tensor_parallel))
    return np.asarray(total)


def kv_bytes_per_gpu(
    model: MoeModel, sequences_per_rank: Number, context_tokens: Number, tensor_parallel: Number
) -> Number:
    """KV bytes on one GPU [B] when every attention rank of every pipeline stage serves ``sequences_per_rank``.

    With P stages a GPU holds 1/P of the layers of P micro-batches: P cancels (seed claims dossier, C29).
    """
    return sequences_per_rank * kv_bytes_of_sequence(model, context_tokens, tensor_parallel)


def attention_params_per_rank(model: MoeModel, tensor_parallel: Number) -> Number:
    """Attention weights of a mean layer that one of ``tensor_parallel`` ranks multiplies with.

    Heads are cut; the ways into a latent are on every rank, and KV heads on several where there are fewer than ranks.
    """
    attention, hidden = model.attention, model.hidden_size
    share = model.attention_layers / model.layers
    uncut, keys = share * attention.uncut_params(hidden), share * attention.key_value_params(hidden)
    cut = (model.attention_params - uncut - keys) / tensor_parallel
    return np.asarray(cut + uncut + keys / shards(attention.kv_heads, tensor_parallel))


def weight_bytes_per_gpu(
    model: MoeModel,
    *,
    tensor_parallel: Number,
    expert_shards: Number,
    slots_per_gpu: Number,
    pipeline_parallel: Number,
    prediction_layers: int = 0,
) -> Number:
    """Weight bytes on the fullest GPU [B].

    Attention, dense and shared blocks are cut by tensor parallelism and copied over data-parallel ranks; a slot holds
    one expert cut ``expert_shards`` ways; a stage holds one embedding, a single stage both. ``prediction_layers`` of
    multi-token prediction stand on the last stage, each a layer and the matrix that joins two hidden vectors.
    Attention is cut evenly here, as the field's arithmetic does: what ranks hold twice (``attention_params_per_rank``)
    adds 1 % for a latent at TP8.
    """
    first, later = (
        _layer_bytes(model, stage(model, pipeline_parallel), tensor_parallel, expert_shards, slots_per_gpu)
        for stage in (first_stage, fullest_stage)
    )
    embedding = model.vocab_size * model.hidden_size * PRECISION_BYTES[model.weights.embeddings]
    copies = np.where(np.asarray(pipeline_parallel) > 1, 1.0, 1.0 if model.tied_embeddings else 2.0)
    total = np.maximum(first, later) + copies * embedding / tensor_parallel
    if prediction_layers:
        moe = prediction_layers if model.moe_layers else 0
        block = StageLayers(prediction_layers, moe, prediction_layers - moe)
        joined = prediction_layers * 2.0 * model.hidden_size**2 * PRECISION_BYTES["bf16"]
        total = total + _layer_bytes(model, block, tensor_parallel, expert_shards, slots_per_gpu)
        total = total + joined / tensor_parallel
    return np.asarray(total)


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

    Where dense layers come first a later stage holds experts only; where they stand between the others every stage
    has its share of them. One stage holds the whole model.
    """
    layers = np.ceil(model.layers / np.asarray(pipeline_parallel, dtype=np.float64))
    moe = np.minimum(layers, model.moe_layers)
    if model.dense_layers_spread:
        moe = np.ceil(layers * model.moe_layers / model.layers)
    return StageLayers(layers, moe, layers - moe)


def first_stage(model: MoeModel, pipeline_parallel: Number) -> StageLayers:
    """Layers of the first stage: ceil(layers / P), the dense ones among them."""
    if model.dense_layers_spread:
        return fullest_stage(model, pipeline_parallel)
    layers = np.ceil(model.layers / np.asarray(pipeline_parallel, dtype=np.float64))
    dense = np.minimum(layers, model.dense_layers)
    return StageLayers(layers, layers - dense, dense)


def activation_bytes(
    model: MoeModel, tokens: Number, *, tensor_parallel: Number = 1.0, expert_shards: Number = 1.0
) -> Number:
    """Peak bytes of activations on one GPU [B] while ``tokens`` are prefilled in one chunk, bf16.

    The peak is in a feed-forward block: gate, up and their product beside the block's input, its normalised copy and
    the residual. Of routed experts each token has ``experts_per_token`` rows, and their outputs before they are summed.
    Fitted to nothing; it meets what vLLM profiled for Llama-3.1-8B (vllm-project/vllm#10517) within 2 %.
    """
    widths = [np.asarray((model.ffn_matrices * model.dense_intermediate_size) / np.asarray(tensor_parallel))]
    if model.moe_layers:
        part = model.expert_intermediate_size / np.asarray(expert_shards)
        first = np.maximum((model.ffn_matrices - 1) * part, model.expert_hidden_size or model.hidden_size)
        shared = model.ffn_matrices * model.shared_intermediate_size / np.asarray(tensor_parallel)
        widths.append(model.experts_per_token * (first + part) + shared)
    widest = np.maximum.reduce(np.broadcast_arrays(*widths))
    return np.asarray(tokens * PRECISION_BYTES["bf16"] * (widest + 3 * model.hidden_size))


def pool_tokens(
    model: MoeModel, pool_bytes: Number, *, tensor_parallel: Number = 1.0, pipeline_parallel: Number = 1.0
) -> Number:
    """Tokens of context whose cache fills ``pool_bytes`` on every GPU of one attention rank: what engines log.

    A stage of P keeps the KV of its own layers, so P stages hold P times the tokens of one. States that do not grow
    are not in it: they are a cost per sequence, and a model whose layers all keep a window has no such number.
    """
    tokens = float(2**20)
    grown = kv_bytes_of_sequence(model, 2 * tokens, tensor_parallel)
    each = (grown - kv_bytes_of_sequence(model, tokens, tensor_parallel)) / tokens
    return np.asarray(np.maximum(pool_bytes, 0.0) * pipeline_parallel / each)


def usable_bytes(hbm_bytes: float, usable_share: float, reserve_bytes: float) -> float:
    """HBM that weights and KV may fill on one GPU [B]."""
    return hbm_bytes * usable_share - reserve_bytes
