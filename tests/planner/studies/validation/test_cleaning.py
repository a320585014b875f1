"""Claims about cleaning: each rule marks what its evidence describes, and nothing else of the shared rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sample_rows import row

from planner.costs.points import AGGREGATED
from planner.exchange.measured.row import Measured, Shape
from planner.exchange.measured_serving import read_measured_serving
from planner.instance.loading import load_accelerator, load_model
from planner.instance.weights import with_weights
from planner.studies.validation.cleaning import clean

if TYPE_CHECKING:
    from planner.exchange.measured.row import MeasuredRow

SERVING = Path(__file__).resolve().parents[5] / "shared" / "data" / "measured_serving_inferencex.csv"
needs_data = pytest.mark.skipif(not SERVING.is_file(), reason="measured files are not beside this checkout")

QWEN = with_weights(load_model("qwen3-235b-a22b"), "fp8")
LLAMA_8B = with_weights(load_model("llama-3.1-8b"), "fp8")


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        ("queue dominated", row(ttft_s=15.0)),
        ("disaggregated run labelled aggregated", row(shape=Shape(1, 12, 1, 1, 1, 12))),
        ("scope of concurrency unknown", row(source="qwen3_h100_agg_1024x1024_c224_tp8")),
        ("scope of concurrency unknown", row(source="qwen3_h100_agg_1024x1024_c_tp8_epnone_1")),
        ("weights do not fit the GPUs", row(model=QWEN, shape=Shape(1, 1, 1, 1, 1, 1))),
        ("GPU count against expert sharding", row(shape=Shape(1, 8, 1, 1, 2, 2))),
        ("speculative decoding by build", row(engine="trtllm", engine_version="1.2.0rc6.post3")),
        (
            "prefix reuse",
            row(model=LLAMA_8B, shape=Shape(1, 1, 1, 1, 1), concurrency=256.0, input_tokens=8192.0, ttft_s=0.1),
        ),
    ],
)
def test_a_rule_marks_its_row_and_no_other(reason: str, bad: MeasuredRow) -> None:
    """The row that a rule is about is left out under its reason; a plain row of another run stays."""
    cleaned = clean(Measured("f", (row("good", date="2025-12-31", tpot_s=0.02), bad)))
    assert [kept.identity for kept in cleaned.rows] == ["good"]
    assert cleaned.skipped == {reason: ["r"]}


def test_the_first_of_repeated_rows_stays() -> None:
    """TPOT within 0.05 ms of the same configuration is a copy, whatever its date; 0.1 ms away is another row."""
    copy, other = row("copy", tpot_s=0.01404, date=""), row("other", tpot_s=0.0141)
    cleaned = clean(Measured("f", (row("first"), copy, other)))
    assert [kept.identity for kept in cleaned.rows] == ["first", "other"]
    assert cleaned.skipped == {"repeated across dumps": ["copy"]}


def test_a_copy_does_not_outlive_its_original() -> None:
    """A copy without its date is no way around the rule that leaves the dated original out."""
    dated = row("dated", model=load_model("qwen3.5-397b-a17b"), engine_version="0.5.9", date="2026-03-20")
    copy = row("copy", model=load_model("qwen3.5-397b-a17b"), engine_version="0.5.9", date="")
    assert len(clean(Measured("f", (dated, copy)))) == 0


def test_a_run_that_reused_prefixes_goes_whole() -> None:
    """One impossible row condemns its run: the rows beside it come from the same cache."""
    common = {"model": LLAMA_8B, "shape": Shape(1, 1, 1, 1, 1), "input_tokens": 8192.0}
    hit = row("hit", concurrency=256.0, ttft_s=0.1, **common)
    beside = row("beside", concurrency=1.0, ttft_s=0.2, **common)
    other_chip = row("other", concurrency=1.0, ttft_s=0.2, accelerator=load_accelerator("b200"), **common)
    assert [kept.identity for kept in clean(Measured("f", (hit, beside, other_chip))).rows] == ["other"]


@needs_data
@pytest.mark.shared_data
def test_counts_on_the_shared_rows() -> None:
    """The counts of the prototype's section 7 where this file holds the same rows: 55, 13 and 6; the rest as measured.

    The file lacks groups that the dossier had (its 405 repeats, 135 speculative and 41 of unknown scope), so those
    counts are this file's own.
    """
    cleaned = clean(read_measured_serving(SERVING))
    counts = {reason: len(ids) for reason, ids in cleaned.skipped.items()}
    assert counts["disaggregated run labelled aggregated"] == 55
    assert counts["weights do not fit the GPUs"] == 13
    assert counts["GPU count against expert sharding"] == 6
    assert counts["repeated across dumps"] == 378
    assert counts["speculative decoding by build"] == 149
    assert counts["queue dominated"] == 24
    assert counts["scope of concurrency unknown"] == 23
    assert sum(kept.phase == AGGREGATED for kept in cleaned.rows) == 2104
    assert len(cleaned) + sum(counts.values()) == 3677


@needs_data
@pytest.mark.shared_data
def test_queue_rule_is_the_source_s_own_mark() -> None:
    """Rows whose TTFT is over half of the request are exactly those that the source marks SUSPECT."""
    measured = read_measured_serving(SERVING)
    for entry in measured.rows:
        assert (entry.ttft_s > entry.seconds_per_request / 2) == entry.quality.startswith("SUSPECT")
