"""Property: whatever a config holds, the importer answers with a model or with a named problem, never a traceback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InstanceError
from planner.exchange.hf_config import import_config
from planner.exchange.model_toml import model_toml, write_whole
from planner.instance.loading import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from planner.errors import Problem
    from planner.instance.model import MoeModel

GPT_OSS_LIKE = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "attention_bias": True,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 32,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_attention_heads": 8,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "num_local_experts": 8,
    "sliding_window": 16,
    "vocab_size": 100,
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
}
HYBRID_LIKE = {
    "model_type": "nemotron_h",
    "layers_block_type": ["mamba", "moe", "attention", "moe", "mamba"],
    "mlp_hidden_act": "relu2",
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "n_groups": 2,
    "ssm_state_size": 16,
    "mamba_num_heads": 4,
    "mamba_head_dim": 16,
    "conv_kernel": 4,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_shared_experts": 1,
    "moe_shared_expert_intermediate_size": 64,
}
SPARSE_LIKE = {
    "model_type": "glm_moe_dsa",
    "first_k_dense_replace": 1,
    "hidden_size": 64,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_topk": 32,
    "indexer_types": ["full", "shared", "full"],
    "intermediate_size": 128,
    "kv_lora_rank": 16,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 3,
    "q_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "vocab_size": 100,
}
COMPRESSED_LIKE = {
    "model_type": "deepseek_v4",
    "compress_ratios": [0, 4, 16, 0],
    "expert_dtype": "fp4",
    "head_dim": 16,
    "hc_mult": 2,
    "hidden_size": 64,
    "index_head_dim": 16,
    "index_n_heads": 2,
    "index_topk": 32,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 3,
    "num_key_value_heads": 1,
    "o_groups": 2,
    "o_lora_rank": 16,
    "q_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "sliding_window": 8,
    "vocab_size": 100,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
OTHERS = (HYBRID_LIKE, SPARSE_LIKE, COMPRESSED_LIKE)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 200), st.floats(), st.text(max_size=8))
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples."""
    return tmp_path_factory.mktemp("configs")


def outcome(path: Path) -> tuple[MoeModel | None, tuple[Problem, ...]]:
    """Either the model or the problems; any other exception fails the test."""
    try:
        return import_config(path).model, ()
    except InstanceError as error:
        return None, error.problems


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(sorted(GPT_OSS_LIKE)), values, max_size=3), block=values)
def test_a_model_or_a_named_problem(folder: Path, changes: dict[str, object], block: object) -> None:
    """A few keys replaced by anything: a model that survives the round trip, or problems with file and key."""
    path = folder / "config.json"
    for config in (GPT_OSS_LIKE | changes, GPT_OSS_LIKE | {"quantization_config": block}, {"text_config": changes}):
        path.write_text(json.dumps(config), encoding="utf-8")
        model, problems = outcome(path)
        assert all(problem.file == str(path) for problem in problems)
        if model is None:
            assert problems
            continue
        write_whole(folder / "model.toml", model_toml(model))
        assert load_model(str(folder / "model.toml")) == model


@settings(max_examples=150, deadline=None)
@given(data=st.data(), base=st.sampled_from(OTHERS))
def test_other_families_too(folder: Path, data: st.DataObject, base: dict[str, object]) -> None:
    """Hybrid, sparse and compressed configs as they are give a model; with keys replaced, a model or named problems."""
    path = folder / "config.json"
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(base)), values, max_size=2))
    path.write_text(json.dumps(base | changes), encoding="utf-8")
    model, problems = outcome(path)
    assert all(problem.file == str(path) for problem in problems)
    assert model is not None or (problems and changes)
    if model is not None:
        write_whole(folder / "model.toml", model_toml(model))
        assert load_model(str(folder / "model.toml")) == model
        assert model.active_params <= model.total_params
