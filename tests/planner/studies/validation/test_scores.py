"""Claims about scores: errors, splits, bands, regret and site factors against hand-worked answers."""

from __future__ import annotations

import numpy as np
import pytest
from sample_rows import row

from planner.exchange.measured.row import Shape
from planner.studies.validation import regret
from planner.studies.validation.bands import band_of_parts, factors
from planner.studies.validation.metrics import Errors, Figures, covered, error_document
from planner.studies.validation.regret import regret_document
from planner.studies.validation.site import Correction, correction_of, few_point_errors
from planner.studies.validation.splits import SPLITS, folds, generation_of, labels


def test_errors_of_three_rows() -> None:
    """Predictions 110, 90 and 100 of 100 are off by 10, 10 and 0 %: mean 6.7, median 10, no bias; NaN counts not."""
    predicted, measured = np.array([110.0, 90.0, 100.0, np.nan]), np.array([100.0, 100.0, 100.0, 100.0])
    errors = Errors.of(predicted, measured)
    assert errors is not None
    assert (errors.n, errors.mape, errors.median, errors.bias) == pytest.approx((3, 0.2 / 3, 0.1, 0.0))
    assert Errors.of(np.array([np.nan]), np.array([1.0])) is None


def test_documents_say_per_cent_and_null() -> None:
    """``mape_`` keys are per cent, medians fractions, and what nobody measured is null."""
    none = np.full(2, np.nan)
    document = error_document(Figures(np.array([2.0, 1.0]), none, none), Figures(np.ones(2), none, none))
    assert (document["mape_tpot"], document["median_ape_tpot"]) == (50.0, 0.5)
    assert document["mape_ttft"] is None


def test_every_split_is_a_partition() -> None:
    """Each row is in exactly one part of each split; H200 and H800 are one generation, B200 and GB200 another."""
    rows = [row("a"), row("b", engine="vllm")]
    for split in SPLITS:
        inside = np.array([mask for _, mask in folds(labels(rows, split))])
        assert (inside.sum(axis=0) == 1).all()
    assert generation_of("h200") == generation_of("h800") != generation_of("gb200_nvl72") == generation_of("b200")


def test_band_factors_are_the_outer_quantiles() -> None:
    """Of 999 evenly spread residuals the central 80 % lie between the 10th and 90th percentile, a little widened."""
    low, high = factors(np.linspace(-1.0, 1.0, 999))
    assert np.log([low, high]) == pytest.approx([-0.8, 0.8], abs=0.005)


def test_bands_hold_their_share_of_parts_not_seen() -> None:
    """Parts drawn from one law: a band from the others' residuals covers 80 % to within sampling error."""
    random = np.random.default_rng(7)
    parts = np.repeat([f"p{place}" for place in range(30)], 60)
    residuals = random.normal(0.0, 0.2, len(parts))
    low, high = band_of_parts(residuals, parts)
    share = covered(np.exp(residuals), low, high)
    assert share == pytest.approx(0.8, abs=0.02)


def _configuration(identity: str, gpus: int, tpot_s: float, throughput: float) -> object:
    return row(identity, shape=Shape(1, gpus, 1, 1, 1), tpot_s=tpot_s, tok_s_per_gpu=throughput)


def test_regret_of_a_question_worked_by_hand() -> None:
    """Best under 50 ms is 100 on four GPUs; the model prefers eight (90): 10 % lost by one shape, nothing by two.

    The fewest GPUs, two, reach 60: 40 % lost.
    """
    table = [("two", 2, 0.04, 60.0), ("four", 4, 0.045, 100.0), ("eight", 8, 0.03, 90.0), ("late", 4, 0.2, 300.0)]
    rows = [_configuration(*entry) for entry in table]
    measured = Figures(np.array([entry[2] for entry in table]), np.ones(4), np.array([entry[3] for entry in table]))
    predicted = Figures(np.array([0.04, 0.048, 0.03, 0.2]), np.ones(4), np.array([50.0, 95.0, 99.0, 300.0]))
    (answer,) = regret_document(rows, predicted, measured, [0.05])  # type: ignore[arg-type]
    assert answer["one_shape"] == pytest.approx(0.1)
    assert answer["two_shapes_measured"] == pytest.approx(0.0)
    assert answer["fewest_gpus"] == pytest.approx(0.4)
    assert (answer["success"], answer["violates"]) == (0.0, 0.0)


