"""A Hugging Face ``config.json`` becomes a model: by role, strictly, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError
from planner.exchange.hf_families import FAMILIES
from planner.exchange.hf_quantization import Quantization, base_format, part_format, read_quantization
from planner.exchange.hf_reader import ConfigReader, read_json
from planner.instance.loading import validate
from planner.instance.model import MoeModel
from planner.instance.weights import with_weights

if TYPE_CHECKING:
    from pathlib import Path

    from planner.exchange.hf_shapes import Family, Shape

_WHY_NOT = {
    "layers_block_type": "layers of several kinds",
    "hybrid_override_pattern": "layers of several kinds",
    "hybrid_layer_pattern": "layers with different attention shapes",
    "full_attention_interval": "linear-attention layers, which keep a fixed state instead of a cache",
    "linear_attn_config": "linear-attention layers, which keep a fixed state instead of a cache",
    "attn_layer_period": "state-space layers between the attention layers",
    "index_topk": "sparse attention, which reads less cache than it stores and keeps an index beside it",
    "sparse_attention_config": "sparse attention, which reads less cache than it stores and keeps an index beside it",
    "compress_ratios": "compressed attention, with another cache size in each layer",
    "interleave_moe_layer_step": "experts in some layers only",
    "moe_latent_size": "experts that work on a narrower hidden vector",
    "zero_expert_num": "experts that compute nothing",
    "num_kv_shared_layers": "layers that share one cache",
    "block_configs": "blocks of different shapes",
    "d_model": "encoder-decoder or other key names",
}


@dataclass(frozen=True)
class Imported:
    """An imported model and what a person should know about it."""

    model: MoeModel
    family: str
    notes: tuple[str, ...]


def import_config(
    path: Path, *, name: str | None = None, quantization: Path | None = None, weights: str | None = None
) -> Imported:
    """Read a model from a Hugging Face ``config.json``.

    Parameters
    ----------
    path
        The config; a multimodal one is read from its ``text_config``, and the vision part is left out.
    name
        Name of the model; by default made from the file's name.
    quantization
        An ``hf_quant_config.json``; it wins over the config's own ``quantization_config``.
    weights
        Store the model in this precision instead of the checkpoint's, by the conventions of ``with_weights``.

    Raises
    ------
    InstanceError
        If anything that shapes the model is missing, null, or not understood: every such key is named.
    """
    outer = read_json(path)
    config = _language_part(outer, str(path))
    separate = None if quantization is None else ConfigReader(read_json(quantization), str(quantization))
    model_type, family = _family(config)
    shape = family.read(config)
    formats = _formats(config, separate, family, shape)
    config.refuse_what_was_not_understood()
    problems = config.problems + (separate.problems if separate else [])
    if problems:
        raise InstanceError(problems)
    if outer is not config.data:
        config.notes.append("read from text_config: vision and other towers are not part of the model")
    name = name or name_from(path)
    facts = {"name": name, "title": name, "active_counts": family.active_counts, **shape, **formats}
    model = _with_counts(facts, path, quantization)
    if weights is not None:
        stored = f"{weights}, asked for; the checkpoint's own formats: {model.sources['weights']}"
        model = with_weights(model, weights)
        model = model.model_copy(update={"sources": model.sources | {"weights": stored, "kv_format": stored}})
    return Imported(model, model_type, tuple(config.notes))


def name_from(path: Path) -> str:
    """Return a name made of the file's name: ``Qwen--Qwen3-30B-A3B_config.json`` is ``qwen3-30b-a3b``."""
    stem = path.stem.removesuffix("config").rstrip("_-.") or path.resolve().parent.name
    return re.sub(r"[^a-z0-9.]+", "-", stem.rsplit("--", maxsplit=1)[-1].lower()).strip("-.") or "model"


def _language_part(outer: dict[str, Any], file: str) -> ConfigReader:
    inner = outer.get("text_config")
    if not isinstance(inner, dict):
        return ConfigReader(outer, file)
    either: tuple[str, ...] = ("tie_word_embeddings", "quantization_config", "dtype", "torch_dtype")
    shared: dict[str, Any] = {key: outer[key] for key in either if key in outer and inner.get(key) is None}
    return ConfigReader({**inner, **shared}, file, "text_config.")


