"""The families of Hugging Face configs that are understood: which key plays which role, and what each leaves implicit.

Shapes follow the modelling code of each family: what a config does not say (a router's correction bias, head norms, a
bias on the experts) is part of the family. Sources: instances/SOURCES.md, section "Importer".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.exchange.hf_reader import ConfigReader
    from planner.instance.model import ActiveCounts

Shape = dict[str, Any]
"""Keyword arguments of MoeModel that a family fills in."""


@dataclass(frozen=True)
class Family:
    """How one ``model_type`` is read."""

    architectures: tuple[str, ...]
    read: Callable[[ConfigReader], Shape]
    active_counts: ActiveCounts
    expert_module: str = "mlp.experts.0.gate_proj"


def _common(config: ConfigReader) -> Shape:
    config.must_be("hidden_act", "silu", "swish")
    config.must_be("mlp_bias", False)
    config.must_be("is_encoder_decoder", False)
    return {
        "layers": config.integer("num_hidden_layers", role="number of layers", maximum=10_000),
        "hidden_size": config.integer("hidden_size", role="hidden size"),
        "vocab_size": config.integer("vocab_size", role="vocabulary size"),
        "tied_embeddings": config.flag("tie_word_embeddings", default=False),
    }


def _grouped_query(config: ConfigReader, shape: Shape, *, heads_default_to_all: bool = False) -> Shape:
    heads = config.integer("num_attention_heads", role="attention heads")
    kv_heads = config.integer(
        "num_key_value_heads", role="key-value heads", default=heads if heads_default_to_all else None
    )
    if config.get("head_dim") is None and not config.problems and shape["hidden_size"] % heads:
        config.problem("head_dim", "is missing, and the heads do not divide hidden_size", "give head_dim")
    head_dim = config.integer("head_dim", role="head width", default=max(1, shape["hidden_size"] // heads))
    return {"kind": "gqa", "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "value_head_dim": head_dim}


def _sliding(config: ConfigReader, layers: int, *, switch: str | None = None, all_slide: bool = False) -> Shape:
    """Layers that see a window only: from ``layer_types``, or all of them where the family has no per-layer list."""
    config.understood.add("sliding_window")
    on = config.flag(switch, default=False) if switch else bool(config.get("sliding_window"))
    kinds = config.get("layer_types")
    if kinds is None and not on:
        return {}
    if kinds is None and switch:
        count = max(0, layers - config.integer("max_window_layers", role="first layer that slides", minimum=0))
    elif kinds is None:
        if not all_slide:
            config.problem("layer_types", "is missing: which layers see only the sliding window", "list every layer")
        count = layers
    elif not isinstance(kinds, list) or len(kinds) != layers:
        config.problem("layer_types", "is not a list with one entry for each layer")
        return {}
    else:
        for kind in sorted({str(kind) for kind in kinds} - {"full_attention", "sliding_attention"}):
            config.problem("layer_types", f"has {kind!r} layers: hybrid models are not supported", "not supported")
        count = kinds.count("sliding_attention")
    if not count:
        return {}
    tokens = config.integer("sliding_window", role="tokens of the sliding window")
    return {"sliding_window_tokens": tokens, "sliding_layers": count}


def dense(config: ConfigReader, *, qkv_bias: bool = False, qk_norm: bool = False, switch: str | None = None) -> Shape:
    """Llama, Mistral, Qwen2 and Qwen3: one feed-forward block a layer, three matrices."""
    shape = _common(config)
    # LlamaConfig fills an absent num_key_value_heads with the number of heads (plain multi-head attention).
    attention = _grouped_query(config, shape, heads_default_to_all=True)
    attention |= _sliding(config, shape["layers"], switch=switch, all_slide=True)
    bias = config.flag("attention_bias", default=False)
    attention |= {"bias": bias or qkv_bias, "output_bias": bias, "qk_norm": qk_norm}
    width = config.integer("intermediate_size", role="width of the feed-forward block")
    return shape | {"attention": attention, "dense_layers": shape["layers"], "dense_intermediate_size": width}


def mixtral(config: ConfigReader) -> Shape:
    """Mixtral: every layer has routed experts, and ``intermediate_size`` is the width of one of them."""
    shape = _common(config)
    attention = _grouped_query(config, shape) | _sliding(config, shape["layers"], all_slide=True)
    return shape | {
        "attention": attention,
        "dense_layers": 0,
        "routed_experts": config.integer("num_local_experts", role="routed experts"),
        "experts_per_token": config.integer("num_experts_per_tok", role="experts per token"),
        "expert_intermediate_size": config.integer("intermediate_size", role="width of one expert"),
    }


def gpt_oss(config: ConfigReader) -> Shape:
    """gpt-oss: a bias everywhere, one sink per head, sliding layers in between, ``intermediate_size`` of one expert."""
    shape = _common(config)
    attention = _grouped_query(config, shape) | _sliding(config, shape["layers"])
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
    shape = _common(config)
    layers = shape["layers"]
    attention = _grouped_query(config, shape)
    attention |= _sliding(config, layers, switch="use_sliding_window")
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


def _dense_then_moe(config: ConfigReader, layers: int, *, correction_bias: bool) -> Shape:
    """DeepSeek's block layout: dense layers first, then routed and shared experts, group-limited routing."""
    config.must_be("moe_layer_freq", 1)
    first = config.integer("first_k_dense_replace", role="dense layers at the start", minimum=0)
    width = config.integer("moe_intermediate_size", role="width of one expert")
    shared = config.integer("n_shared_experts", role="shared experts", default=0, minimum=0)
    if first > layers:
        config.problem("first_k_dense_replace", f"is {first}, more than the {layers} layers")
    config.must_be("topk_method", *(("noaux_tc",) if correction_bias else ("greedy", "group_limited_greedy")))
    config.understood.add("intermediate_size")
    dense_width = config.integer("intermediate_size", role="width of a dense layer") if first else 0
    return {
        "dense_layers": min(first, layers),
        "dense_intermediate_size": dense_width,
        "routed_experts": config.integer("n_routed_experts", role="routed experts"),
        "experts_per_token": config.integer("num_experts_per_tok", role="experts per token"),
        "expert_intermediate_size": width,
        "shared_intermediate_size": shared * width,
        "router_groups": config.integer("n_group", role="expert groups", default=1),
        "router_groups_per_token": config.integer("topk_group", role="groups per token", default=1),
        "router_bias": correction_bias,
    }


