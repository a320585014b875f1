"""Families with latent or compressed attention: DeepSeek-V2 to V4, Kimi-K2, GLM-5, LongCat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.exchange.hf_shapes import Family, Shape, common, layer_kinds, prediction_layers, routed

if TYPE_CHECKING:
    from planner.exchange.hf_reader import ConfigReader


def dense_then_moe(config: ConfigReader, layers: int, *, correction_bias: bool) -> Shape:
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
        **prediction_layers(config, "num_nextn_predict_layers"),
    }


def _latent(config: ConfigReader) -> Shape:
    config.must_be("attention_bias", False)
    config.understood.update(("head_dim", "num_key_value_heads"))
    nope = config.integer("qk_nope_head_dim", role="head width without rotation")
    rope = config.integer("qk_rope_head_dim", role="rotary head width")
    config.must_be("qk_head_dim", nope + rope)
    if "q_lora_rank" not in config.data:
        config.problem("q_lora_rank", "is missing: width of the compressed queries", "give it, or null for none")
    heads = config.integer("num_attention_heads", role="attention heads")
    return {
        "kind": "mla",
        "heads": heads,
        "kv_heads": heads,
        "head_dim": nope + rope,
        "value_head_dim": config.integer("v_head_dim", role="head width of the values"),
        "query_lora_rank": config.integer("q_lora_rank", role="width of the compressed queries", default=0, minimum=0),
        "kv_lora_rank": config.integer("kv_lora_rank", role="width of the latent"),
        "rope_head_dim": rope,
    }


def _indexer(config: ConfigReader) -> Shape:
    return {
        "heads": config.integer("index_n_heads", role="heads of the indexer"),
        "head_dim": config.integer("index_head_dim", role="head width of the indexer"),
        "topk": config.integer("index_topk", role="entries that sparse attention reads"),
    }


def latent_moe(config: ConfigReader, *, correction_bias: bool, sparse: bool = False) -> Shape:
    """DeepSeek-V2, V3, R1 and Kimi-K2: latent attention, dense layers first, shared experts; V3.2 with an indexer."""
    shape = common(config)
    attention = _latent(config)
    if sparse:
        attention["indexer"] = _indexer(config)
    moe = dense_then_moe(config, shape["layers"], correction_bias=correction_bias)
    return shape | {"attention": attention} | moe


def glm_sparse(config: ConfigReader) -> Shape:
    """GLM-5: DeepSeek-V3.2's layout. From 5.2 on some layers use their neighbours' choice of entries."""
    shape = latent_moe(config, correction_bias=True, sparse=True)
    config.understood.update(("index_skip_topk_offset", "index_share_for_mtp_iteration", "index_topk_pattern"))
    config.understood.update(("index_topk_freq", "indexer_rope_interleave", "mlp_layer_types", "moe_router_dtype"))
    config.must_be("num_experts", shape["routed_experts"])
    if config.get("layer_types") is not None:
        layer_kinds(config, shape["layers"], "deepseek_sparse_attention")
    kinds = config.get("indexer_types")
    if kinds is not None:
        if not isinstance(kinds, list) or len(kinds) != shape["layers"] or {*map(str, kinds)} - {"full", "shared"}:
            config.problem("indexer_types", "is not a list with full or shared for each layer")
            return shape
        shape["attention"]["indexer"]["shared_layers"] = kinds.count("shared")
    return shape


def longcat(config: ConfigReader) -> Shape:
    """LongCat-Flash: a layer of two attentions and two dense blocks beside one MoE is two layers here.

    The second dense block stands as a shared expert. Of the router's choices some fall on experts that compute nothing:
    ``experts_per_token`` is the mean number of those that do.
    """
    config.understood.update(("head_dim", "num_key_value_heads"))
    shape = common(config, layers="num_layers")
    zero = config.integer("zero_expert_num", role="experts that compute nothing", minimum=0, default=0)
    experts = config.integer("n_routed_experts", role="routed experts")
    chosen = config.integer("moe_topk", role="experts per token")
    width = config.integer("ffn_hidden_size", role="width of a dense block")
    config.notes.append(f"{chosen} of {experts + zero} experts are chosen, {zero} of which compute nothing: the mean")
    return shape | {
        "attention": _latent(config),
        "dense_layers": shape["layers"],
        "layers": 2 * shape["layers"],
        "dense_layers_spread": True,
        "dense_intermediate_size": width,
        "shared_intermediate_size": width,
        "routed_experts": experts,
        "experts_per_token": max(1, round(chosen * experts / max(1, experts + zero))),
        "expert_intermediate_size": config.integer("expert_ffn_hidden_size", role="width of one expert"),
        "router_bias": True,
    }


def deepseek_v4(config: ConfigReader) -> Shape:
    """DeepSeek-V4: one key-value vector for all heads, entries of several tokens, grouped output, no dense layers."""
    shape = common(config)
    config.must_be("attention_bias", False)
    config.must_be("num_key_value_heads", 1)
    config.must_be("topk_method", "noaux_tc")
    config.understood.update(("expert_dtype", "num_hash_layers", "swiglu_limit"))
    config.understood.update(("compress_rope_theta", "hc_sinkhorn_iters"))
    heads, head_dim = config.integer("num_attention_heads", role="heads"), config.integer("head_dim", role="head width")
    width = config.integer("moe_intermediate_size", role="width of one expert")
    mixed = config.integer("hc_mult", role="residual streams", default=1)
    attention = {
        "kind": "compressed",
        "heads": heads,
        "kv_heads": 1,
        "head_dim": head_dim,
        "value_head_dim": head_dim,
        "query_lora_rank": config.integer("q_lora_rank", role="width of the compressed queries"),
        "rope_head_dim": config.integer("qk_rope_head_dim", role="rotary head width"),
        "output_groups": config.integer("o_groups", role="groups of the output projection"),
        "output_lora_rank": config.integer("o_lora_rank", role="width of a group's output"),
        "sliding_window_tokens": config.integer("sliding_window", role="tokens of the sliding window"),
        "indexer": _indexer(config),
        "compression": _compression(config, shape["layers"]),
    }
    return shape | {
        "attention": attention,
        "dense_layers": 0,
        **routed(config, "n_routed_experts", width="moe_intermediate_size"),
        "shared_intermediate_size": width * config.integer("n_shared_experts", role="shared experts", minimum=0),
        "router_bias": True,
        # Two mixings a layer, each of (2 + n) n outputs from n residual streams (hyper-connections).
        "residual_params": 2 * (2 + mixed) * mixed * mixed * shape["hidden_size"] if mixed > 1 else 0,
        **prediction_layers(config, "num_nextn_predict_layers"),
    }


def _compression(config: ConfigReader, layers: int) -> list[Shape]:
    """Return the layers of each ratio; those after the main layers are of multi-token prediction."""
    ratios = config.get("compress_ratios")
    if not isinstance(ratios, list) or len(ratios) < layers or not all(isinstance(entry, int) for entry in ratios):
        config.problem("compress_ratios", "is not a list with a whole number for each layer")
        return []
    main = ratios[:layers]
    # The indexer belongs to the finest compression; coarser entries are all read.
    finest = min((ratio for ratio in main if ratio > 0), default=0)
    return [
        {"layers": main.count(ratio), "tokens_per_entry": ratio, "indexed": ratio > 0 and ratio == finest}
        for ratio in sorted(set(main))
    ]


_V4_MODULES = {
    "layer_prefix": "layers.",
    "attention_modules": ("attn.wq_a", "attn.wq_b", "attn.wkv", "attn.wo_a", "attn.wo_b"),
    "shared_module": "ffn.shared_experts.w1",
    "expert_module": "ffn.experts.0.w1",
}

LATENT_FAMILIES: dict[str, Family] = {
    "deepseek_v2": Family(
        ("DeepseekV2ForCausalLM",), lambda c: latent_moe(c, correction_bias=False), "no_input_embedding"
    ),
    "deepseek_v3": Family(
        ("DeepseekV3ForCausalLM",), lambda c: latent_moe(c, correction_bias=True), "no_input_embedding"
    ),
    "deepseek_v32": Family(
        ("DeepseekV32ForCausalLM",), lambda c: latent_moe(c, correction_bias=True, sparse=True), "no_input_embedding"
    ),
    "deepseek_v4": Family(("DeepseekV4ForCausalLM",), deepseek_v4, "no_input_embedding", **_V4_MODULES),  # type: ignore[arg-type]
    "kimi_k2": Family(
        ("DeepseekV3ForCausalLM", "KimiK2ForCausalLM"),
        lambda c: latent_moe(c, correction_bias=True),
        "no_input_embedding",
    ),
    "glm4_moe_lite": Family(
        ("Glm4MoeLiteForCausalLM",), lambda c: latent_moe(c, correction_bias=True), "no_input_embedding"
    ),
    "glm_moe_dsa": Family(("GlmMoeDsaForCausalLM",), glm_sparse, "no_embeddings"),
    "longcat_flash": Family(("LongcatFlashForCausalLM",), longcat, "all"),
}
"""``model_type`` -> how it is read."""