def _family(config: ConfigReader) -> tuple[str, Family]:
    """Find the family by ``model_type``, or by ``architectures`` where there is none.

    Raises
    ------
    InstanceError
        If the family is not known; the keys that make it another shape are named too.
    """
    listed = config.get("architectures")
    architectures = [str(entry) for entry in listed] if isinstance(listed, list) else []
    model_type = config.get("model_type") or next(
        (key for key, family in FAMILIES.items() if set(family.architectures) & set(architectures)), None
    )
    family = FAMILIES.get(str(model_type))
    supported = f"supported: {', '.join(sorted(FAMILIES))}"
    if model_type is None:
        config.problem("model_type", "is missing: which family this is", supported)
    elif family is None:
        config.problem("model_type", f"{model_type!r} is not understood", supported)
    elif architectures and not set(family.architectures) & set(architectures):
        config.problem("architectures", f"{architectures} is not the language model of {model_type!r}", supported)
    if family is None:
        for key, reason in _WHY_NOT.items():
            if config.data.get(key):
                config.problem(key, f"means {reason}: not supported")
    if config.problems:
        raise InstanceError(config.problems)
    assert family is not None
    return str(model_type), family


def _formats(config: ConfigReader, separate: ConfigReader | None, family: Family, shape: Shape) -> dict[str, Any]:
    quantization = read_quantization(config, separate)
    base = base_format(config)
    if config.get("expert_dtype") == "fp4" and not quantization.by_module:
        # DeepSeek-V4 names the experts' format apart from its quantisation block: four bits, a scale for 32 weights.
        quantization.by_module = {
            name.rsplit(".experts.", maxsplit=1)[0] + ".experts": "mxfp4"
            for name in _modules(family, shape)["routed_experts"]
        }
    parts = {
        part: part_format(config, _for_part(quantization, part), base, part, names)
        for part, names in _modules(family, shape).items()
    }
    block = quantization.block_size if "fp8" in parts.values() else 0
    weights = parts | {"embeddings": base} | ({"block_size": block} if block else {})
    return {"weights": weights, "kv_format": quantization.kv_format or "bf16"}


def _for_part(quantization: Quantization, part: str) -> Quantization:
    """Return what applies to ``part``: mxfp4 checkpoints hold mxfp4 experts, whatever else they list."""
    if quantization.weight_format == "mxfp4" and part != "routed_experts":
        return Quantization()
    return quantization


def _modules(family: Family, shape: Shape) -> dict[str, list[str]]:
    """Full names of the modules of each part, one projection for each, as the checkpoints spell them."""
    layers, dense = range(shape["layers"]), shape["dense_layers"]
    usual = (
        ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
        if shape["attention"]["kind"] == "mla"
        else ("q_proj", "k_proj", "v_proj", "o_proj")
    )
    attention = family.attention_modules or tuple(f"self_attn.{name}" for name in usual)
    linear = shape.get("linear_attention") or {"layers": 0}
    # Which layers are linear does not matter here: quantisers treat all layers of a kind alike.
    full = max(0, shape["layers"] - linear["layers"])
    mixers = [family.linear_modules if (layer + 1) * full // len(layers) == layer * full // len(layers) else attention
              for layer in layers]  # fmt: skip
    prefix = family.layer_prefix
    shared = [f"{prefix}{layer}.{family.shared_module}" for layer in layers[dense:]]
    return {
        "attention": [f"{prefix}{layer}.{name}" for layer, names in zip(layers, mixers, strict=True) for name in names],
        "dense_ffn": [f"{prefix}{layer}.{family.dense_module}" for layer in layers[:dense]]
        + (shared if shape.get("shared_intermediate_size") else []),
        "routed_experts": [f"{prefix}{layer}.{family.expert_module}" for layer in layers[dense:]],
    }


def _with_counts(facts: dict[str, Any], path: Path, quantization: Path | None) -> MoeModel:
    """Build the model; its own count stands where a card's figure would, and the source says so."""
    config = f"{path.name}, read by planner import hf"
    counted = f"counted from {path.name}; no model card was read"
    formats = f"{quantization.name if quantization else path.name}, quantisation block; bf16 where it says nothing"
    sources = {
        "shape": config,
        "weights": formats,
        "kv_format": formats,
        "active_counts": "convention of the family's cards, instances/SOURCES.md",
        "published_total_params": counted,
        "published_active_params": counted,
    }
    unknown = {"published_total_params": 1.0, "published_active_params": 1.0, "sources": sources}
    counts = validate(MoeModel, facts | unknown, str(path))
    return counts.model_copy(
        update={
            "published_total_params": float(counts.total_params),
            "published_active_params": float(counts.active_params),
        }
    )
