"""Names of measured files and hubs lead to one model and one accelerator, or to none and the candidates."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.errors import InstanceError
from planner.instance import library
from planner.instance.aliases import (
    hardware_candidates,
    hardware_of_name,
    model_candidates,
    model_of_name,
    precision_of_name,
    with_weights,
)
from planner.instance.loading import load_accelerator, load_model

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
MEASURED = ("measured_serving.csv", "measured_serving_inferencex.csv")

MODELS = [
    ("deepseek-ai/DeepSeek-V3/R1", "deepseek-v3"),
    ("nvidia/DeepSeek-R1-0528-NVFP4", "deepseek-v3"),
    ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.1-70b"),
    ("meta-llama/Meta-Llama-3.1-405B-Instruct-FP8", "llama-3.1-405b"),
    ("moonshotai/Kimi-K2-Thinking", "kimi-k2.5"),
    ("moonshotai/Kimi-K2-Instruct-0905", "kimi-k2"),
    ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b"),
    ("zai-org/GLM-4.6-FP8", "glm-4.5"),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
    ("OPENAI/GPT-OSS-120B", "gpt-oss-120b"),
    ("nvidia/DeepSeek-R1-0528-FP4-v2", "deepseek-v3"),
    ("RedHatAI/Qwen3-32B-quantized.w4a16", "qwen3-32b"),
    ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3.1-70b"),
]

ACCELERATORS = [
    ("H200 SXM", "h200"),
    ("NVIDIA B200-SXM-180GB", "b200"),
    ("B200 192GB", "b200"),
    ("GB200 NVL72", "gb200_nvl72"),
    ("AMD Instinct MI300X 192GB HBM3", "mi300x"),
    ("MI355X", "mi355x"),
    ("H20-96G", "h20"),
    ("8 x H200 SXM", "h200"),
    ("4xMI355X", "mi355x"),
    ("H20-141G", "h20_141"),
    ("NVIDIA H100 80GB HBM3", "h100"),
    ("NVIDIA H100 PCIe", "h100_pcie"),
    ("NVIDIA A100-SXM4-40GB", "a100_40"),
    ("NVIDIA A100-SXM4-80GB", "a100_80"),
]


@pytest.mark.parametrize(("name", "expected"), MODELS)
def test_names_of_models(name: str, expected: str) -> None:
    """Organisation, case, date, tuning and precision at the end do not matter; the longest known spelling wins."""
    model = model_of_name(name)
    assert model is not None
    assert model.name == expected


@pytest.mark.parametrize(("name", "expected"), ACCELERATORS)
def test_names_of_accelerators(name: str, expected: str) -> None:
    """Vendor, form factor and a fitting memory size do not matter; another memory size is another product."""
    accelerator = hardware_of_name(name)
    assert accelerator is not None
    assert accelerator.name == expected


@pytest.mark.shared_data
@pytest.mark.skipif(not DATA.is_dir(), reason="measured files are not beside this checkout")
def test_every_measured_row_has_a_model_and_an_accelerator() -> None:
    """All names of both measured files resolve, but for one row that says DeepSeek-V4 without saying which."""
    rows = [row for name in MEASURED for row in csv.DictReader((DATA / name).read_text(encoding="utf-8").splitlines())]
    assert {row["model"] for row in rows if model_of_name(row["model"]) is None} == {"deepseek-ai/DeepSeek-V4"}
    assert {row["hardware"] for row in rows if hardware_of_name(row["hardware"]) is None} == set()


def test_an_ambiguous_name_finds_nothing_and_says_what_it_may_mean() -> None:
    """Two files claim DeepSeek-V4: neither is guessed."""
    assert model_of_name("deepseek-ai/DeepSeek-V4") is None
    assert model_candidates("deepseek-ai/DeepSeek-V4") == ("deepseek-v4-flash", "deepseek-v4-pro")


@pytest.mark.parametrize("name", ["", "/", "-FP8", "Qwen3", "Llama-70B", "DeepSeek-R1-Distill-Llama-70B", "💥" * 2000])
def test_no_guess_between_models(name: str) -> None:
    """A family, a distilled model of another shape, or nothing at all is no model."""
    assert model_of_name(name) is None
    assert len(model_candidates(name)) <= 5


@pytest.mark.parametrize("name", ["", "GPU", "V100", "H100 96GB", "80GB", "NVIDIA", "GB200 NVL36", "💥" * 2000])
def test_no_guess_between_accelerators(name: str) -> None:
    """An unknown chip, a memory size of another product, or a vendor alone is no accelerator."""
    assert hardware_of_name(name) is None
    assert len(hardware_candidates(name)) <= 5


def test_every_shipped_name_is_its_own() -> None:
    """No alias hides a file: each file's name leads to it."""
    assert [model_of_name(name).name for name in library.names("models")] == library.names("models")  # type: ignore[union-attr]
    assert [hardware_of_name(name).name for name in library.names("hardware")] == library.names("hardware")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "precision", "formats"),
    [
        ("deepseek-v3", "fp8", ("fp8", "fp8", "fp8", "fp8")),
        ("deepseek-v3", "", ("bf16", "bf16", "bf16", "bf16")),
        ("deepseek-v3", "nvfp4", ("bf16", "nvfp4", "nvfp4", "fp8")),
        ("deepseek-v3", "fp4", ("bf16", "nvfp4", "nvfp4", "fp8")),
        ("deepseek-v3", "fp8 MoE, bf16 attn", ("bf16", "fp8", "fp8", "fp8")),
        ("deepseek-v3", "nvfp4 MoE, fp8 attn", ("fp8", "nvfp4", "nvfp4", "fp8")),
        ("deepseek-v3", "nvfp4, kv bf16", ("bf16", "nvfp4", "nvfp4", "bf16")),
        ("gpt-oss-120b", "fp4", ("bf16", "bf16", "mxfp4", "fp8")),
        ("kimi-k2.5", "int4", ("bf16", "bf16", "int4_g32", "bf16")),
        ("llama-3.1-70b", "fp4", ("nvfp4", "nvfp4", "nvfp4", "fp8")),
    ],
)
def test_precisions_of_benchmark_tables(name: str, precision: str, formats: tuple[str, ...]) -> None:
    """Attention stays wide in four-bit MoE checkpoints, the head in bf16; KV takes a byte with fp8 and fp4 weights."""
    model = with_weights(load_model(name), precision)
    weights = model.weights
    assert (weights.attention, weights.dense_ffn, weights.routed_experts, model.kv_format) == formats
    assert weights.embeddings == "bf16"


def test_an_unknown_precision_is_refused() -> None:
    """The message lists what is known."""
    with pytest.raises(InstanceError, match="fp8"):
        with_weights(load_model("deepseek-v3"), "ternary")


def test_precision_of_a_name() -> None:
    """The precision that ends a hub name, wherever other endings stand; none where the name says nothing."""
    assert precision_of_name("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic") == "fp8"
    assert precision_of_name("nvidia/DeepSeek-R1-NVFP4") == "nvfp4"
    assert precision_of_name("Qwen/Qwen3-32B") is None


def test_other_spellings_wherever_a_model_or_accelerator_is_named() -> None:
    """Files and flags take hub names too: the shape of the shipped file, in the precision of the name."""
    assert load_model("meta-llama/Llama-3.3-70B-Instruct") == load_model("llama-3.1-70b")
    assert load_model("Qwen/Qwen3-32B-FP8") == with_weights(load_model("qwen3-32b"), "fp8")
    assert load_accelerator("NVIDIA H100 80GB HBM3") == load_accelerator("h100")
    with pytest.raises(InstanceError, match="no such file in models"):
        load_model("deepseek-ai/DeepSeek-V4")
