"""Parts of a shape that many families share, read by role from one config."""

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
    """How one ``model_type`` is read.

    ``active_counts`` is the convention of the family's cards; module names are those that quantisers list, after prefix
    and number of the layer. No attention names stand for the usual projections.
    """

    architectures: tuple[str, ...]
    read: Callable[[ConfigReader], Shape]
    active_counts: ActiveCounts
    expert_module: str = "mlp.experts.0.gate_proj"
    attention_modules: tuple[str, ...] = ()
    linear_modules: tuple[str, ...] = ()
    dense_module: str = "mlp.up_proj"
    shared_module: str = "mlp.shared_experts.up_proj"
    layer_prefix: str = "model.layers."


def common(config: ConfigReader, *, layers: str = "num_hidden_layers", tied: bool = False) -> Shape:
    """Layers, hidden size, vocabulary and whether input and output embeddings are one matrix."""
    config.must_be("hidden_act", "silu", "swish")
    config.must_be("mlp_bias", False)
    config.must_be("is_encoder_decoder", False)
    return {
        "layers": config.integer(layers, role="number of layers", maximum=10_000),
        "hidden_size": config.integer("hidden_size", role="hidden size"),
        "vocab_size": config.integer("vocab_size", role="vocabulary size"),
        "tied_embeddings": config.flag("tie_word_embeddings", default=tied),
    }


def grouped_query(config: ConfigReader, shape: Shape, *, heads_default_to_all: bool = False) -> Shape:
    """Heads, key-value heads and their width."""
    heads = config.integer("num_attention_heads", role="attention heads")
    kv_heads = config.integer(
        "num_key_value_heads", role="key-value heads", default=heads if heads_default_to_all else None
    )
    if config.get("head_dim") is None and not config.problems and shape["hidden_size"] % heads:
        config.problem("head_dim", "is missing, and the heads do not divide hidden_size", "give head_dim")
    head_dim = config.integer("head_dim", role="head width", default=max(1, shape["hidden_size"] // heads))
    return {"kind": "gqa", "heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "value_head_dim": head_dim}


def sliding(config: ConfigReader, layers: int, *, switch: str | None = None, all_slide: bool = False) -> Shape:
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
    else:
        count = layer_kinds(config, layers, "full_attention", "sliding_attention").count("sliding_attention")
    if not count:
        return {}
    tokens = config.integer("sliding_window", role="tokens of the sliding window")
    return {"sliding_window_tokens": tokens, "sliding_layers": count}


def layer_kinds(config: ConfigReader, layers: int, *known: str) -> list[str]:
    """Return the entries of ``layer_types``; empty, with the problem kept, where it is no such list."""
    kinds = config.get("layer_types")
    if not isinstance(kinds, list) or len(kinds) != layers:
        config.problem("layer_types", "is not a list with one entry for each layer")
        return []
    for kind in sorted({str(kind) for kind in kinds} - set(known)):
        config.problem("layer_types", f"has {kind!r} layers: not understood for this model_type", "not supported")
    return [str(kind) for kind in kinds]


def flags(config: ConfigReader, key: str, layers: int) -> list[int]:
    """Return the zeros and ones of a list with one entry a layer; empty, with the problem kept, where it is none."""
    values = config.get(key)
    if not isinstance(values, list) or len(values) != layers or any(value not in (0, 1) for value in values):
        config.problem(key, "is not a list with 0 or 1 for each layer")
        return []
    return [int(value) for value in values]


def routed(config: ConfigReader, *experts: str, per_token: str = "num_experts_per_tok", width: str) -> Shape:
    """Routed experts, how many a token takes, and the width of one, under the family's keys."""
    return {
        "routed_experts": config.integer(*experts, role="routed experts"),
        "experts_per_token": config.integer(per_token, role="experts per token"),
        "expert_intermediate_size": config.integer(width, role="width of one expert"),
    }


def prediction_layers(config: ConfigReader, *keys: str) -> Shape:
    """Multi-token-prediction layers, 0 where the config names none."""
    return {"mtp_layers": config.integer(*keys, role="multi-token-prediction layers", default=0, minimum=0)}
