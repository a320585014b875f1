"""Claims about reading measured serving rows: right rows are kept, wrong ones are counted under what is wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.errors import InstanceError
from planner.exchange.measured.parse import engine_of
from planner.exchange.measured.plausible import active_bytes
from planner.exchange.measured_serving import read_measured_serving

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
SERVING = DATA / "measured_serving_inferencex.csv"
needs_data = pytest.mark.skipif(not SERVING.is_file(), reason="measured files are not beside this checkout")

COLUMNS = (
    *("id", "model", "hardware", "gpus", "phase", "precision", "engine", "engine_version", "mode", "parallelism"),
    *("tp", "pp", "attn_dp", "moe_tp", "ep", "batch_or_concurrency", "batch_scope", "isl", "osl"),
    *("out_tok_s_per_gpu", "ttft_ms", "tpot_ms", "notes", "date", "source"),
)
# IX00729-like: 16 requests of 1024/1024 on 8 H200: 16 * 1024 / (0.5 + 0.014 * 1023) / 8 = 138.2 tok/s/GPU
RIGHT = {
    "id": "R1", "model": "deepseek-ai/DeepSeek-R1", "hardware": "H200 SXM", "gpus": "8", "phase": "agg",
    "precision": "fp8", "engine": "sglang", "engine_version": "0.5.5", "mode": "agg", "tp": "8", "pp": "1",
    "attn_dp": "1", "moe_tp": "8", "ep": "1", "batch_or_concurrency": "16", "batch_scope": "total concurrency",
    "isl": "2048", "osl": "1024", "out_tok_s_per_gpu": "138.2", "ttft_ms": "500", "tpot_ms": "14", "date": "2026-01-01",
}  # fmt: skip


def _file(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_right_row_is_read_in_seconds_and_with_its_shape(tmp_path: Path) -> None:
    """A plain row keeps its numbers: seconds, the fp8 model, eight GPUs cut eight ways."""
    measured = read_measured_serving(_file(tmp_path, RIGHT))
    (row,) = measured.rows
    assert not measured.skipped
    assert (row.ttft_s, row.tpot_s) == pytest.approx((0.5, 0.014))
    assert row.model.weights.routed_experts == "fp8"
    assert (row.shape.tensor, row.shape.data, row.shape.expert, row.gpus) == (8, 1, 1, 8)
    points = measured.points
    assert points.gpus.tolist() == [8]
    assert points.workers.expert_shards.tolist() == [8.0]
    assert points.context_tokens.tolist() == [2048 + 512]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tpot_ms": "0.014"}, "tpot_ms looks like seconds"),
        ({"tpot_ms": "0.014", "ttft_ms": "0.5"}, "ttft_ms and tpot_ms look like seconds"),
        ({"ttft_ms": "0.5"}, "ttft_ms looks like seconds"),
        ({"tpot_ms": "14000", "ttft_ms": "500000"}, "ttft_ms and tpot_ms look like microseconds"),
        ({"ttft_ms": "14", "tpot_ms": "500"}, "ttft_ms and tpot_ms look swapped"),
        (
            {"isl": "1024", "osl": "2048", "ttft_ms": "1500", "out_tok_s_per_gpu": "129.4"},
            "isl and osl look swapped: throughput fits the other way round",
        ),
        (
            {"source": "dsr1_h200_sglang_fp8_agg_1024x2048_c16_cfg1"},
            "isl and osl differ from the lengths in the source's own name",
        ),
        ({"out_tok_s_per_gpu": "1105.6"}, "throughput contradicts concurrency and latency"),
        ({"tpot_ms": "nan"}, "tpot_ms is NaN or infinite"),
        ({"ttft_ms": "-3"}, "ttft_ms is negative"),
        ({"tpot_ms": "0"}, "tpot_ms is zero"),
        ({"isl": "many"}, "isl is not a number"),
        ({"tp": "7.5"}, "tp is not a whole number"),
        ({"tp": "3"}, "GPU count against tensor, data and pipeline widths"),
        ({"ep": "16"}, "ep is wider than tp x dp"),
        ({"precision": "fp3"}, "unknown precision fp3"),
        ({"batch_or_concurrency": ""}, "concurrency not stated"),
        ({"batch_scope": "per rack"}, "scope of concurrency 'per rack' is unknown"),
        ({"ttft_ms": "", "tpot_ms": "", "out_tok_s_per_gpu": ""}, "no latency and no throughput"),
        (
            {"ttft_ms": "500", "tpot_ms": "0.8", "out_tok_s_per_gpu": ""},
            "impossible: TPOT faster than the accelerator can read the weights",
        ),
        (
            {"ttft_ms": "30000", "tpot_ms": "5", "osl": "100", "out_tok_s_per_gpu": ""},
            "not streamed: TTFT is the whole latency",
        ),
    ],
)
def test_a_wrong_row_is_counted_under_what_is_wrong(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    """One change to a right row is named; the right row beside it is kept. The last case is BR65's 30 s of 32 s."""
    measured = read_measured_serving(_file(tmp_path, RIGHT, RIGHT | {"id": "R2"} | change))
    assert measured.skipped == {reason: ["R2"]}
    assert [row.identity for row in measured.rows] == ["R1"]


