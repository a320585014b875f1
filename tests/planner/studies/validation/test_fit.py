"""Claims about fits: parameters are recovered, priors hold what data does not say, what is left out is not seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sample_rows import row

from planner.costs.points import AGGREGATED, Predictions
from planner.exchange.measured.row import points_of
from planner.exchange.measured_serving import read_measured_serving
from planner.instance.resolve import load_calibration
from planner.studies.validation.cleaning import clean
from planner.studies.validation.fit import Rows, fit, left_out
from planner.studies.validation.forms import Form, Parameter
from planner.studies.validation.metrics import METRICS, Errors, Figures, measured_figures
from planner.studies.validation.predictor import profile_form, read_path, with_values
from planner.studies.validation.prototype import PROTOTYPE
from planner.studies.validation.saturation import SEQUENCES_PER_RANK, saturated
from planner.studies.validation.splits import labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.costs.points import ServingPoints

SERVING = Path(__file__).resolve().parents[5] / "shared" / "data" / "measured_serving_inferencex.csv"
needs_data = pytest.mark.skipif(not SERVING.is_file(), reason="measured files are not beside this checkout")


def _line(values: Mapping[str, float], points: ServingPoints) -> Predictions:
    """TPOT = step + each * requests in flight; TTFT ten times that."""
    tpot_s = values["step"] + values["each"] * points.concurrency
    rate = points.concurrency / tpot_s / points.gpus
    return Predictions(10 * tpot_s, tpot_s, rate, rate)


LINE = Form("line", (Parameter("step", 0.01, 1.0), Parameter("each", 1e-3, 1.0)), _line)


def _rows(step: float, each: float, loads: list[float], group: str = "g") -> Rows:
    points = points_of([row(str(place), concurrency=load) for place, load in enumerate(loads)])
    truth = _line({"step": step, "each": each}, points)
    figures = Figures(truth.tpot_s, truth.ttft_s, truth.tok_s_per_gpu)
    return Rows(points, figures, np.array([f"{group}{place}" for place in range(len(loads))]))


def test_a_fit_recovers_what_made_the_rows() -> None:
    """Rows without noise from 20 ms and 2 ms a request give these back under a wide prior, to 2 %."""
    found = fit(LINE, _rows(0.02, 2e-3, [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0])).values
    assert (found["step"], found["each"]) == pytest.approx((0.02, 2e-3), rel=0.02)


def test_a_prior_holds_what_the_rows_do_not_say() -> None:
    """Rows of one request say nothing about the second parameter's share beyond its prior of 1e-3."""
    found = fit(LINE, _rows(0.02, 1e-6, [1.0, 1.0, 1.0])).values
    assert found["each"] == pytest.approx(1e-3, rel=0.1)


def test_a_fixed_parameter_stays() -> None:
    """A spread of 0 keeps the median whatever the rows say."""
    form = Form("line", (LINE.parameters[0], Parameter("each", 5e-3, 0.0)), _line)
    assert fit(form, _rows(0.02, 2e-3, [1.0, 8.0, 64.0])).values["each"] == 5e-3


def test_many_rows_of_one_group_do_not_outvote_the_others() -> None:
    """Two hundred rows of one group and one each of four others weigh as two against four."""
    one, others = _rows(0.04, 1e-9, [1.0] * 200), _rows(0.02, 1e-9, [1.0] * 4, "other")
    joined = Rows(
        points_of([row(str(place), concurrency=1.0) for place in range(204)]),
        Figures(*(np.concatenate([one.measured.of(name), others.measured.of(name)]) for name in METRICS)),
        np.array(["one"] * 200 + list(others.groups)),
    )  # fmt: skip
    form = Form("line", (LINE.parameters[0], Parameter("each", 1e-9, 0.0)), _line)
    middle = np.exp((2 * np.log(0.04) + 4 * np.log(0.02)) / 6)  # two rows' worth against four
    assert fit(form, joined).values["step"] == pytest.approx(middle, rel=0.05)


def test_what_is_left_out_is_not_seen() -> None:
    """A group ten times slower does not pull its own prediction: it is predicted from the other groups alone."""
    rows = _rows(0.02, 1e-9, [1.0] * 6)
    slow = rows.measured.tpot.copy()
    slow[0] *= 10
    seen = Rows(rows.points, Figures(slow, rows.measured.ttft * np.nan, rows.measured.throughput), rows.groups)
    form = Form("line", (LINE.parameters[0], Parameter("each", 1e-9, 0.0)), _line)
    outside = left_out(form, seen, seen.groups, form.prior, evaluations=20)
    assert outside.predicted.tpot[0] == pytest.approx(0.02, rel=0.05)
    assert set(outside.values) == set(seen.groups)


def test_an_offline_point_takes_its_best_load() -> None:
    """Throughput that peaks at 64 sequences a rank is reported at 64, and bounded loads are left as they are."""

    def peaked(values: Mapping[str, float], points: ServingPoints) -> Predictions:
        rate = np.exp(-(np.log(points.concurrency / 64.0) ** 2))
        return Predictions(rate, rate, rate, rate)

    points = points_of([row("a", concurrency=float("inf")), row("b", concurrency=16.0)])
    answer = saturated(peaked)({}, points)
    assert 64 in SEQUENCES_PER_RANK
    assert answer.tok_s_per_gpu == pytest.approx([1.0, np.exp(-(np.log(0.25) ** 2))])


def test_profile_values_round_trip() -> None:
    """A profile's numbers go into a form and back without change, and a fit moves only what it is given."""
    profile = load_calibration("hand_set")
    form = profile_form(profile)
    assert with_values(profile, form.prior) == profile
    moved = with_values(profile, {"decode.kv_bandwidth": 0.5})
    assert read_path(moved, "decode.kv_bandwidth") == 0.5
    assert moved.decode.weight_bandwidth == profile.decode.weight_bandwidth


def test_terms_of_the_prototype_add_up_and_speed_is_enough() -> None:
    """The terms of a time per token add up to it for every point of a batch of 100,000."""
    points = points_of([replace(row(), concurrency=load) for load in (1.0, 16.0, 256.0)])
    many = points.take(np.tile(np.arange(3), 33_334))
    answer = PROTOTYPE.predict(PROTOTYPE.prior, many)
    assert sum(answer.terms.values()) == pytest.approx(answer.tpot_s)
    assert np.isfinite(answer.ttft_s).all()
    assert (np.diff(answer.tpot_s[:3]) > 0).all()


@needs_data
@pytest.mark.shared_data
def test_the_prototype_reaches_its_published_error_left_out() -> None:
    """Its form, refitted with every group left out, is as good here as its dossier says (17.5 / 13.7, more groups)."""
    measured = clean(read_measured_serving(SERVING))
    measured = measured.take([entry.phase == AGGREGATED for entry in measured.rows])
    rows = Rows(measured.points, measured_figures(measured), labels(measured.rows, "group"))
    start = fit(PROTOTYPE, rows).values
    outside = left_out(PROTOTYPE, rows, rows.groups, start).predicted
    errors = Errors.of(outside.tpot, rows.measured.tpot)
    assert errors is not None
    assert errors.n == len(rows)
    assert (100 * errors.mape, 100 * errors.median) == pytest.approx((17.5, 13.7), abs=2.0)
    inside = Errors.of(PROTOTYPE.predict(start, rows.points).tpot_s, rows.measured.tpot)
    assert inside is not None
    assert inside.mape < errors.mape
