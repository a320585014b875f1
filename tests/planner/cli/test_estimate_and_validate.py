"""`planner estimate`, `planner validate serving` and `planner calibrate` as a person or a script meets them."""

from __future__ import annotations

import csv
import json
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from planner.cli.app import app

if TYPE_CHECKING:
    from typer.testing import Result

POINT = "--model deepseek-v3 --hardware h200 --engine sglang --tp 8 --isl 4096 --osl 1024"
BENCH = Path(__file__).resolve().parents[4] / "shared" / "data" / "real_inputs" / "bench_results"


def run(command: str, *more: str) -> Result:
    """Run `planner` with these words."""
    return CliRunner().invoke(app, [*command.split(), *more])


def _table(path: Path, rows: int = 12, **changes: str) -> Path:
    """Rows of two groups whose throughput follows from their latencies by Little's law."""
    columns = (
        *("id", "model", "hardware", "gpus", "phase", "precision", "engine", "engine_version", "mode"),
        *("tp", "pp", "attn_dp", "moe_tp", "ep", "batch_or_concurrency", "batch_scope", "isl", "osl"),
        *("out_tok_s_per_gpu", "ttft_ms", "tpot_ms", "date", "source"),
    )
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        for place in range(rows):
            load, ttft, tpot = 4 * 2 ** (place % 6), 200 + 20 * place, 10 + 1.5 * place
            rate = load * 1024 / (ttft + tpot * 1023) * 1e3 / 8
            writer.writerow(
                {
                    "id": f"T{place}", "model": "deepseek-ai/DeepSeek-R1", "hardware": "H200 SXM", "gpus": "8",
                    "phase": "agg", "precision": "fp8", "engine": "vllm" if place % 2 else "sglang", "mode": "agg",
                    "tp": "8", "pp": "1", "attn_dp": "1", "moe_tp": "8", "ep": "1", "batch_or_concurrency": str(load),
                    "batch_scope": "total concurrency", "isl": "1024", "osl": "1024", "date": "2026-01-01",
                    "out_tok_s_per_gpu": f"{rate:.2f}", "ttft_ms": str(ttft), "tpot_ms": str(tpot),
                }
                | (changes if place == 0 else {})
            )  # fmt: skip
    return path


def test_estimate_says_every_term_and_they_add_up() -> None:
    """The contract's keys; the terms are seconds per output token and add up to TPOT; 84 GB of weights a GPU (BR20)."""
    result = run(f"estimate {POINT} --concurrency 64 --precision fp8 --format json --quiet")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {"ttft_s", "tpot_s", "tok_s_per_gpu", "terms", "bands", "memory"} <= set(answer)
    assert sum(answer["terms"].values()) == pytest.approx(answer["tpot_s"])
    assert answer["memory"]["weight_bytes_per_gpu"] == pytest.approx(84e9, rel=0.01)
    assert answer["memory"]["fits"] is True


def test_batch_is_per_attention_rank() -> None:
    """Eight sequences on each of eight attention ranks are 64 requests in flight."""
    both = [
        json.loads(run(f"estimate {POINT.replace('--tp 8', '--dp 8')} {load} --format json").stdout)
        for load in ("--batch 8", "--concurrency 64")
    ]
    assert both[0]["tpot_s"] == both[1]["tpot_s"]
    assert both[0]["expert_parallel"] == 8


def test_estimate_tells_when_requests_do_not_fit() -> None:
    """Ten thousand requests of 5,120 tokens are 3.6 TB of latent cache on every GPU: said, not refused."""
    answer = json.loads(run(f"estimate {POINT} --concurrency 10000 --format json").stdout)
    assert answer["memory"]["fits"] is False
    assert 0 < answer["memory"]["sequences_that_fit"] < 10_000
    assert "requests fit, the rest waits" in run(f"estimate {POINT} --concurrency 10000").stdout


def test_estimate_names_everything_that_is_wrong_at_once() -> None:
    """A width that does not divide, no load and an unknown accelerator come in one message with exit code 2."""
    result = run("estimate --model deepseek-v3 --hardware quux --tp 7 --isl 0 --osl 5")
    assert result.exit_code == 2
    for word in ("--tp", "--isl", "--batch", "quux"):
        assert word in result.output


def test_estimate_is_quick() -> None:
    """One point takes less than a second of CPU once the program is loaded."""
    start = time.process_time()
    assert run(f"estimate {POINT} --concurrency 64 --format json").exit_code == 0
    assert time.process_time() - start < 1.0


def test_validate_scores_every_cleaned_row(tmp_path: Path) -> None:
    """Twelve rows, one with TPOT in seconds: eleven are scored in two groups, none unanswered, the twelfth counted."""
    path = _table(tmp_path / "rows.csv", tpot_ms="0.01")
    result = run("validate serving", str(path), "--format", "json", "--quiet")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["rows"] == 11
    assert answer["skipped"] == {"tpot_ms looks like seconds": 1}
    assert answer["unanswered"] == 0
    assert [entry["n"] for entry in answer["groups"]] == [5, 6]
    assert {"group", "n", "mape_tpot", "mape_ttft", "mape_throughput"} <= set(answer["groups"][0])
    assert answer["overall"]["n"] == 11
    assert set(answer["baselines"]) == {"hand_values", "prototype_form"}


