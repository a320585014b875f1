"""Bytes of weights and KV on one GPU: claim C29, model cards and counts by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_helpers import machine, one_layout, tiny

from planner.costs import memory
from planner.costs.capacity import batch_in_memory
from planner.instance.loading import load_model

DEEPSEEK = load_model("deepseek-v3")
MIXTRAL = load_model("mixtral-8x7b")
GPT_OSS = load_model("gpt-oss-120b")
LLAMA = load_model("llama-3.1-70b")


def test_kv_of_one_token() -> None:
    """DeepSeek-V3 keeps 70,272 B a token in bf16, Llama-3.1-70B 327,680 B (dossier 3.3)."""
    assert memory.kv_bytes_of_sequence(DEEPSEEK, 1) == 70_272
    assert memory.kv_bytes_of_sequence(LLAMA, 1) == 327_680


def test_kv_of_sliding_layers_stops_at_the_window() -> None:
    """gpt-oss-120b at 10,000 tokens: 18 layers keep all, 18 keep 128 tokens of 2 x 8 x 64 bf16 numbers."""
    assert memory.kv_bytes_of_sequence(GPT_OSS, 10_000) == 2 * 8 * 64 * 2 * 18 * (10_000 + 128)
    assert memory.kv_bytes_of_sequence(GPT_OSS, 100) == 2 * 8 * 64 * 2 * 36 * 100


def test_kv_that_no_pipeline_depth_fits() -> None:
    """C29: 2,400 sequences of 100k tokens on 64 GPUs keep 263.5 GB a GPU, more than any chip of 192 GB holds."""
    assert memory.kv_bytes_per_gpu(DEEPSEEK, 2400 / 64, 100_000, 1) == pytest.approx(263.5e9, rel=1e-3)


@settings(deadline=None)
@given(
    stages=st.sampled_from([1, 2, 4, 8]),
    batch=st.integers(1, 100),
    context=st.integers(1, 10_000),
    tensor=st.sampled_from([1, 2]),
)
def test_kv_on_a_gpu_does_not_depend_on_the_pipeline(stages: int, batch: int, context: int, tensor: int) -> None:
    """C29: what fits beside the weights is room over KV, with the same KV for every depth: only the weights shrink."""
    instance = tiny(kv_format="fp8")
    pool = instance.pools[0]
    layouts = one_layout(pool, tensor, 1, stages, 1, 8)
    weights = memory.weight_bytes_per_gpu(
        MIXTRAL, tensor_parallel=tensor, expert_shards=tensor, slots_per_gpu=8, pipeline_parallel=stages
    )
    room = 0.92 * pool.accelerator.hbm_bytes - 2e9 - float(weights)
    one_sequence = context * 32 * 8 * 256 / tensor
    assert batch_in_memory(machine(instance, layouts), float(context))[0] == max(0, int(room / one_sequence))


def test_tensor_parallelism_spreads_kv_heads_but_not_a_latent() -> None:
    """Sixteen ways cut the 8 KV heads of Llama eight times, and the latent of DeepSeek not at all."""
    assert memory.kv_bytes_per_gpu(LLAMA, 1, 1000, 16) == 1000 * 327_680 / 8
    assert memory.kv_bytes_per_gpu(DEEPSEEK, 1, 1000, 16) == 1000 * 70_272


@pytest.mark.parametrize("ways", [1, 2, 4, 8])
def test_weights_cut_by_tensor_parallelism_add_up(ways: int) -> None:
    """Mixtral cut over all GPUs takes 93.4 GB in total, routers copied (0.1 %)."""
    each = memory.weight_bytes_per_gpu(
        MIXTRAL, tensor_parallel=ways, expert_shards=ways, slots_per_gpu=8, pipeline_parallel=1
    )
    assert ways * float(each) == pytest.approx(MIXTRAL.weight_bytes, rel=1e-3)
    assert MIXTRAL.weight_bytes == pytest.approx(93.4e9, rel=1e-3)


def test_weights_of_deepseeks_decode_unit() -> None:
    """EP144 with two slots a GPU: experts 2 x 58 x 44.04 MB, attention, dense and shared blocks copied: 22.2 GB."""
    each = memory.weight_bytes_per_gpu(
        DEEPSEEK, tensor_parallel=1, expert_shards=1, slots_per_gpu=2, pipeline_parallel=1
    )
    attention_and_dense = 61 * 187.1e6 + 3 * 396.4e6 + 58 * 44.04e6
    bf16 = 2 * (2 * 129280 * 7168 + 58 * 256 * 7168)
    assert float(each) == pytest.approx(2 * 58 * 44.04e6 + attention_and_dense + bf16, rel=2e-3)
    assert float(each) == pytest.approx(22.2e9, rel=0.1)


def test_weights_of_a_stage() -> None:
    """The fullest of four stages of 61 layers: 16 layers of experts only, or the first with its three dense blocks.

    By hand, a GPU of one expert slot a layer: a MoE layer holds attention, router, shared and one routed expert (2 x
    44.04 MB), a dense one 396.4 MB, so the first stage is the fuller one; with 64 slots a later stage is.
    """
    attention = 61 * [187.1e6 + 2 * 7168]
    router, expert, dense = 2 * 256 * 7168, 44.04e6, 396.4e6
    embedding = 2 * 129280 * 7168

    def found(slots: int) -> float:
        shape = {"tensor_parallel": 1, "expert_shards": 1, "slots_per_gpu": slots, "pipeline_parallel": 4}
        return float(memory.weight_bytes_per_gpu(DEEPSEEK, **shape)) - embedding

    first = sum(attention[:16]) + 3 * dense + 13 * (router + 2 * expert)
    later = sum(attention[:16]) + 16 * (router + 65 * expert)
    assert found(1) == pytest.approx(first, rel=1e-3)
    assert found(64) == pytest.approx(later, rel=1e-3)


def test_prediction_layer_of_deepseek() -> None:
    """The module of multi-token prediction adds 11.6e9 weights of its own: 1.45 GB on each of eight GPUs in fp8."""
    shape = {"tensor_parallel": 8, "expert_shards": 8, "slots_per_gpu": 256, "pipeline_parallel": 1}
    without, with_it = (
        float(memory.weight_bytes_per_gpu(DEEPSEEK, **shape, prediction_layers=count)) for count in (0, 1)
    )
    assert (with_it - without) / 1e9 == pytest.approx(11.6 / 8, rel=0.02)
    assert DEEPSEEK.mtp_params / 1e9 == pytest.approx(11.6, rel=0.01)


def test_what_every_rank_multiplies_with() -> None:
    """TP8: DeepSeek's ways into the latents, 7168 x (1536 + 576), are uncut; Qwen3-235B's 4 KV heads are on two each.

    By hand for DeepSeek-V3: 187.1e6 weights a layer, of which 15.1e6 on every rank: 36.6e6 and not 23.4e6.
    """
    expected = (187.1e6 - 15.14e6) / 8 + 15.14e6
    assert float(memory.attention_params_per_rank(DEEPSEEK, 8)) == pytest.approx(expected, rel=1e-3)
    qwen = load_model("qwen3-235b-a22b")
    keys = 4096 * 2 * 4 * 128
    rest = qwen.attention_params - keys
    assert float(memory.attention_params_per_rank(qwen, 8)) == pytest.approx(rest / 8 + keys / 4)
    assert float(memory.attention_params_per_rank(LLAMA, 8)) == pytest.approx(LLAMA.attention_params / 8)
    assert float(memory.attention_params_per_rank(DEEPSEEK, 1)) == pytest.approx(DEEPSEEK.attention_params)


def test_usable_memory() -> None:
    """Of 80 GB an engine that takes 92 % and keeps 2 GB back uses 71.6 GB."""
    assert memory.usable_bytes(80e9, 0.92, 2e9) == pytest.approx(71.6e9)
