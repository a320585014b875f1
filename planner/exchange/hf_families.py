"""The families of Hugging Face configs that are understood: which key plays which role, and what each leaves implicit.

Shapes follow the modelling code of each family: what a config does not say (a router's correction bias, head norms, a
bias on the experts) is part of the family. Sources: instances/SOURCES.md, section "Importer".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exchange.hf_hybrid import HYBRID_FAMILIES
from planner.exchange.hf_latent import LATENT_FAMILIES, dense_then_moe
from planner.exchange.hf_shapes import (
    Family,
    Shape,
    common,
    grouped_query,
    routed,
    sliding,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.exchange.hf_reader import ConfigReader

__all__ = ["FAMILIES", "Family", "Shape"]


def dense(
    config: ConfigReader,
    *,
    qkv_bias: bool = False,
    output_bias: bool = True,
    qk_norm: bool = False,
    switch: str | None = None,
) -> Shape:
    """Llama, Mistral, Qwen2 and Qwen3: one feed-forward block a layer, three matrices."""
    shape = common(config)
    # LlamaConfig fills an absent num_key_value_heads with the number of heads (plain multi-head attention).
    attention = grouped_query(config, shape, heads_default_to_all=True)
    attention |= sliding(config, shape["layers"], switch=switch, all_slide=True)
    bias = config.flag("attention_bias", default=False)
    attention |= {"bias": bias or qkv_bias, "output_bias": bias and output_bias, "qk_norm": qk_norm}
    config.understood.add("num_nextn_predict_layers")
    width = config.integer("intermediate_size", role="width of the feed-forward block")
    return shape | {"attention": attention, "dense_layers": shape["layers"], "dense_intermediate_size": width}


def mixtral(config: ConfigReader) -> Shape:
    """Mixtral: every layer has routed experts, and ``intermediate_size`` is the width of one of them."""
    shape = common(config)
    attention = grouped_query(config, shape) | sliding(config, shape["layers"], all_slide=True)
    return shape | {
        "attention": attention,
        "dense_layers": 0,
        **routed(config, "num_local_experts", width="intermediate_size"),
    }


def gpt_oss(config: ConfigReader) -> Shape:
    """gpt-oss: a bias everywhere, one sink per head, sliding layers in between, ``intermediate_size`` of one expert."""
    shape = common(config)
    attention = grouped_query(config, shape) | sliding(config, shape["layers"])
    if config.get("layer_types") is None and config.get("sliding_window") is None:
        config.problem("layer_types", "is missing: which layers see only the sliding window", "list every layer")
    config.must_be("attention_bias", True)
    return shape | {
        "attention": attention | {"bias": True, "output_bias": True, "sinks": True},
        "dense_layers": 0,
        "routed_experts": config.integer("num_local_experts", "num_experts", role="routed experts"),
        "experts_per_token": config.integer("num_experts_per_tok", "experts_per_token", role="experts per token"),
        "expert_intermediate_size": config.integer("intermediate_size", role="width of one expert"),
        "router_bias": True,
        "expert_bias": True,
    }


def qwen_moe(config: ConfigReader, *, third: bool) -> Shape:
    """Qwen3-MoE (head norms) and Qwen2-MoE (bias on queries, keys, values; one gated shared expert)."""
    shape = common(config)
    layers = shape["layers"]
    attention = grouped_query(config, shape)
    attention |= sliding(config, layers, switch="use_sliding_window")
    bias = config.flag("attention_bias" if third else "qkv_bias", default=not third)
    attention |= {"bias": bias, "output_bias": bias and third, "qk_norm": third}
    step = config.integer("decoder_sparse_step", role="every how many layers has experts", default=1)
    only_dense = config.get("mlp_only_layers") or []
    if not isinstance(only_dense, list) or not all(isinstance(layer, int) for layer in only_dense):
        config.problem("mlp_only_layers", "is not a list of layer numbers")
        only_dense = []
    dense_layers = sum(layer in only_dense or (layer + 1) % step != 0 for layer in range(layers))
    config.understood.add("intermediate_size")
    width = config.integer("intermediate_size", role="width of a dense layer") if dense_layers else 0
    shared = 0 if third else config.integer("shared_expert_intermediate_size", role="width of the shared expert")
    return shape | {
        "attention": attention,
        "dense_layers": dense_layers,
        "dense_intermediate_size": width,
        "routed_experts": config.integer("num_experts", role="routed experts"),
        "experts_per_token": config.integer("num_experts_per_tok", role="experts per token"),
        "expert_intermediate_size": config.integer("moe_intermediate_size", role="width of one expert"),
        "shared_intermediate_size": shared,
        "shared_expert_gate": not third,
    }


def olmoe(config: ConfigReader) -> Shape:
    """OLMoE: Mixtral's layout under Qwen's keys; queries and keys are normalised over all heads at once."""
    shape = common(config)
    config.must_be("attention_bias", False)
    config.must_be("clip_qkv", None)
    attention = grouped_query(config, shape, heads_default_to_all=True) | {"qk_norm": True, "qk_norm_width": "layer"}
    experts = routed(config, "num_experts", width="intermediate_size")
    return shape | {"attention": attention, "dense_layers": 0, **experts}


def minimax(config: ConfigReader) -> Shape:
    """MiniMax-M2: full attention everywhere, queries and keys normalised over all heads, no shared expert."""
    shape = common(config)
    config.must_be("qk_norm_type", "per_layer")
    config.understood.add("rotary_dim")
    config.must_be("shared_intermediate_size", 0)
    config.must_be("sliding_window", None)
    kinds = config.get("attn_type_list")
    if kinds is not None and (not isinstance(kinds, list) or any(kind != 1 for kind in kinds)):
        config.problem("attn_type_list", "names layers that are not full attention", "not supported")
    norm = config.flag("use_qk_norm", default=True)
    modules = config.integer("num_mtp_modules", role="prediction modules", default=0, minimum=0)
    layers = config.integer("mtp_transformer_layers", role="layers of a prediction module", default=1, minimum=0)
    return shape | {
        "attention": grouped_query(config, shape) | {"qk_norm": norm, "qk_norm_width": "layer"},
        "dense_layers": 0,
        **routed(config, "num_local_experts", width="intermediate_size"),
        "router_bias": config.flag("use_routing_bias", default=True),
        "mtp_layers": modules * layers if config.flag("use_mtp", default=True) else 0,
    }


def glm4_moe(config: ConfigReader) -> Shape:
    """GLM-4.5 and 4.6: grouped queries with a bias, DeepSeek's layout of dense, routed and shared blocks."""
    shape = common(config)
    attention = grouped_query(config, shape)
    attention |= {
        "bias": config.flag("attention_bias", default=True),
        "qk_norm": config.flag("use_qk_norm", default=False),
    }
    return shape | {"attention": attention} | dense_then_moe(config, shape["layers"], correction_bias=True)