def test_validate_by_engine_and_beside_another_planner(tmp_path: Path) -> None:
    """A perfect other planner has error 0 on the rows that it answered, and only these are compared."""
    path = _table(tmp_path / "rows.csv")
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    other = tmp_path / "other.csv"
    lines = [f"{row['id']},answered,{row['ttft_ms']},{row['tpot_ms']}" for row in rows[:5]]
    other.write_text("\n".join(["id,status,ttft_ms,tpot_ms", *lines, "T7,refused,,"]) + "\n")
    arguments = ("--by", "engine", "--predictions", str(other), "--format", "json", "--quiet")
    answer = json.loads(run("validate serving", str(path), *arguments).stdout)
    assert [entry["group"] for entry in answer["groups"]] == ["sglang", "vllm"]
    beside = answer["answered_by_other"]["all"]
    assert beside["other"]["n"] == 5
    assert beside["other"]["mape_tpot"] == pytest.approx(0.0, abs=1e-9)
    assert beside["other"]["mape_throughput"] == pytest.approx(0.0, abs=1e-6)
    text = run("validate serving", str(path), "--quiet").stdout
    assert "12 rows" in text
    assert "beside the baselines" in text


def test_validate_of_nothing_useful(tmp_path: Path) -> None:
    """A table whose every row is unclear still gets an answer with the reasons; no table at all is bad input."""
    path = _table(tmp_path / "rows.csv", rows=1, model="acme/Unheard-9B")
    answer = json.loads(run("validate serving", str(path), "--format", "json", "--quiet").stdout)
    assert answer["rows"] == 0
    assert sum(answer["skipped"].values()) == 1
    assert "No row is left to score" in run("validate serving", str(path), "--quiet").stdout
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert run("validate serving", str(tmp_path / "other.csv")).exit_code == 2
    assert run("validate serving", str(tmp_path / "missing.csv")).exit_code == 2


def test_calibrate_writes_a_profile_that_the_others_read(tmp_path: Path) -> None:
    """The fit is nearer to its rows than its start, and its file is a profile with bands for `planner estimate`."""
    path, out = _table(tmp_path / "rows.csv"), tmp_path / "mine.toml"
    result = run("calibrate", str(path), "--out", str(out), "--by", "engine", "--format", "json", "--quiet")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert {"fitted", "left_out_error", "skipped", "rows", "path"} <= set(answer)
    assert tomllib.loads(out.read_text())["name"] == "mine"
    estimate = json.loads(run(f"estimate {POINT} --concurrency 64 --profile {out} --format json").stdout)
    low, high = estimate["bands"]["tpot_s"]
    assert 0 < low < high


def test_three_points_of_a_site_move_its_estimate(tmp_path: Path) -> None:
    """Points that are slower than predicted raise the estimate of their own group only."""
    slow = _table(tmp_path / "rows.csv")
    out = tmp_path / "site.toml"
    result = run("calibrate", str(slow), "--site", "--out", str(out), "--format", "json", "--quiet")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert set(answer["fitted"]) == {"deepseek-v3 h200 sglang fp8", "deepseek-v3 h200 vllm fp8"}
    factor = answer["fitted"]["deepseek-v3 h200 sglang fp8"]["tpot_factor"]

    def tpot_s(engine: str, *more: str) -> float:
        words = f"estimate {POINT} --concurrency 64 --precision fp8 --format json".replace("sglang", engine)
        document: dict[str, Any] = json.loads(run(words, *more).stdout)
        return float(document["tpot_s"])

    assert tpot_s("sglang", "--profile", str(out)) == pytest.approx(factor * tpot_s("sglang"))
    assert tpot_s("trtllm", "--profile", str(out)) == tpot_s("trtllm")
    assert answer["left_out_error"]["mape_tpot"] > 0


def test_two_points_are_too_few(tmp_path: Path) -> None:
    """A correction needs three points of one deployment; fewer are bad input, and nothing is written."""
    out = tmp_path / "site.toml"
    result = run("calibrate", str(_table(tmp_path / "rows.csv", rows=4)), "--site", "--out", str(out))
    assert result.exit_code == 2
    assert "give 3 or more" in result.output
    assert not out.exists()


@pytest.mark.shared_data
@pytest.mark.skipif(not BENCH.is_dir(), reason="benchmark results are not beside this checkout")
def test_a_benchmark_tool_s_own_result_corrects_a_profile(tmp_path: Path) -> None:
    """Six SGLang runs of Llama-405B on eight H200 become one correction; without a model they are refused."""
    path, out = BENCH / "sglang_bench_h200_llama_405b_online_output.jsonl", tmp_path / "ours.toml"
    words = "--site --model llama-3.1-405b --hardware h200 --engine sglang --tp 8 --precision fp8 --format json --quiet"
    result = run("calibrate", str(path), "--out", str(out), *words.split())
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["fitted"]["llama-3.1-405b h200 sglang fp8"]["points"] == 6
    refused = run("calibrate", str(path), "--out", str(out), "--site")
    assert refused.exit_code == 2
    assert "--model" in refused.output


def test_outputs_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    """A name that is no .toml and a folder that cannot be made are bad input before any fit."""
    path = _table(tmp_path / "rows.csv")
    assert run("calibrate", str(path), "--out", str(tmp_path / "profile.txt")).exit_code == 2
    (tmp_path / "file").write_text("")
    assert run("calibrate", str(path), "--out", str(tmp_path / "file" / "p.toml")).exit_code == 2
