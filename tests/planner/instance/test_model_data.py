"""Claims about the shipped models: counts equal to published ones, and a source at every figure."""

from __future__ import annotations

import pytest

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.loading import load_model, validate
from planner.instance.model import MoeModel

# Exact counts of the published checkpoints (safetensors metadata; DeepSeek-V3 without its multi-token-prediction head).
CHECKPOINT_PARAMS = {
    "deepseek-v3": 671_026_419_200,
    "qwen3-235b-a22b": 235_093_634_560,
    "qwen3-30b-a3b": 30_532_122_624,
    "gpt-oss-120b": 116_829_156_672,
    "gpt-oss-20b": 20_914_757_184,
    "mixtral-8x7b": 46_702_792_704,
    "llama-3.1-70b": 70_553_706_496,
}

# Card figures that have fewer digits than 1 %: the more exact published figure that the count must meet instead.
MORE_EXACT_ACTIVE = {"deepseek-v3": 36.6e9}


def test_deepseek_v3_parts_are_exact() -> None:
    """Routed experts, attention, shared experts, dense blocks and embeddings of DeepSeek-V3 (case BR20)."""
    model = load_model("deepseek-v3")
    assert model.moe_layers * model.routed_experts * model.expert_params == 653_908_770_816
    assert model.layers * model.attention_params == 11_413_422_080
    assert model.moe_layers * model.shared_params == 2_554_331_136
    assert model.dense_layers * model.dense_ffn_params == 1_189_085_184
    assert model.embedding_params == 1_853_358_080
    # The rest of 671,026,419,200 is what the case does not itemise: routers with their bias, and all norms.
    assert model.moe_layers * model.router_params == 58 * 256 * (7168 + 1)
    assert model.norm_params == (2 * 61 + 1) * 7168 + 61 * (1536 + 512)


@pytest.mark.parametrize(("name", "total"), CHECKPOINT_PARAMS.items())
def test_total_equals_the_checkpoint(name: str, total: int) -> None:
    """The counted total is the published checkpoint's, to the last parameter."""
    assert load_model(name).total_params == total


def test_kimi_k2_total() -> None:
    """Kimi-K2: 1,026.41e9 as in the checkpoint's metadata, which has 3,416 numbers more than the weights."""
    assert load_model("kimi-k2").total_params == pytest.approx(1_026_408_235_864, rel=1e-8)


@pytest.mark.parametrize("name", library.names("models"))
def test_counts_meet_the_card(name: str) -> None:
    """Counted total and active parameters are within 1 % of the card, or round to it where it has two digits.

    Qwen3-30B-A3B prints 3.3B for 3.353e9; DeepSeek-V3 prints 37B for what its weights' README gives as 36.6B.
    """
    model = load_model(name)
    assert model.total_params == pytest.approx(model.published_total_params, rel=0.01)
    active = MORE_EXACT_ACTIVE.get(name, model.published_active_params)
    tolerance = 0.017 if name == "qwen3-30b-a3b" else 0.01
    assert model.active_params == pytest.approx(active, rel=tolerance)


def test_deepseek_v3_active_leaves_out_the_input_embedding() -> None:
    """36.6B with the output head and without the input embedding, as the weights' README says; 37.55B with both."""
    model = load_model("deepseek-v3")
    assert model.active_params / 1e9 == pytest.approx(36.6, abs=0.05)
    both = model.model_copy(update={"active_counts": "all"})
    assert both.active_params - model.active_params == 129_280 * 7168


def test_qwen_card_counts_without_embeddings() -> None:
    """Qwen's cards also give totals without embeddings, 234B and 29.9B: their other counts have both embeddings."""
    for name, published in (("qwen3-235b-a22b", 234e9), ("qwen3-30b-a3b", 29.9e9)):
        model = load_model(name)
        assert model.total_params - model.embedding_params == pytest.approx(published, rel=0.002)


@pytest.mark.parametrize(
    ("name", "kv_format", "expected"),
    [
        ("deepseek-v3", "bf16", 70_272),
        ("deepseek-v3", "fp8", 35_136),
        ("llama-3.1-70b", "bf16", 327_680),
        ("kimi-k2", "bf16", 70_272),
        ("qwen3-30b-a3b", "bf16", 98_304),
    ],
)
def test_kv_bytes_per_token(name: str, kv_format: str, expected: int) -> None:
    """KV bytes of one token over all layers: the latent of DeepSeek-V3, keys and values elsewhere."""
    model = load_model(name).model_copy(update={"kv_format": kv_format})
    assert model.kv_bytes_per_token == expected


def test_sliding_layers_stop_growing() -> None:
    """Every second layer of gpt-oss keeps 128 tokens, so a further token costs 18 layers x 2 x 8 heads x 64 x 2 B."""
    assert load_model("gpt-oss-120b").kv_bytes_per_token == 18 * 2 * 8 * 64 * 2


@pytest.mark.parametrize(("name", "gib"), [("gpt-oss-120b", 60.8), ("gpt-oss-20b", 12.8)])
def test_checkpoint_bytes_of_gpt_oss(name: str, gib: float) -> None:
    """mxfp4 experts and bf16 elsewhere: 60.8 and 12.8 GiB in the model card, table 1."""
    assert load_model(name).weight_bytes / 2**30 == pytest.approx(gib, rel=0.005)


def test_bf16_checkpoint_bytes() -> None:
    """Qwen3-235B-A22B in bf16 is 470,187,269,120 bytes (the checkpoint's index)."""
    assert load_model("qwen3-235b-a22b").weight_bytes == 470_187_269_120


@pytest.mark.parametrize("name", library.names("models"))
def test_every_figure_has_a_source(name: str) -> None:
    """A file's name is its model's name; shape, formats, convention and both card figures have a source each."""
    model = load_model(name)
    assert model.name == name
    needed = {"shape", "weights", "kv_format", "active_counts", "published_total_params", "published_active_params"}
    assert needed <= set(model.sources)
    assert all(len(source) > 5 for source in model.sources.values())


def test_a_model_is_found_by_its_hub_name() -> None:
    """The organisation and the case of a name do not matter."""
    assert load_model("deepseek-ai/DeepSeek-V3") == load_model("deepseek-v3")


def test_inconsistent_shapes_are_refused() -> None:
    """More experts per token than experts, and groups that do not divide them, are named in one error."""
    data = load_model("deepseek-v3").model_dump() | {"experts_per_token": 300, "router_groups": 7}
    with pytest.raises(InstanceError, match=r"experts_per_token 300 > routed_experts 256.*router_groups 7"):
        validate(MoeModel, data, "model.toml")
