"""Claims about the Hugging Face importer: published counts of the families it knows, a named key for other shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InstanceError
from planner.exchange.hf_config import import_config, name_from
from planner.exchange.model_toml import model_toml, write_whole
from planner.instance.loading import load_model

CONFIGS = Path(__file__).resolve().parents[4] / "shared" / "data" / "real_inputs" / "hf_configs"
shared = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not CONFIGS.is_dir(), reason="real inputs are not beside this checkout"),
]

# File, published total, published active (None: dense, as the total). DeepSeek-V3's 36.6e9 is its weights' README (the
# card rounds to 37B); Kimi-K2's total is its checkpoint's (the card rounds to 1T). Where a card has two digits the
# count stands, and the card is its rounding: 3B for 3.455e9 (Qwen3.5-35B-A3B), 10B for 9.8e9 (MiniMax-M2.5), 37B for
# 37.48e9 with the indexer (V3.2), 13B (V4-Flash), 15B (MiMo-V2), 1.6T (V4-Pro), 27B for a mean of 27.9e9 (LongCat),
# 21B and 3B (ERNIE). GLM-4.5's 355B includes the prediction layer.
CARDS = [
    ("deepseek-ai--DeepSeek-V3", 671e9, 36.6e9),
    ("moonshotai--Kimi-K2-Instruct", 1026.4e9, 32e9),
    ("moonshotai--Kimi-K2.5", 1026.4e9, 32e9),
    ("nvidia--DeepSeek-V3.1-NVFP4", 671e9, 36.6e9),
    ("Qwen--Qwen3-235B-A22B-FP8", 235e9, 22e9),
    ("nvidia--Qwen3-235B-A22B-NVFP4", 235e9, 22e9),
    ("Qwen--Qwen3-30B-A3B", 30.5e9, 3.3e9),
    ("assembled--Qwen3-30B-A3B-AWQ-w_bit_key", 30.5e9, 3.3e9),
    ("mistralai--Mixtral-8x22B-v0.1", 141e9, 39e9),
    ("openai--gpt-oss-20b", 20.91e9, 3.61e9),
    ("hfclass-defaults--qwen2_moe", 14.3e9, 2.7e9),
    ("meta-llama--Meta-Llama-3.1-70B", 70.6e9, None),
    ("meta-llama--Meta-Llama-3.1-405B", 405e9, None),
    ("nvidia--Llama-3.1-70B-Instruct-FP8", 70.6e9, None),
    ("Qwen--Qwen3-32B-FP8-Static-PerTensor", 32.8e9, None),
    ("Qwen--Qwen3-0.6B", 0.6e9, None),
    ("inferencesim--codellama-34b-instruct-hf", 33.7e9, None),
    ("inferencesim--mistral-nemo-instruct-2407", 12.2e9, None),
    ("inferencesim--yi-34b", 34.4e9, None),
    ("Qwen--Qwen3.5-27B", 27e9, None),
    ("Qwen--Qwen3.5-35B-A3B", 35e9, 3.455e9),
    ("MiniMaxAI--MiniMax-M2.5", 229e9, 9.8e9),
    ("nvidia--MiniMax-M2.5-NVFP4", 229e9, 9.8e9),
    ("transcribed--GLM-4.5-355B-A32B", 352.8e9, 32e9),
    ("zai-org--GLM-5", 744e9, 40e9),
    ("inferencesim--glm-5.2-fp8", 744e9, 40e9),
    ("deepseek-ai--DeepSeek-V3.2", 671.9e9, 37.48e9),
    ("deepseek-ai--DeepSeek-V4-Pro", 1573e9, 49e9),
    ("nvidia--DeepSeek-V4-Flash-NVFP4", 284e9, 13.27e9),
    ("XiaomiMiMo--MiMo-V2-Flash", 309e9, 14.82e9),
    ("meta-llama--Llama-4-Maverick-17B-128E-Instruct", 400.7e9, 17.2e9),
    ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31.6e9, 3.2e9),
    ("nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4", 550e9, 55e9),
    ("nvidia--Gemma-4-26B-A4B-NVFP4", 25.2e9, 3.8e9),
    ("hfclass-defaults--jamba", 51.6e9, 12.1e9),
    ("hfclass-defaults--longcat_flash", 560e9, 27.9e9),
    ("hfclass-defaults--ernie4_5_moe", 21.8e9, 3.35e9),
    ("transcribed--dbrx-instruct-mlx-4bit", 132e9, 36.5e9),
    # The class's defaults are not OLMoE-1B-7B (whose experts are half as wide): counted by hand from the defaults.
    ("hfclass-defaults--olmoe", 13.36e9, 2.087e9),
]

# File and a key that must be named.
REFUSED = [
    ("odd--mixtral-without-topk", "num_experts_per_tok"),
    ("hfclass-defaults--deepseek_v2", "num_experts_per_tok"),
    ("hfclass-defaults--switch_transformers", "model_type"),
]


def mixtral_config() -> dict[str, Any]:
    """Mixtral-8x7B's published shape."""
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 32000,
    }


