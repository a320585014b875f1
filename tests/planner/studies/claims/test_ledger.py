"""Every claim is recomputed, reproduces its acceptance lines, and gets the verdict that its numbers deserve."""

from __future__ import annotations

import math

import pytest

from planner.errors import InstanceError
from planner.studies.claims.claim import Claim, Figure, Finding, Input
from planner.studies.claims.flip import smallest_flip
from planner.studies.claims.ledger import CLAIMS, failures, recompute
from planner.studies.claims.verdict import Verdict, verdict_of

VERDICTS = {
    "C1": Verdict.ASSUMES,
    "C2": Verdict.AGREE,
    "C3": Verdict.AGREE,
    "C4": Verdict.SLIP,
    "C5": Verdict.ROUNDED,
}
"""Verdicts of the claims dossier (2026-11-25), section 4."""


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_acceptance_lines_come_out(claim: Claim) -> None:
    """Each figure that the claims dossier states is recomputed within its tolerance."""
    assert failures(claim) == []


@pytest.mark.parametrize("name", CLAIMS)
def test_the_verdict_follows_from_the_numbers(name: str) -> None:
    """The rule, applied to what was recomputed, gives the dossier's verdict."""
    (entry,) = recompute([name])
    assert entry["verdict"] == VERDICTS[name]


def doubling(values: dict[str, float]) -> Finding:
    """Twice the input."""
    return Finding(computed=2.0 * values["x"])


TOY = Claim(
    id="C0",
    topic="toy",
    statement="Twice five is ten.",
    equation="2 x",
    quantity="double",
    unit="",
    printed=10.0,
    inputs=(Input("x", 5.0, "", "a number"),),
    compute=doubling,  # type: ignore[arg-type]
    acceptance=(),
    why="",
)


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (Finding(10.4), Verdict.AGREE),
        (Finding(10.6), Verdict.ROUNDED),
        (Finding(7.6), Verdict.SLIP),
        (Finding(-10.0), Verdict.SLIP),
        (Finding(10.0, otherwise=(Figure("other", 14.0),)), Verdict.ASSUMES),
        (Finding(10.0, otherwise=(Figure("other", 14.0),), field=(Figure("seen", 5.0),)), Verdict.CONTESTED),
        (Finding(None, holds=True), Verdict.QUALITATIVE),
    ],
)
def test_verdicts(finding: Finding, verdict: Verdict) -> None:
    """5 % agrees, a factor of 1.3 is rounded, beyond is a slip; other readings and field data speak next."""
    assert verdict_of(TOY, finding) is verdict


def test_the_smallest_flip_is_the_edge_of_agreement() -> None:
    """Twice five agrees with ten up to x = 5.25, 5 % more, or down to 5 / 1.05: the same factor either way."""
    flip = smallest_flip(TOY, TOY.values())
    assert flip is not None
    assert flip.verdict is Verdict.ROUNDED
    assert math.isclose(abs(math.log(flip.factor)), math.log(1.05), rel_tol=1e-4)


def test_a_changed_input_is_used() -> None:
    """With the 160 of a smaller roofline ratio, 8 times sparsity makes 1,280 sequences, not 2,400: a slip."""
    (entry,) = recompute(["c4"], {"rho": 160.0})
    assert entry["computed"] == pytest.approx(160 * 671 / 37, rel=1e-9)


@pytest.mark.parametrize(
    ("ids", "changes", "named"),
    [(["C99"], {}, "C99"), (["C1"], {"price": 5.0}, "price"), (["C1"], {"rho": "many"}, "rho")],
)
def test_what_does_not_exist_is_named(ids: list[str], changes: dict[str, float | str], named: str) -> None:
    """Unknown claims and inputs, and values of the wrong kind, are refused by name."""
    with pytest.raises(InstanceError, match=named):
        recompute(ids, changes)