def test_unknown_names_are_counted_with_what_to_add(tmp_path: Path) -> None:
    """A row of a model or accelerator that nobody described is left out and says which file to add."""
    rows = [RIGHT | {"id": "A", "model": "acme/Unheard-9B"}, RIGHT | {"id": "B", "hardware": "Quux 9000"}]
    reasons = read_measured_serving(_file(tmp_path, *rows)).skipped
    assert any(reason.startswith("unknown model acme/Unheard-9B: add instances/models/...") for reason in reasons)
    assert any(reason.startswith("unknown hardware Quux 9000: add instances/hardware/...") for reason in reasons)


def test_the_same_identity_twice_is_counted(tmp_path: Path) -> None:
    """A row whose id was read before is left out, not read twice."""
    assert read_measured_serving(_file(tmp_path, RIGHT, RIGHT)).skipped == {"id occurs twice": ["R1"]}


def test_two_pools_and_their_gpus(tmp_path: Path) -> None:
    """1 x 4 GPUs of prefill and 4 x 8 of decode are 36 GPUs; other counts contradict, question marks are not counts."""
    text = "prefill: 1x(tp1 dp4 etp1 ep4); decode: 4x(tp8 dp1 etp1 ep8)"
    pools = RIGHT | {"mode": "disagg", "phase": "cluster", "gpus": "36", "parallelism": text, "out_tok_s_per_gpu": ""}
    rows = [pools, pools | {"id": "R2", "gpus": "40"}, pools | {"id": "R3", "parallelism": text.replace("4x", "?x")}]
    measured = read_measured_serving(_file(tmp_path, *rows))
    (row,) = measured.rows
    assert (row.shape.count, row.shape.expert, row.prefill_shape.data) == (4, 8, 4)
    assert measured.points.gpus.tolist() == [36]
    assert measured.skipped == {"GPU count against workers": ["R2"], "worker counts not stated": ["R3"]}


def test_an_isolated_wide_pool_reads_its_scope(tmp_path: Path) -> None:
    """256 sequences per GPU on 72 GPUs are 18,432; EP72 with attention data parallelism is 72 ranks of one GPU."""
    wide = RIGHT | {
        "phase": "decode", "mode": "disagg", "gpus": "72", "tp": "", "pp": "", "attn_dp": "72", "ep": "72",
        "moe_tp": "", "batch_or_concurrency": "256", "batch_scope": "per GPU", "isl": "2000", "osl": "",
        "ttft_ms": "", "tpot_ms": "91.9", "out_tok_s_per_gpu": "2785.2",
    }  # fmt: skip
    (row,) = read_measured_serving(_file(tmp_path, wide)).rows
    assert row.concurrency == 256 * 72
    assert (row.shape.tensor, row.shape.data, row.shape.expert) == (1, 72, 72)


def test_files_that_are_no_tables_are_refused_whole(tmp_path: Path) -> None:
    """Missing columns are named all at once; binary, empty and missing files are refused."""
    with pytest.raises(InstanceError) as caught:
        read_measured_serving(_file(tmp_path, RIGHT, columns=("id", "model", "isl")))
    assert {"hardware", "engine", "batch_or_concurrency", "osl"} <= {entry.key for entry in caught.value.problems}
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 50)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text(",".join(COLUMNS) + "\n")
    for name in ("binary.csv", "empty.csv", "header.csv", "missing.csv"):
        with pytest.raises(InstanceError):
            read_measured_serving(tmp_path / name)


def test_active_bytes_of_a_known_model(tmp_path: Path) -> None:
    """DeepSeek-V3 in fp8 reads 36.6 GB of active weights a token, less its output head of 0.93 GB (its README)."""
    (row,) = read_measured_serving(_file(tmp_path, RIGHT)).rows
    assert active_bytes(row.model) == pytest.approx(36.6e9 - 0.93e9, rel=0.01)


@needs_data
@pytest.mark.shared_data
def test_the_shared_file_is_read_or_counted_whole() -> None:
    """Every one of the 3,677 rows is kept or counted once; no measured row is taken for impossible or mislabelled."""
    measured = read_measured_serving(SERVING)
    assert len(measured) + sum(len(ids) for ids in measured.skipped.values()) == 3677
    assert set(measured.skipped) == {"worker counts not stated", "total_out_tok_s is NaN or infinite"}
    assert len(measured.skipped["worker counts not stated"]) == 734
    assert measured.notes["precision not stated: taken as bf16"] == 267


@pytest.mark.parametrize(
    ("label", "engine"),
    [
        ("SGLang 0.5.2", "sglang"),
        ("TensorRT-LLM", "trtllm"),
        ("TRT LLM 1.0", "trtllm"),
        ("dynamo-trt", "trtllm"),
        ("NVIDIA Dynamo (vLLM)", "vllm"),
        ("vLLM 0.6.5.dev964+mlperf50", "vllm"),
        ("ATOM", "other"),
        ("lmdeploy", "other"),
        ("", "other"),
    ],
)
def test_engines_are_known_by_every_spelling(label: str, engine: str) -> None:
    """Labels of benchmark tables, with versions and front ends, name the engine that ran; others are one engine."""
    assert engine_of(label) == engine