def deepseek_v2_lite_config() -> dict[str, Any]:
    """DeepSeek-V2-Lite's published shape: no compressed queries, one dense layer, two shared experts."""
    return {
        "model_type": "deepseek_v2",
        "first_k_dense_replace": 1,
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "kv_lora_rank": 512,
        "moe_intermediate_size": 1408,
        "moe_layer_freq": 1,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_attention_heads": 16,
        "num_experts_per_tok": 6,
        "num_hidden_layers": 27,
        "q_lora_rank": None,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "topk_method": "greedy",
        "v_head_dim": 128,
        "vocab_size": 102400,
    }


def written(folder: Path, data: object, name: str = "config.json") -> Path:
    """Path of ``data`` as a JSON file."""
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def named_keys(path: Path, quantization: Path | None = None) -> set[str]:
    """Keys that the refusal of a config names."""
    with pytest.raises(InstanceError) as caught:
        import_config(path, quantization=quantization)
    return {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize(("stem", "total", "active"), [pytest.param(*card, marks=shared, id=card[0]) for card in CARDS])
def test_published_counts(stem: str, total: float, active: float | None, tmp_path: Path) -> None:
    """Total and active parameters are the card's within 1 %, and the TOML reads back as the same model."""
    separate = CONFIGS / f"{stem}_hf_quant_config.json"
    imported = import_config(CONFIGS / f"{stem}_config.json", quantization=separate if separate.is_file() else None)
    model = imported.model
    assert model.total_params == pytest.approx(total, rel=0.01)
    # Qwen3-30B-A3B's card has two digits, 3.3B, for a count of 3.353e9.
    assert model.active_params == pytest.approx(active or total, rel=0.017 if "30B-A3B" in stem else 0.01)
    write_whole(tmp_path / "model.toml", model_toml(model))
    assert load_model(str(tmp_path / "model.toml")) == model


@pytest.mark.parametrize(("stem", "key"), [pytest.param(*case, marks=shared, id=case[0]) for case in REFUSED])
def test_other_shapes_are_refused_by_a_key(stem: str, key: str) -> None:
    """A shape that is not understood is refused, and the key that makes it one is named."""
    assert key in named_keys(CONFIGS / f"{stem}_config.json")


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        pytest.param("deepseek-ai--DeepSeek-V3", "deepseek-v3", marks=shared),
        pytest.param("moonshotai--Kimi-K2-Instruct", "kimi-k2", marks=shared),
        pytest.param("Qwen--Qwen3-30B-A3B", "qwen3-30b-a3b", marks=shared),
        pytest.param("openai--gpt-oss-20b", "gpt-oss-20b", marks=shared),
        pytest.param("meta-llama--Meta-Llama-3.1-70B", "llama-3.1-70b", marks=shared),
    ],
)
def test_import_agrees_with_the_shipped_model(stem: str, name: str) -> None:
    """An imported config and the shipped file of the same model differ in names, card figures and sources only."""
    own = {"name", "title", "aliases", "published_total_params", "published_active_params", "sources"}
    # A bf16 config does not tell of the blocks of the same model's fp8 checkpoint.
    left_out: Any = dict.fromkeys(own, True) | {"weights": {"block_size"}}
    imported = import_config(CONFIGS / f"{stem}_config.json").model
    assert imported.model_dump(exclude=left_out) == load_model(name).model_dump(exclude=left_out)


