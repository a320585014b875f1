"""Public reports about memory and cuts, with the answers of arithmetic or of a maintainer (field cases BR20-BR47)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from serving_helpers import tiny

from planner.costs import memory
from planner.costs.layout import enumerate_layouts
from planner.costs.shards import (
    expert_data_parallel,
    padded_work,
    tensor_parallel_problem,
    valid_tensor_parallel,
    ways_by_blocks,
)
from planner.errors import NoPlanFound
from planner.instance.aliases import model_of_name
from planner.instance.loading import load_model
from planner.instance.weights import with_weights
from planner.studies.serving import solve_serving

if TYPE_CHECKING:
    from planner.instance.model import MoeModel

GIB = 2**30
DEEPSEEK = load_model("deepseek-v3")
LLAMA_8B = load_model("llama-3.1-8b")


def one_byte(model: MoeModel) -> MoeModel:
    """Store every matrix in one byte, as the reports' arithmetic does (the checkpoint keeps embeddings in bf16)."""
    return model.model_copy(update={"weights": model.weights.model_copy(update={"embeddings": "fp8"})})


def plain_tensor_parallel(model: MoeModel, ways: int, stages: int = 1) -> float:
    """Weight bytes on the fullest GPU when tensor parallelism cuts everything, experts included."""
    return float(
        memory.weight_bytes_per_gpu(
            model,
            tensor_parallel=ways,
            expert_shards=ways,
            slots_per_gpu=model.routed_experts,
            pipeline_parallel=stages,
        )
    )


def case(**changes: object) -> list[str]:
    """Solve the tiny case with changes that leave no plan, and return the reasons."""
    with pytest.raises(NoPlanFound) as caught:
        solve_serving(tiny(**changes))
    return list(caught.value.reasons)


@pytest.mark.parametrize(
    ("gpus", "gpu_gb", "gb_per_gpu", "fits", "cuts"),
    [
        (8, 80, 83.9, False, True),
        (16, 80, 41.9, True, True),
        (8, 96, 83.9, True, True),
        (8, 141, 83.9, True, True),
        (6, 141, 111.8, True, False),
        (5, 141, 134.2, False, False),
    ],
)
def test_br20_deepseek_v3_in_fp8(gpus: int, gpu_gb: int, gb_per_gpu: float, fits: bool, cuts: bool) -> None:
    """lmdeploy#2960: 83.9 GB on each of 8 GPUs; 90 % of 80 GB is too little, of 96 GB enough; 6 cut no 128 heads.

    The report divides 671.03e9 bytes by the GPUs; a GPU also has its own copy of the routers, 0.2 GB in bf16.
    """
    assert DEEPSEEK.total_params / gpus / 1e9 == pytest.approx(gb_per_gpu, abs=0.05)
    found = plain_tensor_parallel(one_byte(DEEPSEEK), gpus)
    assert found / 1e9 == pytest.approx(gb_per_gpu, abs=0.25)
    assert (found <= 0.9 * gpu_gb * 1e9) == fits
    assert (tensor_parallel_problem(DEEPSEEK, gpus) is None) == cuts


def test_br20_is_infeasible_on_eight_h100_whatever_the_limits() -> None:
    """Eight H100 hold no DeepSeek-V3: the search says so, and names nothing but memory."""
    reasons = case(model="deepseek-v3", pools__h100__domains=1)
    assert reasons
    assert all(reason.startswith("memory") for reason in reasons)