def test_perfect_predictions_have_no_regret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who knows the truth, and knows that, loses nothing and violates nothing under any limit that can be met."""
    for name in ("SHARED_SPREAD", "OWN_SPREAD", "TIE"):
        monkeypatch.setattr(regret, name, 0.0)
    random = np.random.default_rng(3)
    rows = [_configuration(str(place), 2 ** (place % 3), 0.02 + 0.01 * place, 50.0 + place) for place in range(9)]
    truth = Figures(random.uniform(0.01, 0.1, 9), np.ones(9), random.uniform(50.0, 150.0, 9))
    for answer in regret_document(rows, truth, truth):  # type: ignore[arg-type]
        assert answer["one_shape"] in (None, 0.0)
        assert answer["violates"] in (None, 0.0)


def test_a_shape_just_below_the_limit_is_hedged() -> None:
    """Of a shape predicted at 49 ms and one of 90 % of its throughput at 30 ms, the safe one is ranked first."""
    rows = [
        _configuration("edge", 4, 0.049, 100.0),
        _configuration("safe", 8, 0.03, 90.0),
        _configuration("c", 2, 0.2, 9.0),
    ]
    predicted = Figures(np.array([0.049, 0.03, 0.2]), np.ones(3), np.array([100.0, 90.0, 9.0]))
    (question,) = regret.questions(rows)  # type: ignore[arg-type]
    order = regret.ranked_shapes(question, predicted, 0.05)
    assert [shape[0] for shape in order] == [8, 4, 2]


def test_one_point_is_believed_in_part_and_many_nearly_whole() -> None:
    """With spreads 0.19 between and 0.14 inside, one point counts 1 / (1 + (0.14/0.19)^2) = 0.648, a thousand 0.999."""
    nothing = np.empty(0)
    one = correction_of({"tpot": np.array([0.3]), "ttft": nothing})
    many = correction_of({"tpot": np.full(1000, 0.3), "ttft": nothing})
    assert np.log(one.tpot) == pytest.approx(0.3 * 0.648, rel=1e-3)
    assert np.log(many.tpot) == pytest.approx(0.3, rel=1e-3)
    assert one.ttft == 1.0


def test_one_odd_point_of_five_moves_little() -> None:
    """The median of the points is shrunk, so an outlier of five does not carry the others along."""
    logs = {"tpot": np.array([0.1, 0.1, 0.1, 0.1, 5.0]), "ttft": np.empty(0)}
    assert np.log(correction_of(logs).tpot) == pytest.approx(0.1, rel=0.1)


def test_slower_tokens_lower_throughput_by_little_s_law() -> None:
    """Twice the TPOT and TTFT at the same requests in flight is half the throughput."""
    rows = [row()]
    before = Figures(np.array([0.014]), np.array([0.5]), np.array([100.0]))
    assert Correction(2.0, 2.0, 3).apply(before, rows).throughput == pytest.approx([50.0])


def test_three_points_remove_a_constant_factor() -> None:
    """Where all that is wrong is one factor a site, three points remove its shrunken part: 40 % falls to 7 %."""
    rows = [row(str(place)) for place in range(40)]
    measured = Figures(np.full(40, 0.014), np.full(40, 0.5), np.full(40, 100.0))
    predicted = Figures(measured.tpot * 1.4, measured.ttft, measured.throughput)
    after, truth = few_point_errors(rows, predicted, measured, 3)
    size = np.abs(after.tpot / truth.tpot - 1)
    assert len(size) == 20 * 37
    assert size.max() == pytest.approx(1.4 ** (1 - 3 / (3 + (0.14 / 0.19) ** 2)) - 1, rel=1e-6)