@pytest.mark.parametrize(
    ("stem", "weights", "kv_format", "gigabytes"),
    [
        # 594 GB is what the Kimi-K2.5 and K2-Thinking checkpoints take; 141.1 and 72.7 are 2 and about 1 B a weight.
        pytest.param("moonshotai--Kimi-K2.5", ("bf16", "bf16", "int4_g32"), "bf16", 594, marks=shared),
        pytest.param("meta-llama--Meta-Llama-3.1-70B", ("bf16", "bf16", "bf16"), "bf16", 141.1, marks=shared),
        pytest.param("nvidia--Llama-3.1-70B-Instruct-FP8", ("fp8", "fp8", "bf16"), "fp8", 72.7, marks=shared),
        pytest.param("openai--gpt-oss-20b", ("bf16", "bf16", "mxfp4"), "bf16", 13.75, marks=shared),
        pytest.param("nvidia--Qwen3-235B-A22B-NVFP4", ("nvfp4", "bf16", "nvfp4"), "fp8", 134, marks=shared),
        pytest.param("nvidia--DeepSeek-V3.1-NVFP4", ("bf16", "nvfp4", "nvfp4"), "fp8", 397, marks=shared),
        pytest.param("Qwen--Qwen3-235B-A22B-FP8", ("fp8", "bf16", "fp8"), "bf16", 236.4, marks=shared),
    ],
)
def test_quantisation_blocks(stem: str, weights: tuple[str, str, str], kv_format: str, gigabytes: float) -> None:
    """Each part has the format its quantiser gave it: what a pattern leaves out stays in bf16."""
    separate = CONFIGS / f"{stem}_hf_quant_config.json"
    model = import_config(CONFIGS / f"{stem}_config.json", quantization=separate if separate.is_file() else None).model
    formats = model.weights
    assert (formats.attention, formats.dense_ffn, formats.routed_experts) == weights
    assert model.kv_format == kv_format
    assert model.weight_bytes / 1e9 == pytest.approx(gigabytes, rel=0.005)


def test_mixtral_8x7b(tmp_path: Path) -> None:
    """46,702,792,704 parameters, 12.88e9 active, as published; equal to the shipped file."""
    model = import_config(written(tmp_path, mixtral_config()), name="mixtral-8x7b").model
    assert model.total_params == 46_702_792_704
    assert model.active_params == pytest.approx(12.9e9, rel=0.01)


def test_deepseek_v2_lite(tmp_path: Path) -> None:
    """15.7B parameters and 27 x 576 x 2 B of KV; null q_lora_rank means queries that are not compressed."""
    model = import_config(written(tmp_path, deepseek_v2_lite_config())).model
    assert model.total_params == pytest.approx(15.7e9, rel=0.002)
    assert model.kv_bytes_per_token == 27 * 576 * 2
    assert model.attention.query_lora_rank == 0


@pytest.mark.parametrize(
    "key", ["num_hidden_layers", "hidden_size", "vocab_size", "num_local_experts", "intermediate_size"]
)
@pytest.mark.parametrize("value", ["absent", None, 0, -3, 2.5, "many", True, 10**30])
def test_every_needed_number_is_checked(tmp_path: Path, key: str, value: object) -> None:
    """A number that shapes the model and is absent, null, zero, negative, fractional, text or absurd is named."""
    config = mixtral_config() | {key: value}
    if value == "absent":
        del config[key]
    assert key in named_keys(written(tmp_path, config))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"num_experts_per_tok": None}, "num_experts_per_tok"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"linear_num_value_heads": 32}, "linear_num_value_heads"),
        ({"mamba_d_state": 16}, "mamba_d_state"),
        ({"num_shared_experts": 1}, "num_shared_experts"),
        ({"architectures": ["SomethingElse"]}, "architectures"),
        ({"model_type": "mystery"}, "model_type"),
        ({"torch_dtype": "float8"}, "torch_dtype"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantization_config.quant_method"),
        ({"quantization_config": {"quant_method": "awq", "bits": 3}}, "quantization_config.bits"),
        ({"layer_types": ["full_attention"] * 31 + ["linear_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention"] * 4}, "layer_types"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    ],
)
def test_what_changes_the_shape_is_never_ignored(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    """Another activation, a bias, other layers, more experts, another quantiser: refused, each by its key."""
    assert key in named_keys(written(tmp_path, mixtral_config() | change))


def test_harmless_keys_pass(tmp_path: Path) -> None:
    """Keys of generation, training and file format do not stand in the way; neither do empty ones of other shapes."""
    extra = {"transformers_version": "5.0", "rope_theta": 1e6, "router_jitter_noise": 0.0, "id2label": {"0": "A"}}
    extra |= {"num_beam_groups": 1, "mamba_d_state": None, "linear_layers": [], "unsloth_fixed": True}
    assert import_config(written(tmp_path, mixtral_config() | extra)).model.routed_experts == 8


def test_all_problems_at_once(tmp_path: Path) -> None:
    """Three faults are three problems of one error."""
    config = mixtral_config() | {"hidden_size": None, "num_experts_per_tok": "two", "conv_kernel": 4}
    assert named_keys(written(tmp_path, config)) == {"hidden_size", "num_experts_per_tok", "conv_kernel"}


def test_more_experts_per_token_than_experts(tmp_path: Path) -> None:
    """The schema's own checks speak through the importer."""
    with pytest.raises(InstanceError, match="experts_per_token 9 > routed_experts 8"):
        import_config(written(tmp_path, mixtral_config() | {"num_experts_per_tok": 9}))


@pytest.mark.parametrize("text", ["{", "", "[1, 2]", "null", "\x00", '{"a": 1,}'])
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    """Cut, empty, binary or wrongly typed files give an error with the file's name, not a traceback."""
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InstanceError, match=r"config\.json"):
        import_config(path)
    with pytest.raises(InstanceError, match=r"config\.json"):
        import_config(written(tmp_path, mixtral_config(), "good.json"), quantization=path)