def test_br21_latent_cache_is_on_every_gpu() -> None:
    """sglang#3344: 405,000 tokens at TP16 on 80 GB, three requests of 131,072 tokens and not sixteen times as many."""
    pool = 0.88 * 80e9 - plain_tensor_parallel(one_byte(DEEPSEEK), 16)
    tokens = float(memory.pool_tokens(DEEPSEEK, pool, tensor_parallel=16))
    assert DEEPSEEK.kv_bytes_per_token == 70_272
    assert float(memory.kv_bytes_per_gpu(DEEPSEEK, 1, 131_072, 16)) / 1e9 == pytest.approx(9.21, rel=1e-3)
    assert tokens == pytest.approx(405_009, rel=0.01)
    assert int(tokens // 131_072) == 3


def test_br23_bf16_r1_on_a100() -> None:
    """skypilot#4723: 1342.1 GB exceed 16 x 80 GB; 24 GPUs only as TP8 x PP3, 60.6 GB in a stage of 21 layers; or 32."""
    model = with_weights(DEEPSEEK, "bf16")
    assert model.weight_bytes / 1e9 == pytest.approx(1342.1, rel=1e-4)
    assert plain_tensor_parallel(model, 16) > 80e9
    assert tensor_parallel_problem(model, 24) is not None
    assert plain_tensor_parallel(model, 8, stages=3) / 1e9 == pytest.approx(60.6, rel=0.005)
    assert plain_tensor_parallel(model, 8, stages=3) <= 0.9 * 80e9
    assert plain_tensor_parallel(model, 32) <= 0.9 * 80e9
    assert tensor_parallel_problem(model, 32) is None


def test_br25_memory_is_the_only_conflict() -> None:
    """aiconfigurator#437: DeepSeek-V3 on two H200 is infeasible for memory, whatever TTFT and TPOT ask."""
    limits: dict[str, object] = {"demand__chat__ttft_s": 0.6, "demand__chat__tpot_s": 0.03}
    lengths: dict[str, object] = {"demand__chat__input_tokens": 4000, "demand__chat__output_tokens": 500}
    two: dict[str, object] = {
        "pools__h100__hardware": "h200",
        "pools__h100__domains": 1,
        "pools__h100__gpus_per_domain": 2,
        "search__deployment_gpus": [1, 2],
    }
    reasons = case(model="deepseek-v3", **limits, **lengths, **two)
    assert {reason.split(":")[0] for reason in reasons} == {"memory"}


def test_br25_llama_405b_on_one_gpu() -> None:
    """aiconfigurator#509: 811.7 GB in bf16 do not fit one GPU of 80 GB."""
    model = load_model("llama-3.1-405b")
    assert plain_tensor_parallel(model, 1) / 1e9 == pytest.approx(811.7, rel=0.005)


def test_br27_all_experts_are_resident() -> None:
    """llmfit#230: Qwen3.5-122B-A10B at 0.58 B a weight takes 72.6 GB, not the 33 GB of its active part.

    The report's 125.1e9 parameters are the checkpoint's, with prediction layer and vision tower (0.4 %).
    """
    model = load_model("qwen3.5-122b-a10b")
    assert 0.58 * (model.total_params + model.mtp_params) / 1e9 == pytest.approx(72.6, rel=0.005)
    assert 0.58 * model.active_params / 1e9 < 48 < 0.58 * model.total_params / 1e9


def test_br29_twice_the_gpus_twenty_times_the_cache() -> None:
    """sglang#28620: with weights of 94.7 % of usable memory, a second stage of 8 GPUs gives 20.0 times the tokens."""
    model = load_model("deepseek-v4-flash")
    weights = plain_tensor_parallel(model, 8)
    usable = weights * 19 / 18
    one = float(memory.pool_tokens(model, usable - weights, tensor_parallel=8))
    two = float(memory.pool_tokens(model, usable - weights / 2, tensor_parallel=8, pipeline_parallel=2))
    assert two / one == pytest.approx(2_413_824 / 120_576, rel=0.002)
    assert two / one == pytest.approx(20.0, rel=1e-9)


@pytest.mark.parametrize(("prompt_tokens", "pool_gib"), [(20_000, 3.81), (29_000, 2.89)])
def test_br31_longer_prompts_leave_less_cache(prompt_tokens: int, pool_gib: float) -> None:
    """vllm#10517: on 24 GB, prompts of 20k and 29k tokens in one chunk leave 3.81 and 2.89 GiB of KV.

    What vLLM shares out is weights, activations and pool: 17.06 + 3.81 = 17.98 + 2.89 = 20.87 GiB.
    """
    activations = float(memory.activation_bytes(LLAMA_8B, prompt_tokens))
    left = 20.87 * GIB - plain_tensor_parallel(LLAMA_8B, 1) - activations
    assert left / GIB == pytest.approx(pool_gib, rel=0.02)


def test_br31_tokens_of_the_pool() -> None:
    """131,072 B a token: 2.89 GiB are 23,675 tokens, 1,478 blocks of 16."""
    tokens = float(memory.pool_tokens(LLAMA_8B, 2.89 * GIB))
    assert tokens == pytest.approx(23_675, abs=1)
    assert int(tokens // 16) == pytest.approx(1478, abs=2)


@pytest.mark.parametrize(
    ("name", "layers", "growing", "bytes_per_token"),
    [("qwen3.5-27b", 64, 16, 65_536), ("qwen3.5-35b-a3b", 40, 10, 20_480)],
)
def test_br33_hybrid_models_keep_kv_in_a_quarter_of_their_layers(
    name: str, layers: int, growing: int, bytes_per_token: int
) -> None:
    """vllm#40691: 16 of 64 and 10 of 40 layers keep KV; the log's 290,864 tokens are 3.72 times too few."""
    model = load_model(name)
    assert (model.layers, model.kv_layers, model.kv_bytes_per_token) == (layers, growing, bytes_per_token)
    logged = 290_864
    assert 33.04 * 32_768 / logged == pytest.approx(3.72, abs=0.005)


def test_br33_fp8_cache_of_the_27b() -> None:
    """talos-argocd-proxmox#1995: 302,921 tokens in fp8 are 9.24 GiB, inside the pool of 9.98 GiB."""
    model = with_weights(load_model("qwen3.5-27b"), "fp8")
    assert 302_921 * model.kv_bytes_per_token / GIB == pytest.approx(9.24, abs=0.01)


def test_br35_hybrid_memory_is_a_constant_and_a_slope() -> None:
    """vllm#51041: bytes = a + b x tokens, so bytes over tokens at one length say little of another."""
    model = load_model("qwen3.5-27b")
    short, long = (float(memory.kv_bytes_of_sequence(model, tokens)) for tokens in (1_000.0, 100_000.0))
    slope = (long - short) / 99_000
    assert slope == pytest.approx(model.kv_bytes_per_token, rel=1e-12)
    assert short - 1_000 * slope == pytest.approx(model.state_bytes, rel=1e-9)
    # 48 layers keep 48 matrices of 128 x 128 in fp32 and three inputs of a convolution over 10,240 channels in bf16.
    assert model.state_bytes == 48 * (48 * 128 * 128 * 4 + 3 * 10_240 * 2)
    assert short / 1_000 > 3 * long / 100_000


def test_a_state_is_moved_each_step_and_does_not_grow() -> None:
    """A decode step reads and writes the states, and reads the cache of the full layers once."""
    model = load_model("qwen3.5-35b-a3b")
    at = [float(memory.kv_bytes_read_of_sequence(model, tokens)) for tokens in (0.0, 1_000.0)]
    assert at == [2 * model.state_bytes, 2 * model.state_bytes + 1_000 * model.kv_bytes_per_token]


def test_sparse_attention_stores_all_and_reads_its_best() -> None:
    """DeepSeek-V3.2 stores 576 numbers and 132 B of index a token and layer; a step reads 2,048 entries and the index.

    At 128k tokens it moves 61 x (2048 x 1152 + 131072 x 132) B, an eighth of what DeepSeek-V3 moves.
    """
    model, tokens = load_model("deepseek-v3.2"), 131_072.0
    assert float(memory.kv_bytes_of_sequence(model, tokens)) == 61 * tokens * (576 * 2 + 132)
    assert float(memory.kv_bytes_read_of_sequence(model, tokens)) == 61 * (2_048 * 576 * 2 + tokens * 132)
    assert float(memory.kv_bytes_read_of_sequence(DEEPSEEK, tokens)) == 61 * tokens * 576 * 2


def test_br41_blocks_of_deepseek_v4_pro() -> None:
    """vllm#42384: a shared expert of 3072 in blocks of 128 cuts 1, 2, 3, 4, 6, 8, 12 or 24 ways; TP16 pads to 1.33."""
    assert ways_by_blocks(3072, 128) == (1, 2, 3, 4, 6, 8, 12, 24)
    model = load_model("deepseek-v4-pro")
    assert tensor_parallel_problem(model, 8) is None
    assert "3072 / 16 = 192" in str(tensor_parallel_problem(model, 16))
    # 128 heads cut by powers of two only, so of the eight ways these are left.
    assert valid_tensor_parallel(model) == (1, 2, 4, 8)
    assert padded_work(3072, 16, 128) == pytest.approx(4 / 3)


def test_br43_blocks_of_step_flash() -> None:
    """sglang#26107: 1280 in blocks of 128 cuts 1, 2, 5 or 10 ways, not 4."""
    assert ways_by_blocks(1280, 128) == (1, 2, 5, 10)


def test_br45_blocks_of_qwen_35b() -> None:
    """vllm#52915: the shared expert of 512 of Qwen3.6-35B-A3B-FP8 cuts four ways, not eight."""
    model = model_of_name("Qwen/Qwen3.6-35B-A3B-FP8")
    assert model is not None
    assert ways_by_blocks(512, 128) == (1, 2, 4)
    assert valid_tensor_parallel(model) == (1, 2, 4)
    assert 8 in valid_tensor_parallel(load_model("qwen3.5-35b-a3b"))


def test_layouts_keep_blocks_whole() -> None:
    """The search offers no layout that cuts through a block."""
    instance = tiny(search__tensor_parallel=[1, 2, 4, 8], search__deployment_gpus=[8])
    model = with_weights(load_model("qwen3.5-35b-a3b"), "fp8")
    layouts = enumerate_layouts(model, instance.pools[0], instance.search)
    assert set(np.unique(layouts.tensor_parallel).tolist()) == {1, 2, 4}


def test_br47_expert_groups_of_their_own() -> None:
    """miles#1102: 64 GPUs as TP8 PP8 with EP8 ETP1 are valid, DP 1 and expert DP 1; with ETP8 they are not."""
    cut = {"tensor_parallel": 8, "pipeline_parallel": 8, "expert_parallel": 8}
    assert expert_data_parallel(64, expert_tensor_parallel=1, **cut) == (1, 1)
    with pytest.raises(ValueError, match="512"):
        expert_data_parallel(64, expert_tensor_parallel=8, **cut)
