"""How numbers are written for people."""

from __future__ import annotations

import pytest

from planner.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "$0.00"),
        (475.2, "$475.20"),
        (-1.5, "-$1.50"),
        (78336.4, "$78,336"),
        (0.4664, "$0.466"),
        (0.00123, "$0.00123"),
    ],
)
def test_dollars_have_the_digits_that_matter(value: float | None, text: str) -> None:
    """Cents from a dollar on, none from ten thousand on, three digits below a dollar."""
    assert words.usd(value) == text


def test_a_column_of_dollars_lines_up() -> None:
    """All entries have the same decimals, chosen by the largest; minus zero is zero, nothing is a dash."""
    assert words.usd_column([3.089, 0.0074, -0.0, None]) == ["$3.089", "$0.007", "$0.000", "-"]
    assert words.usd_column([0.0, 0.0]) == ["$0.00", "$0.00"]
    assert words.usd_column([27.09, -0.7278]) == ["$27.09", "-$0.73"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(80.0, "80"), (7.52557, "7.526"), (1605.3, "1,605"), (0.47442, "0.4744"), (0.0, "0"), (120, "120")],
)
def test_numbers_keep_four_significant_digits(value: float, text: str) -> None:
    """Zeros behind the point are cut, those before it are kept."""
    assert words.number(value) == text


def test_times_shares_and_differences() -> None:
    """Durations pick their unit; shares are per cent; a relative difference is one digit and a power."""
    assert words.duration(0.04997) == "50 ms"
    assert words.duration(4321.0) == "4,321 s"
    assert words.against(1.28, 2.0) == "1.28 s of 2 s"
    assert words.against(None, 2.0) == "-"
    assert words.share(0.00253) == "0.253 %"
    assert words.percent(1.0) == "100.0 %"
    assert words.tiny(3.2e-13) == "3e-13"
    assert words.tiny(0.0) == "0"


def test_control_characters_cannot_reach_a_terminal() -> None:
    """An escape sequence in a name is written as a replacement character."""
    assert words.clean("a\x1b[31mb\x07") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        (0.0, "Proven: no plan made of the choices offered costs less."),
        (0.01, "Proven: no plan made of the choices offered costs more than 1 % less."),
        (None, "No bound was proven: a better plan may exist."),
    ],
)
def test_the_claim_matches_the_gap(gap: float | None, sentence: str) -> None:
    """Nothing is called proven beyond the gap."""
    assert words.certainty({"gap": gap}) == sentence


@pytest.mark.parametrize(
    ("value", "text"),
    [(36.6e9, "36.6 B"), (14.8e12, "14.8 T"), (66e9, "66.0 B"), (1.19e15, "1,190 T"), (57e6, "57.0 M"), (None, "-")],
)
def test_parameters_and_tokens_have_three_digits(value: float | None, text: str) -> None:
    """Millions, billions and trillions by their letters."""
    assert words.magnitude(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(9065474.9, "$9.065 M"), (102.0e6, "$102.0 M"), (-2.5e9, "-$2.500 B"), (81380.2, "$81,380"), (None, "-")],
)
def test_large_sums_have_four_digits(value: float | None, text: str) -> None:
    """Millions and billions are rounded, smaller sums written out."""
    assert words.usd_rounded(value) == text


def test_powers_of_ten_are_written_plainly() -> None:
    """Counts get a letter, numbers beyond any letter lose the sign of their power, others stay."""
    text = "5.14e+10 parameters, 1.75e+03 tokens, 9.43e+24 FLOP, 595 of 0.31"
    assert words.plain_powers(text) == "51.4 B parameters, 1,750 tokens, 9.43e24 FLOP, 595 of 0.31"


def test_what_rounding_leaves_is_no_gap() -> None:
    """A gap of 2e-15 is floating-point noise: it is written as 0 % and proves that no plan costs less."""
    assert words.share(1.9e-15) == "0 %"
    assert words.share(1e-5) == "0.001 %"
    assert words.certainty({"gap": 1.9e-15}).endswith("costs less.")
