"""What a sweep file makes: points, ranges, samples, derived settings; and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from planner.instance.arithmetic import evaluate, names_in
from planner.instance.sweep import Range, Sample, SweepSpec


def spec(**parts: Any) -> SweepSpec:  # noqa: ANN401 - any table of the file
    """Make a sweep of the tiny case."""
    return SweepSpec(name="s", title="S", case="tiny_mixtral_island", **parts)


def test_axes_multiply_and_zips_go_together() -> None:
    """Two values times three of a range times one axis of two pairs: twelve points, the last axis fastest."""
    made = spec(
        grid={"a.x": [1, 2]},
        range={"a.y": Range(start=1, stop=100, points=3, scale="log")},
        zip=[{"a.p": [5, 6], "a.q": ["u", "v"]}],
    )
    points = list(made.points())
    assert len(points) == made.size() == 12
    assert points[0] == {"a.x": 1, "a.y": 1.0, "a.p": 5, "a.q": "u"}
    assert points[1] == {"a.x": 1, "a.y": 1.0, "a.p": 6, "a.q": "v"}
    assert sorted({point["a.y"] for point in points}) == pytest.approx([1.0, 10.0, 100.0])


def test_ranges_end_where_they_say() -> None:
    """Both ends exact; whole values are integers, equal ones once; one point is the start."""
    assert Range(start=2048, stop=131072, points=4, scale="log", whole=True).values() == [2048, 8192, 32768, 131072]
    assert Range(start=1, stop=3, points=5, whole=True).values() == [1, 2, 3]
    assert Range(start=7.5, stop=9, points=1).values() == [7.5]


def test_a_latin_hypercube_has_one_point_in_every_strip() -> None:
    """Ten points over [0, 10): each tenth of each key's range holds exactly one; the seed repeats it."""
    keys = {"a.x": Range(start=0, stop=10), "a.y": Range(start=0, stop=10)}
    drawn = Sample(points=10, seed=3, keys=keys).drawn()
    for key in keys:
        assert sorted(int(point[key]) for point in drawn) == list(range(10))
    assert drawn == Sample(points=10, seed=3, keys=keys).drawn()
    assert drawn != Sample(points=10, seed=4, keys=keys).drawn()


def test_random_samples_choose_from_lists() -> None:
    """Values of a list are drawn about equally often."""
    drawn = Sample(method="random", points=3000, seed=1, keys={"a.x": ["u", "v", "w"]}).drawn()
    counts = np.unique([point["a.x"] for point in drawn], return_counts=True)[1]
    assert (abs(counts - 1000) < 100).all()


def test_a_tornado_changes_one_key_at_a_time() -> None:
    """Base, then low and high of each key."""
    made = spec(tornado={"a.x": {"low": 1, "high": 3}, "a.y": {"low": 5, "high": 6}})
    assert list(made.points()) == [{}, {"a.x": 1}, {"a.x": 3}, {"a.y": 5}, {"a.y": 6}]


def test_parameters_set_what_derives_from_them() -> None:
    """A ratio of 18 inside 900 GB/s is 50 GB/s out; the parameter itself is no key of the case."""
    made = spec(grid={"ratio": [9, 18], "a.z": [1]}, derive={"pools.0.override.scale_out_bytes_per_s": "900e9 / ratio"})
    assert made.changes({"ratio": 18, "a.z": 1}) == {"a.z": 1, "pools.0.override.scale_out_bytes_per_s": 50e9}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, "nothing varies"),
        ({"grid": {"a.x": []}}, "no values for a.x"),
        ({"grid": {"a.x": [1]}, "range": {"a.x": {"start": 1, "stop": 2}}}, "a.x varies twice"),
        ({"zip": [{"a.x": [1, 2], "a.y": [1]}]}, "equally long"),
        ({"grid": {"ratio": [1]}, "derive": {"a.x": "900 / rato"}}, "rato is no parameter"),
        ({"grid": {"ratio": [1]}, "derive": {"a.x": "__import__('os')"}}, "no allowed operation"),
        ({"range": {"a.x": {"start": 0, "stop": 2, "scale": "log"}}}, "log scale"),
        ({"range": {f"a.x{n}": {"start": 0, "stop": 1, "points": 1000} for n in range(3)}}, "are more than"),
        ({"break_even": [{"key": "a.x", "start": 2, "stop": 1}]}, "start must lie below stop"),
    ],
)
def test_what_makes_no_sweep_is_refused(parts: dict[str, Any], told: str) -> None:
    """Every mistake is named."""
    with pytest.raises(ValidationError, match=told):
        spec(**parts)


@pytest.mark.parametrize(
    ("text", "value"), [("2 * x + 1", 7.0), ("max(2, x) ** 2", 9.0), ("-x / 4", -0.75), ("sqrt(x * 12)", 6.0)]
)
def test_arithmetic(text: str, value: float) -> None:
    """Known values at x = 3."""
    assert evaluate(text, {"x": 3}) == pytest.approx(value)
    assert names_in(text) == {"x"}


@pytest.mark.parametrize(
    "text", ["x.y", "x[0]", "lambda: 1", "open('f')", "x if x else 1", "1 / 0", "9 ** 9 ** 9 ** 9", "x +"]
)
def test_arithmetic_does_nothing_else(text: str) -> None:
    """No attributes, calls, look-ups or conditions, and no result that is not finite."""
    with pytest.raises(ValueError, match=r"expression|no number|not finite|worked out"):
        evaluate(text, {"x": 3})