def latent_moe(config: ConfigReader, *, correction_bias: bool) -> Shape:
    """DeepSeek-V2, V3, R1 and Kimi-K2: latent attention, dense layers first, shared experts."""
    shape = _common(config)
    config.must_be("attention_bias", False)
    config.understood.update(("head_dim", "num_key_value_heads"))
    nope = config.integer("qk_nope_head_dim", role="head width without rotation")
    rope = config.integer("qk_rope_head_dim", role="rotary head width")
    config.must_be("qk_head_dim", nope + rope)
    if "q_lora_rank" not in config.data:
        config.problem("q_lora_rank", "is missing: width of the compressed queries", "give it, or null for none")
    heads = config.integer("num_attention_heads", role="attention heads")
    attention = {
        "kind": "mla",
        "heads": heads,
        "kv_heads": heads,
        "head_dim": nope + rope,
        "value_head_dim": config.integer("v_head_dim", role="head width of the values"),
        "query_lora_rank": config.integer("q_lora_rank", role="width of the compressed queries", default=0, minimum=0),
        "kv_lora_rank": config.integer("kv_lora_rank", role="width of the latent"),
        "rope_head_dim": rope,
    }
    return shape | {"attention": attention} | _dense_then_moe(config, shape["layers"], correction_bias=correction_bias)


FAMILIES: dict[str, Family] = {
    "llama": Family(("LlamaForCausalLM",), dense, "all"),
    "mistral": Family(("MistralForCausalLM",), dense, "all"),
    "qwen2": Family(("Qwen2ForCausalLM",), lambda c: dense(c, qkv_bias=True, switch="use_sliding_window"), "all"),
    "qwen3": Family(("Qwen3ForCausalLM",), lambda c: dense(c, qk_norm=True, switch="use_sliding_window"), "all"),
    "mixtral": Family(("MixtralForCausalLM",), mixtral, "all", "block_sparse_moe.experts.0.w1"),
    "qwen2_moe": Family(("Qwen2MoeForCausalLM",), lambda c: qwen_moe(c, third=False), "all"),
    "qwen3_moe": Family(("Qwen3MoeForCausalLM",), lambda c: qwen_moe(c, third=True), "all"),
    "gpt_oss": Family(("GptOssForCausalLM",), gpt_oss, "no_input_embedding", "mlp.experts"),
    "deepseek_v2": Family(
        ("DeepseekV2ForCausalLM",), lambda c: latent_moe(c, correction_bias=False), "no_input_embedding"
    ),
    "deepseek_v3": Family(
        ("DeepseekV3ForCausalLM",), lambda c: latent_moe(c, correction_bias=True), "no_input_embedding"
    ),
    "kimi_k2": Family(
        ("DeepseekV3ForCausalLM", "KimiK2ForCausalLM"),
        lambda c: latent_moe(c, correction_bias=True),
        "no_input_embedding",
    ),
}
"""``model_type`` -> how it is read and which embeddings its cards count as active."""