def llama4(config: ConfigReader) -> Shape:
    """Llama 4: experts in every layer or every second one; three layers of four see one chunk only.

    A token at a random place of its chunk sees half of it on average; the chunk stands as the window.
    """
    shape = common(config)
    layers = shape["layers"]
    config.must_be("attention_bias", False)
    step = config.integer("interleave_moe_layer_step", role="every how many layers has experts", default=1)
    config.understood.update(("moe_layers", "no_rope_layer_interval", "no_rope_layers"))
    chunk = config.integer("attention_chunk_size", role="tokens of a chunk", default=0, minimum=0)
    interval = config.integer("no_rope_layer_interval", role="every how many layers sees everything", default=4)
    attention = grouped_query(config, shape)
    config.understood.add("use_qk_norm")
    if chunk:
        attention |= {"sliding_window_tokens": chunk, "sliding_layers": layers - layers // interval}
    experts = routed(config, "num_local_experts", width="intermediate_size")
    dense = layers - layers // step
    wide = config.integer("intermediate_size_mlp", role="width of a dense layer")
    return shape | {
        "attention": attention,
        "dense_layers": dense,
        "dense_layers_spread": dense > 0,
        "dense_intermediate_size": wide if dense else 0,
        "shared_intermediate_size": experts["expert_intermediate_size"],
        **experts,
    }


def ernie(config: ConfigReader) -> Shape:
    """ERNIE 4.5: a dense layer first, then routed and shared experts."""
    shape = common(config, tied=True)
    layers = shape["layers"]
    config.must_be("use_bias", False)
    config.must_be("moe_layer_interval", 1)
    config.understood.add("moe_norm_min")
    start = config.integer("moe_layer_start_index", role="first layer with experts", minimum=0)
    config.must_be("moe_layer_end_index", -1, layers - 1)
    experts = routed(config, "moe_num_experts", per_token="moe_k", width="moe_intermediate_size")
    shared = config.integer("moe_num_shared_experts", role="shared experts", default=0, minimum=0)
    return shape | {
        "attention": grouped_query(config, shape),
        "dense_layers": min(start, layers),
        "dense_intermediate_size": config.integer("intermediate_size", role="width of a dense layer"),
        "shared_intermediate_size": shared * experts["expert_intermediate_size"],
        "router_bias": True,
        **experts,
    }


def dbrx(config: ConfigReader) -> Shape:
    """DBRX: its own names, in nested blocks."""
    attention, experts = config.nested("attn_config"), config.nested("ffn_config")
    config.understood.update(("max_seq_len", "clip_qkv", "moe_jitter_eps"))
    heads = config.integer("n_heads", role="attention heads")
    hidden = config.integer("d_model", role="hidden size")
    width = max(1, hidden // heads)
    shape = {
        "layers": config.integer("n_layers", role="number of layers", maximum=10_000),
        "hidden_size": hidden,
        "vocab_size": config.integer("vocab_size", role="vocabulary size"),
        "tied_embeddings": config.flag("tie_word_embeddings", default=False),
        "dense_layers": 0,
        "attention": {
            "kind": "gqa",
            "heads": heads,
            "kv_heads": attention.integer("kv_n_heads", role="key-value heads"),
            "head_dim": width,
            "value_head_dim": width,
        },
        "routed_experts": experts.integer("moe_num_experts", role="routed experts"),
        "experts_per_token": experts.integer("moe_top_k", role="experts per token"),
        "expert_intermediate_size": experts.integer("ffn_hidden_size", role="width of one expert"),
    }
    config.problems += attention.problems + experts.problems
    return shape


def _family(
    architecture: str, read: Callable[[ConfigReader], Shape], counts: str = "all", experts: str | None = None
) -> Family:
    fields = {} if experts is None else {"expert_module": experts}
    return Family((architecture,), read, counts, shared_module="mlp.shared_expert.up_proj", **fields)  # type: ignore[arg-type]


FAMILIES: dict[str, Family] = {
    "llama": _family("LlamaForCausalLM", dense),
    "mistral": _family("MistralForCausalLM", dense),
    "mimo": _family(
        "MiMoForCausalLM", lambda c: dense(c, qkv_bias=True, output_bias=False, switch="use_sliding_window")
    ),
    "qwen2": _family("Qwen2ForCausalLM", lambda c: dense(c, qkv_bias=True, switch="use_sliding_window")),
    "qwen3": _family("Qwen3ForCausalLM", lambda c: dense(c, qk_norm=True, switch="use_sliding_window")),
    "qwen3_vl_text": _family("Qwen3VLForCausalLM", lambda c: dense(c, qk_norm=True)),
    "mixtral": _family("MixtralForCausalLM", mixtral, experts="block_sparse_moe.experts.0.w1"),
    "qwen2_moe": _family("Qwen2MoeForCausalLM", lambda c: qwen_moe(c, third=False)),
    "qwen3_moe": _family("Qwen3MoeForCausalLM", lambda c: qwen_moe(c, third=True)),
    "qwen3_vl_moe_text": _family("Qwen3VLMoeForCausalLM", lambda c: qwen_moe(c, third=True)),
    "gpt_oss": _family("GptOssForCausalLM", gpt_oss, "no_input_embedding", "mlp.experts"),
    "olmoe": _family("OlmoeForCausalLM", olmoe),
    "minimax_m2": _family("MiniMaxM2ForCausalLM", minimax, "no_embeddings", "block_sparse_moe.experts.0.w1"),
    "glm4_moe": Family(("Glm4MoeForCausalLM",), glm4_moe, "no_embeddings"),
    "llama4_text": _family("Llama4ForCausalLM", llama4, experts="feed_forward.experts.0.gate_proj"),
    "ernie4_5_moe": Family(("Ernie4_5_MoeForCausalLM",), ernie, "all"),
    "dbrx": _family("DbrxForCausalLM", dbrx, experts="ffn.experts.mlp"),
    **LATENT_FAMILIES,
    **HYBRID_FAMILIES,
}
"""``model_type`` -> how it is read and which embeddings its cards count as active."""