def test_a_quantisation_file_wins_over_the_config(tmp_path: Path) -> None:
    """The separate file says NVFP4 with the head left out and FP8 KV; unknown algorithms are named with their file."""
    config = written(tmp_path, mixtral_config() | {"quantization_config": {"quant_method": "fp8"}})
    quant = written(
        tmp_path,
        {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}},
        "hf_quant_config.json",
    )
    model = import_config(config, quantization=quant).model
    assert (model.weights.routed_experts, model.weights.embeddings, model.kv_format) == ("nvfp4", "bf16", "fp8")
    written(tmp_path, {"quantization": {"quant_algo": "MIXED_PRECISION"}}, "hf_quant_config.json")
    assert named_keys(config, quantization=quant) == {"quantization.quant_algo"}
    written(tmp_path, {"producer": {}}, "hf_quant_config.json")
    assert named_keys(config, quantization=quant) == {"quantization"}


def test_experts_in_mixed_formats_are_refused(tmp_path: Path) -> None:
    """Half of the layers' experts left out of fp8: no single format is right, so there is no model."""
    left_out = [f"model.layers.{layer}.block_sparse_moe.experts" for layer in range(16)]
    block = {"quant_method": "fp8", "modules_to_not_convert": left_out}
    assert named_keys(written(tmp_path, mixtral_config() | {"quantization_config": block})) == {"quantization_config"}


def test_llama_without_kv_heads_has_one_for_each_head(tmp_path: Path) -> None:
    """Llama's class fills an absent num_key_value_heads with the number of heads: Llama-2-7B has 6.74B parameters."""
    config = {
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "vocab_size": 32000,
    }
    model = import_config(written(tmp_path, config)).model
    assert model.total_params == 6_738_415_616
    assert model.kv_bytes_per_token == 32 * 2 * 4096 * 2


def test_sliding_window_of_every_layer(tmp_path: Path) -> None:
    """Mistral-7B-v0.1: all layers see 4,096 tokens; 7.24B parameters."""
    config = {
        "model_type": "mistral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_hidden_layers": 32,
        "vocab_size": 32000,
        "sliding_window": 4096,
    }
    model = import_config(written(tmp_path, config)).model
    assert model.total_params == 7_241_732_096
    assert (model.attention.sliding_layers, model.attention.sliding_window_tokens) == (32, 4096)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Qwen--Qwen3-30B-A3B_config.json", "qwen3-30b-a3b"),
        ("MyModel/config.json", "mymodel"),
        ("gpt_oss.json", "gpt-oss"),
    ],
)
def test_default_names(tmp_path: Path, file: str, name: str) -> None:
    """A model is called after its file, or after the folder of a plain config.json."""
    assert name_from(tmp_path / file) == name


