"""Families whose layers differ in attention: linear attention, state spaces, and windows of another shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from planner.exchange.hf_shapes import (
    Family,
    Shape,
    common,
    flags,
    grouped_query,
    layer_kinds,
    prediction_layers,
    routed,
)

if TYPE_CHECKING:
    from planner.exchange.hf_reader import ConfigReader

_STATE_FORMATS = {"float32": "fp32", "bfloat16": "bf16", "float16": "bf16"}


def _gated_delta(config: ConfigReader, layers: int) -> Shape:
    interval = config.integer("full_attention_interval", role="every how many layers has full attention", default=4)
    if config.get("layer_types") is None:
        linear = layers - layers // interval
    else:
        linear = layer_kinds(config, layers, "linear_attention", "full_attention").count("linear_attention")
    return {
        "kind": "gated_delta",
        "layers": max(1, linear),
        "key_heads": config.integer("linear_num_key_heads", role="key heads of linear attention"),
        "key_head_dim": config.integer("linear_key_head_dim", role="key width of linear attention"),
        "value_heads": config.integer("linear_num_value_heads", role="value heads of linear attention"),
        "value_head_dim": config.integer("linear_value_head_dim", role="value width of linear attention"),
        "conv_kernel": config.integer("linear_conv_kernel_dim", role="width of the short convolution"),
        "state_format": _state_format(config, "mamba_ssm_dtype"),
    }


def _state_format(config: ConfigReader, key: str) -> str:
    stated = config.get(key)
    if stated is not None and str(stated) not in _STATE_FORMATS:
        config.problem(key, f"is {stated!r}: not understood", " or ".join(_STATE_FORMATS))
    return _STATE_FORMATS.get(str(stated), "fp32")


def qwen_hybrid(config: ConfigReader, *, moe: bool) -> Shape:
    """Qwen3-Next and Qwen3.5: gated delta nets, every fourth layer gated full attention, experts with a shared one."""
    shape = common(config)
    layers = shape["layers"]
    config.must_be("attn_output_gate", True)
    config.must_be("decoder_sparse_step", 1)
    config.must_be("mlp_only_layers", [])
    bias = config.flag("attention_bias", default=False)
    config.understood.add("intermediate_size")
    shape |= {
        "attention": grouped_query(config, shape)
        | {"bias": bias, "output_bias": bias, "qk_norm": True, "output_gate": True},
        "linear_attention": _gated_delta(config, layers),
        **prediction_layers(config, "mtp_num_hidden_layers", "num_nextn_predict_layers"),
    }
    if not moe:
        width = config.integer("intermediate_size", role="width of the feed-forward block")
        return shape | {"dense_layers": layers, "dense_intermediate_size": width}
    return shape | {
        "dense_layers": 0,
        **routed(config, "num_experts", width="moe_intermediate_size"),
        "shared_intermediate_size": config.integer(
            "shared_expert_intermediate_size", role="width of the shared expert"
        ),
        "shared_expert_gate": True,
    }


def _blocks(config: ConfigReader) -> list[str]:
    """Blocks of a Nemotron-H in order, from either of its two keys."""
    letters = {"M": "mamba", "E": "moe", "*": "attention", "-": "mlp"}
    pattern, listed = config.get("hybrid_override_pattern"), config.get("layers_block_type")
    blocks = [letters.get(letter, letter) for letter in pattern] if isinstance(pattern, str) else listed
    key = "hybrid_override_pattern" if pattern is not None else "layers_block_type"
    if not isinstance(blocks, list) or not blocks or set(map(str, blocks)) - set(letters.values()):
        config.problem(key, "does not name mamba, moe, attention or mlp for each block")
        return []
    stated = config.get("num_hidden_layers")
    if stated is not None and stated != len(blocks):
        config.problem("num_hidden_layers", f"is {stated}, but {key} has {len(blocks)} blocks")
    return [str(block) for block in blocks]


def nemotron_h(config: ConfigReader) -> Shape:
    """Nemotron-H and 3: a block is a Mamba-2, an attention or a feed-forward part; a layer here is one of each."""
    config.must_be("mlp_hidden_act", "relu2")
    for key in ("mlp_bias", "use_bias", "mamba_proj_bias", "attention_bias"):
        config.must_be(key, False)
    config.must_be("sliding_window", None)
    blocks = _blocks(config)
    mixers = blocks.count("mamba") + blocks.count("attention")
    moe, mlp = blocks.count("moe"), blocks.count("mlp")
    bare = mixers - moe - mlp
    if blocks and (bare < 0 or (bare and mlp) or (moe and mlp)):
        config.problem(
            "hybrid_override_pattern", f"has {mixers} mixers, {moe} MoE and {mlp} plain blocks: no such layers"
        )
    config.understood.update(("chunk_size", "expand", "time_step_rank", "intermediate_size", "attention_head_dim"))
    config.must_be("mamba_hidden_act", "silu")
    config.must_be("use_conv_bias", True)
    config.understood.update(("layer_norm_epsilon", "rescale_prenorm_residual", "use_mamba_kernels"))
    config.understood.update(("mtp_hybrid_override_pattern", "mtp_layers_block_type", "moe_shared_expert_overlap"))
    shape: Shape = {
        "layers": max(1, mixers),
        "hidden_size": config.integer("hidden_size", role="hidden size"),
        "vocab_size": config.integer("vocab_size", role="vocabulary size"),
        "tied_embeddings": config.flag("tie_word_embeddings", default=False),
        "ffn_matrices": 2,
    }
    attention = grouped_query(config, shape | {"hidden_size": shape["hidden_size"]})
    head_dim = config.integer("attention_head_dim", "head_dim", role="head width", default=attention["head_dim"])
    attention |= {"head_dim": head_dim, "value_head_dim": head_dim}
    shape |= {"attention": attention, "linear_attention": _mamba2(config, blocks.count("mamba"))}
    return shape | _nemotron_ffn(config, mixers, moe, bare)


def _mamba2(config: ConfigReader, layers: int) -> Shape:
    return {
        "kind": "mamba2",
        "layers": max(1, layers),
        "key_heads": config.integer("n_groups", role="groups of the state space"),
        "key_head_dim": config.integer("ssm_state_size", role="size of the state"),
        "value_heads": config.integer("mamba_num_heads", role="heads of the state space"),
        "value_head_dim": config.integer("mamba_head_dim", role="head width of the state space"),
        "conv_kernel": config.integer("conv_kernel", role="width of the short convolution"),
        "state_format": _state_format(config, "mamba_ssm_cache_dtype"),
    }


def _nemotron_ffn(config: ConfigReader, mixers: int, moe: int, bare: int) -> Shape:
    dense = max(0, mixers - moe)
    shape: Shape = {"dense_layers": dense, "dense_layers_spread": True, "dense_layers_bare": bool(bare)}
    if dense and not bare:
        shape["dense_intermediate_size"] = config.integer("intermediate_size", role="width of a plain block")
    if not moe:
        return shape
    shared = config.integer("n_shared_experts", role="shared experts", default=0, minimum=0)
    width = config.integer("moe_shared_expert_intermediate_size", role="width of a shared expert") if shared else 0
    return shape | {
        **routed(config, "n_routed_experts", width="moe_intermediate_size"),
        "expert_hidden_size": config.integer("moe_latent_size", role="width experts work on", default=0, minimum=0),
        "shared_intermediate_size": shared * width,
        "router_groups": config.integer("n_group", role="expert groups", default=1),
        "router_groups_per_token": config.integer("topk_group", role="groups per token", default=1),
        "router_bias": True,
        **prediction_layers(config, "num_nextn_predict_layers"),
    }


def jamba(config: ConfigReader) -> Shape:
    """Jamba: Mamba-1, full attention every so many layers, experts in every other layer."""
    shape = common(config)
    layers = shape["layers"]

    def every(name: str) -> int:
        period = config.integer(f"{name}_layer_period", role=f"every how many layers has {name}")
        offset = config.integer(f"{name}_layer_offset", role=f"first layer with {name}", minimum=0)
        return sum(layer % period == offset for layer in range(layers))

    config.must_be("mamba_proj_bias", False)
    config.must_be("mamba_conv_bias", True)
    config.understood.update(("use_mamba_kernels", "use_mambapy"))
    attention, moe = every("attn"), every("expert")
    rank = config.get("mamba_dt_rank")
    inner = shape["hidden_size"] * config.integer("mamba_expand", role="expansion of the state space")
    return shape | {
        "attention": grouped_query(config, shape),
        "linear_attention": {
            "kind": "mamba1",
            "layers": max(1, layers - attention),
            "key_heads": 1,
            "key_head_dim": config.integer("mamba_d_state", role="size of the state"),
            "value_heads": 1,
            "value_head_dim": inner,
            "conv_kernel": config.integer("mamba_d_conv", role="width of the short convolution"),
            "time_step_rank": rank if isinstance(rank, int) and rank > 0 else math.ceil(shape["hidden_size"] / 16),
        },
        "dense_layers": layers - moe,
        "dense_layers_spread": True,
        "dense_intermediate_size": config.integer("intermediate_size", role="width of a block"),
        **routed(config, "num_experts", width="intermediate_size"),
    }


def mimo_v2(config: ConfigReader) -> Shape:
    """MiMo-V2: most layers see a window, with more key-value heads than the full ones."""
    shape = common(config)
    layers = shape["layers"]
    config.must_be("attention_bias", False)
    config.must_be("topk_method", "noaux_tc")
    config.understood.update(("sliding_window_size", "attention_chunk_size", "v_head_dim", "intermediate_size"))
    config.understood.update(("add_swa_attention_sink_bias", "add_full_attention_sink_bias"))
    windowed, experts = flags(config, "hybrid_layer_pattern", layers), flags(config, "moe_layer_freq", layers)
    attention = grouped_query(config, shape)
    attention |= {
        "value_head_dim": config.integer("v_head_dim", role="head width of the values"),
        "sliding_window_tokens": config.integer("sliding_window", role="tokens of the sliding window"),
        "sliding_layers": sum(windowed),
        "sliding_shape": {
            "heads": config.integer("swa_num_attention_heads", role="heads of sliding layers"),
            "kv_heads": config.integer("swa_num_key_value_heads", role="key-value heads of sliding layers"),
            "head_dim": config.integer("swa_head_dim", role="head width of sliding layers"),
            "value_head_dim": config.integer("swa_v_head_dim", role="value width of sliding layers"),
        },
    }
    width = config.integer("moe_intermediate_size", role="width of one expert")
    return shape | {
        "attention": attention,
        "dense_layers": layers - sum(experts),
        "dense_layers_spread": experts != sorted(experts),
        "dense_intermediate_size": config.integer("intermediate_size", role="width of a dense layer"),
        **routed(config, "n_routed_experts", width="moe_intermediate_size"),
        "shared_intermediate_size": width * config.integer("n_shared_experts", role="shared", default=0, minimum=0),
        "router_groups": config.integer("n_group", role="expert groups", default=1),
        "router_groups_per_token": config.integer("topk_group", role="groups per token", default=1),
        "router_bias": True,
    }


def gemma4(config: ConfigReader) -> Shape:
    """Gemma 4: five layers with a window to one that sees all, with wider heads; a plain block beside the experts."""
    config.must_be("hidden_activation", "gelu_pytorch_tanh")
    shape = common(config, tied=True)
    layers = shape["layers"]
    for key in ("num_kv_shared_layers", "hidden_size_per_layer_input"):
        config.must_be(key, 0)
    config.must_be("use_double_wide_mlp", False)
    config.must_be("attention_bias", False)
    config.understood.update(("vocab_size_per_layer_input", "final_logit_softcapping"))
    kinds = layer_kinds(config, layers, "sliding_attention", "full_attention")
    local = grouped_query(config, shape)
    wide = config.integer("global_head_dim", role="head width of full layers")
    attention: dict[str, Any] = {
        "kind": "gqa",
        "heads": local["heads"],
        "kv_heads": config.integer("num_global_key_value_heads", role="key-value heads of full layers"),
        "head_dim": wide,
        "value_head_dim": wide,
        "value_is_key": config.flag("attention_k_eq_v", default=False),
        "qk_norm": True,
        "sliding_window_tokens": config.integer("sliding_window", role="tokens of the sliding window"),
        "sliding_layers": kinds.count("sliding_attention"),
        "sliding_shape": {key: local[key] for key in ("heads", "kv_heads", "head_dim", "value_head_dim")},
    }
    width = config.integer("intermediate_size", role="width of the plain block")
    if not config.flag("enable_moe_block", default=False):
        config.understood.update(("moe_intermediate_size", "num_experts", "top_k_experts"))
        return shape | {"attention": attention, "dense_layers": layers, "dense_intermediate_size": width}
    experts = routed(config, "num_experts", per_token="top_k_experts", width="moe_intermediate_size")
    return shape | {"attention": attention, "dense_layers": 0, "shared_intermediate_size": width, **experts}


_QWEN = {
    "linear_modules": ("linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.out_proj"),
    "shared_module": "mlp.shared_expert.up_proj",
}
_QWEN_NEXT = _QWEN | {"linear_modules": ("linear_attn.in_proj_qkvz", "linear_attn.out_proj")}
_NEMOTRON = {
    "layer_prefix": "backbone.layers.",
    "attention_modules": ("mixer.q_proj", "mixer.k_proj", "mixer.v_proj", "mixer.o_proj"),
    "linear_modules": ("mixer.in_proj", "mixer.out_proj"),
    "dense_module": "mixer.up_proj",
    "shared_module": "mixer.shared_experts.up_proj",
    "expert_module": "mixer.experts.0.up_proj",
}

HYBRID_FAMILIES: dict[str, Family] = {
    "qwen3_next": Family(("Qwen3NextForCausalLM",), lambda c: qwen_hybrid(c, moe=True), "no_embeddings", **_QWEN_NEXT),  # type: ignore[arg-type]
    "qwen3_5_text": Family(("Qwen3_5ForCausalLM",), lambda c: qwen_hybrid(c, moe=False), "all", **_QWEN),  # type: ignore[arg-type]
    "qwen3_5_moe_text": Family(("Qwen3_5MoeForCausalLM",), lambda c: qwen_hybrid(c, moe=True), "all", **_QWEN),  # type: ignore[arg-type]
    "nemotron_h": Family(("NemotronHForCausalLM",), nemotron_h, "no_input_embedding", **_NEMOTRON),  # type: ignore[arg-type]
    "jamba": Family(
        ("JambaForCausalLM",),
        jamba,
        "all",
        expert_module="feed_forward.experts.0.gate_proj",
        linear_modules=("mamba.in_proj", "mamba.out_proj"),
        dense_module="feed_forward.up_proj",
    ),
    "mimo_v2_flash": Family(("MiMoV2FlashForCausalLM",), mimo_v2, "no_input_embedding"),
    "gemma4_text": Family(
        ("Gemma4ForCausalLM",), gemma4, "all", expert_module="experts.0.gate_proj", shared_module="mlp.up_proj"
    ),
}
"""``model_type`` -> how it is read."""
