"""The shipped profile: few fitted numbers, all near their priors, and the errors that it is shipped for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from planner.costs.points import AGGREGATED, DISAGGREGATED
from planner.exchange.measured_serving import read_measured_serving
from planner.instance.resolve import load_calibration
from planner.studies.validation.cleaning import clean
from planner.studies.validation.fit import Rows, fit, left_out
from planner.studies.validation.metrics import Figures, measured_figures, predicted_figures
from planner.studies.validation.predictor import FIT_START, profile_form, with_values
from planner.studies.validation.splits import labels
from planner.studies.validation.wide_ep import wide_document

DATA = Path(__file__).resolve().parents[5] / "shared" / "data"
MEASURED, WIDE = DATA / "measured_serving_inferencex.csv", DATA / "measured_serving.csv"
needs_data = pytest.mark.skipif(not MEASURED.exists(), reason="shared data folder is missing")
FITTED, START = load_calibration("fitted"), load_calibration(FIT_START)
FORM = profile_form(START)


def test_at_most_twenty_numbers_are_fitted() -> None:
    """The profile differs from where the fit starts in at most 20 numbers, each within two spreads of its prior."""
    values = profile_form(FITTED).prior
    assert len(FORM.free) <= 20
    assert max(abs(entry.score(values[entry.name])) for entry in FORM.free) < 2.0
    about = {"name", "title", "sources", "bands", "left_out"}
    assert with_values(START, values).model_dump(exclude=about) == FITTED.model_dump(exclude=about)


def _errors(predicted: Figures, measured: Figures) -> dict[str, tuple[float, float]]:
    found = {}
    for metric in ("tpot", "ttft", "throughput"):
        errors = np.abs(predicted.of(metric) / measured.of(metric) - 1.0)
        found[metric] = (float(np.nanmean(errors)), float(np.nanmedian(errors)))
    return found


@needs_data
@pytest.mark.shared_data
def test_errors_on_groups_that_the_fit_did_not_see() -> None:
    """Issue 5, group left out: below the prototype's form by 1.5 / 1 points, and no group worse than its worst.

    The prototype's form, same rows: TPOT 16.7 / 12.4, tokens/s 15.8 / 12.1, worst group 45 %. TTFT: median up to 24 %.
    """
    cleaned = clean(read_measured_serving(MEASURED))
    chosen = cleaned.take([row.phase == AGGREGATED for row in cleaned.rows])
    rows = Rows(chosen.points, measured_figures(chosen), labels(chosen.rows, "group"))
    values = fit(FORM, rows).values
    outside = left_out(FORM, rows, rows.groups, values).predicted
    errors = _errors(outside, rows.measured)
    assert errors["tpot"][0] <= 0.152
    assert errors["tpot"][1] <= 0.114
    assert errors["throughput"][0] <= 0.143
    assert errors["throughput"][1] <= 0.111
    assert errors["ttft"][1] <= 0.24
    assert FITTED.left_out is not None
    stated = FITTED.left_out.phases["aggregated"]["model"]
    found = [stated.tpot_mean, stated.tpot_median, stated.throughput_mean, stated.throughput_median, stated.ttft_median]
    again = [*errors["tpot"], *errors["throughput"], errors["ttft"][1]]
    assert found == pytest.approx(again, abs=0.003), "the profile states the error that it has"
    off = np.abs(outside.tpot / rows.measured.tpot - 1.0)
    assert max(off[rows.groups == group].mean() for group in np.unique(rows.groups)) < 0.45


@needs_data
@pytest.mark.shared_data
def test_disaggregated_rows_without_a_refit() -> None:
    """Issue 5: TPOT of disaggregated rows, none of which was fitted to, is off by at most 16 / 13 %."""
    cleaned = clean(read_measured_serving(MEASURED))
    chosen = cleaned.take([row.phase == DISAGGREGATED for row in cleaned.rows])
    form, measured = profile_form(FITTED), measured_figures(chosen)
    errors = _errors(predicted_figures(form.predict(form.prior, chosen.points), measured), measured)
    assert errors["tpot"][0] <= 0.16
    assert errors["tpot"][1] <= 0.13


@needs_data
@pytest.mark.shared_data
def test_published_wide_pools() -> None:
    """Issue 5: the throughput of the published wide pools is met within 15 %, under every reading.

    M0013 ran without overlap and stands for the communication by itself.
    """
    form = profile_form(FITTED)
    found = wide_document(read_measured_serving(WIDE), lambda points: form.predict(form.prior, points))
    off = {entry["id"]: abs(entry["error_throughput"]) for entry in found}
    assert {"M0003", "M0006", "M0011", "M0012", "M0013", "M0016", "M0018"} <= set(off)
    assert max(off.values()) <= 0.15
