"""Claims about plans under a profile that a site's own points have corrected, and about first tokens by engine."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING

import pytest

from planner.errors import InstanceError
from planner.instance.loading_case import load_case
from planner.instance.overrides import parse_assignments
from planner.instance.resolve import load_calibration
from planner.judge.timing import Bench, first_token_s
from planner.plan import Deployment
from planner.studies.api import open_serving_case, solve_case
from planner.studies.estimate import estimate
from planner.studies.estimate_question import EstimateQuestion
from planner.studies.measured_site import with_measured

if TYPE_CHECKING:
    from pathlib import Path

    from planner.instance.instance import Instance

CASE = "tiny_mixtral_island"
SLOWER, LATER = 1.3, 1.5


def _case(*changes: str) -> Instance:
    return open_serving_case(CASE, ("calibration=fitted", *changes))


def _measured(folder: Path, loads: tuple[int, ...] = (4, 8, 16, 32), engine: str = "vLLM 0.11") -> Path:
    """Rows that are slower than the shipped profile says by one factor for TPOT and one for TTFT."""
    path = folder / "mine.csv"
    rows = []
    for load in loads:
        question = EstimateQuestion(
            "mixtral-8x7b", "h100", "vllm", 1024, 256, tensor_parallel=4, concurrency=load, precision="bf16"
        )
        answer = estimate(question)
        rows.append(
            {
                "id": f"u{load}",
                "model": "mistralai/Mixtral-8x7B-Instruct-v0.1",
                "hardware": "H100 SXM",
                "engine": engine,
                "precision": "bf16",
                "tp": 4,
                "batch_or_concurrency": load,
                "isl": 1024,
                "osl": 256,
                "ttft_ms": 1e3 * LATER * answer["ttft_s"],
                "tpot_ms": 1e3 * SLOWER * answer["tpot_s"],
            }
        )
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_own_points_slow_the_plan_by_their_shrunken_factor(tmp_path: Path) -> None:
    """Four points with a spread inside of .14 and between sites of .19 weigh 4 / (4 + (.14/.19)^2) = .88."""
    plain = _case("engine=vllm")
    planned, told = with_measured(_case(), _measured(tmp_path))
    weight, weight_first = 4 / (4 + (0.14 / 0.19) ** 2), 4 / (4 + (0.25 / 0.28) ** 2)
    assert planned.calibration.chips["h100"] / plain.calibration.chips["h100"] == pytest.approx(SLOWER**weight)
    assert planned.calibration.ttft_chips == pytest.approx({"h100": LATER**weight_first})
    assert told["engine"] == "vllm"
    assert told["left_out_error"]["mape_tpot"] < told["left_out_error"]["mape_tpot_before"]
    assert told["left_out_error"]["mape_tpot_before"] == pytest.approx(100 * (1 - 1 / SLOWER))


def test_a_corrected_plan_is_judged_as_it_was_planned(tmp_path: Path) -> None:
    """The judge composes the factors by itself and agrees to 1e-9, and bands stand round what it says."""
    planned, _ = with_measured(_case(), _measured(tmp_path))
    payload = solve_case(planned).payload
    assert payload["evaluator_relative_difference"] <= 1e-9
    bands = planned.calibration.bands
    assert bands is not None
    for entry in payload["decisions"]["deployments"]:
        for name, seconds in entry["tpot_s"].items():
            assert entry["tpot_band_s"][name] == pytest.approx([bands.tpot.low * seconds, bands.tpot.high * seconds])


def test_a_profile_without_bands_says_so() -> None:
    """Hand values were scored by nobody: null instead of a range."""
    payload = solve_case(open_serving_case(CASE)).payload
    assert [entry["tpot_band_s"] for entry in payload["decisions"]["deployments"]] == [None] * len(
        payload["decisions"]["deployments"]
    )


@pytest.mark.parametrize(
    ("changes", "loads", "engine", "says"),
    [
        (("engine=sglang",), (4, 8, 16, 32), "vLLM 0.11", "no row of mixtral-8x7b in its formats on h100 by sglang"),
        ((), (4, 8), "vLLM 0.11", "2 points with a TPOT"),
        (("model=deepseek-v3", "pools.h100.hardware=h200"), (4, 8, 16), "vLLM 0.11", "no row of deepseek-v3"),
    ],
)
def test_rows_about_something_else_are_refused(
    tmp_path: Path, changes: tuple[str, ...], loads: tuple[int, ...], engine: str, says: str
) -> None:
    """Another engine, another model, or too few points: said, not ignored."""
    with pytest.raises(InstanceError) as refusal:
        with_measured(_case(*changes), _measured(tmp_path, loads, engine))
    assert says in str(refusal.value)


@pytest.mark.parametrize("engine", ["sglang", "vllm", "trtllm", None])
def test_a_plan_waits_for_a_first_token_as_estimate_does(engine: str | None) -> None:
    """DeepSeek-V3's 61 latent layers count twice; the engine's factor is the profile's."""
    changes = ["calibration=fitted", "model=deepseek-v3", "pools.h100.hardware=h200"]
    if engine:
        changes.append(f"engine={engine}")
    instance = load_case(CASE, parse_assignments(changes))
    deployment = Deployment(
        name="one", pool="h100", phase="both", replicas=1, tensor_parallel=8, data_parallel=1, pipeline_parallel=1,
        expert_parallel=1, slots_per_gpu=256, decode_batch=8, prefill_requests=1, requests_per_s={},
    )  # fmt: skip
    bench = Bench(instance, instance.pools[0], deployment, [1.0])  # type: ignore[union-attr, arg-type]
    question = EstimateQuestion(
        "deepseek-v3", "h200", engine or "other", 1024, 256, tensor_parallel=8, concurrency=8, precision="fp8"
    )
    told = estimate(question)["ttft_terms"]["engine"]
    assert math.isclose(first_token_s(bench), told, rel_tol=1e-9)
    first = load_calibration("fitted").first_token
    assert first is not None
    by_hand = (getattr(first, engine) if engine else 1.0) * (first.base_s + 122 * first.per_layer_s)
    assert math.isclose(told, by_hand, rel_tol=1e-9)


def _vllm_result(folder: Path) -> Path:
    """Three runs as `vllm bench serve` writes them: 256 answers of 1024 tokens in and 256 out."""
    runs = []
    for load, tpot_ms in ((8, 24.0), (16, 29.0), (32, 38.0)):
        whole_s = (300.0 + 255 * tpot_ms) / 1e3
        rate = load / whole_s
        runs.append(
            {
                "backend": "vllm", "num_prompts": 256, "completed": 256, "duration": 256 / rate,
                "total_input_tokens": 256 * 1024, "total_output_tokens": 256 * 256, "request_throughput": rate,
                "output_throughput": 256 * rate, "max_concurrency": load, "mean_ttft_ms": 300.0,
                "mean_tpot_ms": tpot_ms, "mean_e2el_ms": 1e3 * whole_s,
            }
        )  # fmt: skip
    path = folder / "vllm.json"
    path.write_text(json.dumps(runs), encoding="utf-8")
    return path


def test_a_tools_own_result_needs_the_width_it_does_not_say(tmp_path: Path) -> None:
    """A result of vLLM has no tensor parallel width: asked for, and with it the three runs are the correction."""
    path = _vllm_result(tmp_path)
    with pytest.raises(InstanceError, match="give --measured-tp"):
        with_measured(_case(), path)
    planned, told = with_measured(_case(), path, 4)
    assert (told["engine"], told["rows"]) == ("vllm", 3)
    assert [entry["points"] for entry in told["corrections"].values()] == [3]
    assert planned.case.engine == "vllm"
