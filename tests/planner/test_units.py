"""Claims about the border between text with units and SI floats."""

from __future__ import annotations

import pytest

from planner.units import parse, seconds, with_prefix


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        ("186 GB", "bytes", 186e9),
        ("80 GiB", "bytes", 80 * 2**30),
        ("95GiB", "bytes", 95 * 2**30),
        ("8 TB/s", "bytes_per_s", 8e12),
        ("400 Gb/s", "bytes_per_s", 50e9),
        ("400 Gbit/s", "bytes_per_s", 50e9),
        ("400 Gbps", "bytes_per_s", 50e9),
        ("5 PFLOP/s", "flop_per_s", 5e15),
        ("989 TFLOPS", "flop_per_s", 989e12),
        ("50 ms", "s", 0.05),
        ("15 us", "s", 15e-6),
        ("2 min", "s", 120.0),
        ("60 days", "s", 5_184_000.0),
        ("80 req/s", "per_s", 80.0),
        ("60 requests/minute", "per_s", 1.0),
        ("3.3 usd/hour", "usd_per_gpu_hour", 3.3),
        ("$ 3.3", "usd", None),
        ("3.3 $/hour", "usd_per_gpu_hour", 3.3),
        ("700 W", "watt", 700.0),
        ("1.2 kW", "watt", 1200.0),
        ("1.5e3 tokens", "tokens", 1500.0),
        ("20 tok/s", "tokens_per_s", 20.0),
        ("186e9", "bytes", 186e9),
        (186, "bytes", 186.0),
    ],
)
def test_text_with_a_unit_becomes_si(text: str | float, base: str, expected: float | None) -> None:
    """A number with a unit is read in SI: G is 1e9, Gi is 2**30, b is a bit and B a byte."""
    if expected is None:
        with pytest.raises(ValueError, match="not a number with a unit"):
            parse(text, base)
    else:
        assert parse(text, base) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        ("8 TB", "bytes_per_s"),
        ("8 TB/s", "bytes"),
        ("8 TB/s", "flop_per_s"),
        ("50 ms", "per_s"),
        ("5 1/s", "bytes_per_s"),
        ("5 FLOP", "bytes"),
        ("3 usd", "usd_per_gpu_hour"),
        ("3 metres", "bytes"),
        ("", "bytes"),
        ("GB", "bytes"),
        ("12 GB please", "bytes"),
    ],
)
def test_wrong_dimension_or_unknown_unit_is_refused(value: str, base: str) -> None:
    """A rate is not an amount, a byte is not a bare number, and an unknown word is not a unit."""
    with pytest.raises(ValueError, match="not a"):
        parse(value, base)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "inf", True, None, ["8 GB"]])
def test_what_is_not_a_finite_number_is_refused(value: object) -> None:
    """NaN, infinity, booleans, nothing and lists are no quantities."""
    with pytest.raises(ValueError, match=r"finite|expected a number"):
        parse(value, "bytes")  # type: ignore[arg-type]


def test_numbers_for_people() -> None:
    """Prefixes and time units are chosen by size."""
    assert with_prefix(1.86e11, "B") == "186 GB"
    assert with_prefix(0.0, "B") == "0 B"
    assert seconds(0.0123) == "12.3 ms"
    assert seconds(1.165e-3, digits=4) == "1.165 ms"