def test_toml_survives_odd_names(tmp_path: Path) -> None:
    """Quotes, backslashes, control characters and other alphabets in a name come back as they were."""
    for name in ('a "quoted" \\ name', "模型 \t \x7f \u2028", "🦙"):
        model = import_config(written(tmp_path, mixtral_config()), name=name).model
        write_whole(tmp_path / "model.toml", model_toml(model))
        assert load_model(str(tmp_path / "model.toml")) == model


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    """A missing folder is an error of the input; no temporary file stays behind."""
    with pytest.raises(InstanceError, match="cannot be written"):
        write_whole(tmp_path / "missing" / "model.toml", "x")
    target = tmp_path / "folder"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(InstanceError, match="cannot be written"):
        write_whole(target, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def hybrid_config() -> dict[str, Any]:
    """Qwen3-Next's keys at a tenth of its size: linear attention in three layers of four."""
    return {
        "architectures": ["Qwen3NextForCausalLM"],
        "model_type": "qwen3_next",
        "full_attention_interval": 4,
        "head_dim": 32,
        "hidden_act": "silu",
        "hidden_size": 64,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 16,
        "moe_intermediate_size": 32,
        "num_attention_heads": 4,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 8,
        "num_key_value_heads": 2,
        "shared_expert_intermediate_size": 32,
        "tie_word_embeddings": False,
        "vocab_size": 100,
    }


def test_gated_delta_layers_counted_by_hand(tmp_path: Path) -> None:
    """Six linear layers and two full ones: every matrix of the published modelling code, one by one."""
    model = import_config(written(tmp_path, hybrid_config())).model
    linear = 64 * (2 * 32 + 2 * 64) + 64 * 2 * 4 + (2 * 32 + 64) * 4 + 2 * 4 + 16 + 64 * 64
    full = 64 * 2 * 128 + 2 * 64 * 64 + 128 * 64 + 2 * 32
    experts = 8 * 3 * 64 * 32 + 3 * 64 * 32 + 64 + 8 * 64
    assert model.total_params == 6 * linear + 2 * full + 8 * (experts + 2 * 64) + 64 + 2 * 100 * 64
    assert (model.kv_layers, model.kv_bytes_per_token) == (2, 2 * 2 * 64 * 2)
    assert model.state_bytes == 6 * (4 * 16 * 16 * 4 + 3 * 128 * 2)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"full_attention_interval": 0}, "full_attention_interval"),
        ({"linear_num_value_heads": None}, "linear_num_value_heads"),
        ({"attn_output_gate": False}, "attn_output_gate"),
        ({"mlp_only_layers": [0]}, "mlp_only_layers"),
        ({"mamba_ssm_dtype": "int3"}, "mamba_ssm_dtype"),
        ({"layer_types": ["mystery"] * 8}, "layer_types"),
        ({"index_topk": 2048}, "index_topk"),
    ],
)
def test_hybrid_refusals_name_the_key(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    """What shapes a hybrid model and is missing, wrong or of another family is named."""
    assert key in named_keys(written(tmp_path, hybrid_config() | change))


def test_blocks_that_make_no_layers_are_refused(tmp_path: Path) -> None:
    """Nemotron-H's plain blocks in some layers only: no single width is right, so the pattern is named."""
    config = {
        "model_type": "nemotron_h",
        "hybrid_override_pattern": "M-M*-",
        "mlp_hidden_act": "relu2",
        "hidden_size": 64,
        "vocab_size": 100,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "n_groups": 1,
        "ssm_state_size": 16,
        "mamba_num_heads": 4,
        "mamba_head_dim": 16,
        "conv_kernel": 4,
        "intermediate_size": 128,
    }
    assert "hybrid_override_pattern" in named_keys(written(tmp_path, config))


def test_another_precision_on_request(tmp_path: Path) -> None:
    """BR23: DeepSeek-R1 in bf16 has 1342.1 GB, whatever its checkpoint holds; an unknown precision is refused."""
    config = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    path = written(tmp_path, mixtral_config() | config)
    own, wide = import_config(path).model, import_config(path, weights="bf16").model
    assert (own.weights.routed_experts, own.weights.block_size) == ("fp8", 128)
    assert (wide.weights.routed_experts, wide.kv_format) == ("bf16", "bf16")
    assert wide.weight_bytes == 2 * wide.total_params
    with pytest.raises(InstanceError, match="ternary"):
        import_config(path, weights="ternary")


def test_a_mixed_checkpoint_is_read_module_by_module(tmp_path: Path) -> None:
    """NVIDIA's mixed files list each module: fp8 attention, nvfp4 experts; what they do not list keeps the base."""
    listed = {f"model.layers.{layer}.block_sparse_moe.experts": {"quant_algo": "NVFP4"} for layer in range(32)}
    listed |= {f"model.layers.{layer}.self_attn": {"quant_algo": "FP8"} for layer in range(32)}
    block = {"quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": listed}}
    quant = written(tmp_path, block, "hf_quant_config.json")
    model = import_config(written(tmp_path, mixtral_config()), quantization=quant).model
    assert (model.weights.attention, model.weights.routed_experts, model.weights.embeddings) == ("fp8", "nvfp4", "bf16")
    listed["model.layers.0.self_attn"] = {"quant_algo": "FP3"}
    written(tmp_path, block, "hf_quant_config.json")
    assert named_keys(tmp_path / "config.json", quantization=quant) == {"quantization.quantized_layers.quant_algo"}
