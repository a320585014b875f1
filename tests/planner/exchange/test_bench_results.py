"""Claims about benchmark tools' results: units, measured lengths, Little's law, and runs that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.errors import InstanceError
from planner.exchange.bench_results.reading import Deployment, is_bench_result, measured_of, read_bench_result
from planner.exchange.measured.row import Shape
from planner.instance.loading import load_accelerator, load_model

if TYPE_CHECKING:
    from planner.exchange.bench_results.point import BenchPoint

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "real_inputs" / "bench_results"
needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason="benchmark results are not beside this checkout")


def _one(start: str) -> BenchPoint:
    (path,) = [path for path in FOLDER.iterdir() if path.name.startswith(start)]
    return read_bench_result(path)[0]


@needs_data
@pytest.mark.shared_data
def test_vllm_json_keeps_measured_lengths_and_little_holds() -> None:
    """10 requests a second offered, 8.3 served, 270 tokens got of 500 asked, 30.9 in flight (SOURCES.md)."""
    point = _one("vllm_bench_serve_llama3.2-3b_4xL40S_10qps")
    assert point.in_flight == pytest.approx(30.9, abs=0.05)
    assert point.output_tokens == pytest.approx(81050 / 300)
    assert (point.gpus, point.hardware) == (4, "NVIDIA L40S")
    assert any("270.2 output tokens measured, 500 asked" in note for note in point.notes)
    assert any("8.33 of 10 requests a second served" in note for note in point.notes)


@needs_data
@pytest.mark.shared_data
def test_inferencex_keys_without_unit_are_seconds() -> None:
    """TPOT 0.141 is 141 ms, and 0.745 requests a second of 21.4 s are the 16 in flight that the run was capped at."""
    point = _one("inferencex_glm5")
    assert point.tpot_s == pytest.approx(0.14105, rel=1e-4)
    assert point.in_flight == pytest.approx(16.0, abs=0.05)


@needs_data
@pytest.mark.shared_data
def test_sglang_lines_without_throughput_and_tpot() -> None:
    """Old lines have no request rate and no TPOT: both follow from counts, duration and end-to-end time."""
    points = read_bench_result(FOLDER / "sglang_bench_h200_llama_405b_online_output.jsonl")
    assert len(points) == 6
    first = points[0]
    assert first.requests_per_s == pytest.approx(300 / 317.5468, rel=1e-4)
    assert first.tpot_s == pytest.approx((24.3708 - 0.2188) / (160347 / 300 - 1), rel=1e-4)
    assert "TPOT from the end-to-end time less TTFT" in first.notes


@needs_data
@pytest.mark.shared_data
def test_consoles_whole_and_cut() -> None:
    """A block cut off in its last section still has rate, lengths and TTFT; Little gives the stated 27.69 in flight."""
    cut = _one("sglang_bench_serving_console_kimi")
    assert cut.in_flight == pytest.approx(27.69, rel=0.01)
    assert cut.ttft_s == pytest.approx(0.85141)
    whole = _one("vllm_bench_serve_console")
    assert (whole.tpot_s, whole.offered_per_s, whole.requests_per_s) == pytest.approx((0.13101, 1.0, 0.76))


@needs_data
@pytest.mark.shared_data
def test_zero_tpot_and_a_rate_above_the_offered_one_are_refused_together() -> None:
    """TPOT zero and 3.77 requests a second of 2 offered: both are said, the run is refused."""
    with pytest.raises(InstanceError) as caught:
        _one("sglang_bench_serving_console_tpot_zero")
    assert [problem.key for problem in caught.value.problems] == ["TPOT", "request rate"]


@needs_data
@pytest.mark.shared_data
def test_trtllm_bench_reports() -> None:
    """274.7 tokens a second per user are 34.3 per GPU on 8 GPUs (BR67); an issue rate of 1.4E+17 is all at once."""
    fast = _one("trtllm_bench_deepseek_r1")
    assert (fast.gpus, fast.in_flight) == (8, pytest.approx(1.0, abs=0.01))
    assert (fast.input_tokens, fast.output_tokens) == pytest.approx((1024, 2048), rel=0.02)
    world = _one("trtllm_bench_multimodal")
    assert world.offered_per_s == float("inf")
    assert (world.tensor_parallel, world.expert_parallel) == (1, None)
    assert (world.input_tokens, world.output_tokens) == (411.6, 128.7)


@needs_data
@pytest.mark.shared_data
def test_aiperf_counts_generated_tokens() -> None:
    """BR71: every request stopped early; the length is the 543.6 tokens generated, not the 2,048 asked for."""
    point = _one("aiperf_profile_export")
    assert point.output_tokens == pytest.approx(543.61)
    assert point.asked_output_tokens == pytest.approx(2048, rel=0.001)
    assert point.tpot_s == pytest.approx(0.01185)


def _vllm(path: Path, **changes: object) -> Path:
    report: dict[str, object] = {
        "backend": "vllm", "model_id": "deepseek-ai/DeepSeek-R1", "duration": 60.0, "completed": 320,
        "total_input_tokens": 320 * 1024, "total_output_tokens": 320 * 1024, "request_throughput": 320 / 60,
        "output_throughput": 320 * 1024 / 60, "request_rate": "inf", "max_concurrency": 64,
        "mean_ttft_ms": 300.0, "mean_tpot_ms": 11.4, "median_ttft_ms": 280.0, "median_tpot_ms": 11.2,
    }  # fmt: skip
    path.write_text(json.dumps(report | changes))
    return path


def test_a_run_faster_than_any_hardware_is_refused(tmp_path: Path) -> None:
    """BR73: TPOT 0.0106 ms for R1 would need 3.5e15 B/s: a mock server."""
    with pytest.raises(InstanceError, match=r"3\.[345]e\+15 B/s"):
        read_bench_result(_vllm(tmp_path / "mock.json", mean_tpot_ms=0.0106, mean_ttft_ms=5.0))


def test_an_unstreamed_run_loses_its_ttft(tmp_path: Path) -> None:
    """BR65: 30 s to the first token of 32.08 s is the whole answer at once: no TTFT, no TPOT, throughput stays."""
    path = _vllm(tmp_path / "r.json", mean_ttft_ms=30_000.0, mean_tpot_ms=2080 / 1023)
    (point,) = read_bench_result(path)
    assert point.ttft_s != point.ttft_s
    assert point.tpot_s != point.tpot_s
    assert point.output_tok_s == pytest.approx(320 * 1024 / 60)


def test_median_latency_fits_the_offered_load(tmp_path: Path) -> None:
    """BR69: offered 4, 8 and 16 requests a second; served 8.35 of 16 is said, and lengths are 510 of 1024 asked."""
    runs = ((4, 297.0, 12_900.0, 19.4), (8, 346.8, 52_100.0, 70.8), (16, 574.8, 120_000.0, 179.0))
    lines = [
        {
            "backend": "sglang", "dataset_name": "random", "request_rate": offered, "duration": duration,
            "completed": offered * 300, "total_input_tokens": offered * 300 * 510,
            "total_output_tokens": offered * 300 * 510, "mean_e2e_latency_ms": e2e, "median_ttft_ms": 200.0,
            "median_itl_ms": itl, "random_output_len": 1024, "output_throughput": offered * 300 * 510 / duration,
        }
        for offered, duration, e2e, itl in runs
    ]  # fmt: skip
    path = tmp_path / "h200.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    points = read_bench_result(path)
    assert [round(point.requests_per_s, 2) for point in points] == [4.04, 6.92, 8.35]
    assert points[0].tpot_s == pytest.approx(0.0253, rel=0.02)  # mean TPOT from E2E, where the median ITL is 19.4 ms
    assert all(any("510.0 output tokens measured, 1024 asked" in note for note in point.notes) for point in points)


def test_a_result_becomes_rows_of_its_deployment(tmp_path: Path) -> None:
    """Sixty-four requests in flight on eight GPUs: throughput is per GPU, and lengths are those measured."""
    deployment = Deployment(load_model("deepseek-v3"), load_accelerator("h200"), "vllm", Shape(1, 8, 1, 1, 1), "fp8")
    path = _vllm(tmp_path / "r.json")
    assert is_bench_result(path)
    measured = measured_of(read_bench_result(path), deployment, str(path))
    (row,) = measured.rows
    assert row.tok_s_per_gpu == pytest.approx(320 * 1024 / 60 / 8)
    assert row.concurrency == pytest.approx(320 / 60 * (0.3 + 0.0114 * 1023), rel=1e-6)


@pytest.mark.parametrize("text", ["", "hello", "{}", "[]", "[1, 2]", '{"duration": 1}', "\x00\x01", "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    """What no tool wrote is refused with the list of what can be read; nothing ends in a traceback."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InstanceError):
        read_bench_result(path)
