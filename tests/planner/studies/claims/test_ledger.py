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
    "C6": Verdict.AGREE,
    "C7": Verdict.AGREE,
    "C8": Verdict.CONTESTED,
    "C9": Verdict.ROUNDED,
    "C10": Verdict.CONTESTED,
    "C11": Verdict.SLIP,
    "C12": Verdict.ROUNDED,
    "C13": Verdict.SLIP,
    "C14": Verdict.CONTESTED,
    "C15": Verdict.ASSUMES,
    "C16": Verdict.ASSUMES,
    "C17": Verdict.AGREE,
    "C18": Verdict.SLIP,
    "C19": Verdict.ASSUMES,
    "C20": Verdict.CONTESTED,
    "C21": Verdict.AGREE,
    "C22": Verdict.ASSUMES,
    "C23": Verdict.CONTESTED,
    "C24": Verdict.AGREE,
    "C25": Verdict.AGREE,
    "C26": Verdict.ROUNDED,
    "C27": Verdict.SLIP,
    "C28": Verdict.ASSUMES,
    "C29": Verdict.AGREE,
    "C30": Verdict.AGREE,
    "C31": Verdict.AGREE,
    "C32": Verdict.QUALITATIVE,
    "C33": Verdict.AGREE,
    "C34": Verdict.QUALITATIVE,
    "C35": Verdict.ASSUMES,
    "C36": Verdict.ROUNDED,
}
"""Verdicts of the claims dossier (2026-11-25), section 4; it gives none for C36, where the routed law is 5.3 % off."""


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_acceptance_lines_come_out(claim: Claim) -> None:
    """Each figure that the claims dossier states is recomputed within its tolerance."""
    assert failures(claim) == []


@pytest.mark.parametrize("name", CLAIMS)
def test_the_verdict_follows_from_the_numbers(name: str) -> None:
    """The rule, applied to what was recomputed, gives the dossier's verdict."""
    (entry,) = recompute([name])
    assert entry["verdict"] == VERDICTS[name]


def test_the_ledger_holds_the_claims_of_the_dossier() -> None:
    """C1 to C36, each once, in order; none that the dossier does not have."""
    assert list(CLAIMS) == [f"C{number}" for number in range(1, 37)]
    assert set(CLAIMS) == set(VERDICTS)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_every_claim_has_a_number_or_an_exhibit(claim: Claim) -> None:
    """A claim that cannot be computed has an exhibit that shows it, and is the only kind called QUALITATIVE."""
    finding = claim.compute(claim.values())
    if finding.computed is None:
        assert claim.exhibit
        assert finding.holds is True
        assert verdict_of(claim, finding) is Verdict.QUALITATIVE
    else:
        assert math.isfinite(finding.computed)


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
        (Finding(None, holds=False), Verdict.SLIP),
        (Finding(None, holds=True, otherwise=(Figure("other", True),)), Verdict.QUALITATIVE),
        (Finding(None, holds=True, otherwise=(Figure("other", False),)), Verdict.ASSUMES),
        (Finding(None, otherwise=(Figure("a", False),), field=(Figure("b", False),)), Verdict.CONTESTED),
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


def test_whole_inputs_go_by_ones() -> None:
    """The share of tokens that cross is a half for one expert a token only; 80 GPUs of 4 slots can be level (3.2)."""
    flips = {entry["id"]: entry["flip"] for entry in recompute(["C13", "C11"])}
    assert (flips["C13"]["input"], flips["C13"]["value"]) == ("experts_per_token", 1)
    assert flips["C13"]["verdict"] is Verdict.AGREE
    assert (flips["C11"]["input"], flips["C11"]["value"]) == ("gpus", 80)


@pytest.mark.parametrize(
    ("changes", "figure", "expected"),
    [
        ({"price": 5.0}, "most speed in the memory branch", 2.875),
        ({"lambda": 0.9}, "standard batch over balance batch", 2.0),
    ],
)
def test_fast_mode_varies(changes: dict[str, float | str], figure: str, expected: float) -> None:
    """At five times the price S = (2.5 - 1/5) / (1 - 1/5); where memory binds, lambda b = 1.8 whatever lambda."""
    (entry,) = recompute(["C6"], changes)
    assert {row["name"]: row["value"] for row in entry["figures"]}[figure] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("claim", "changes"),
    [("C6", {"price": 1.0}), ("C11", {"slots": 3.0}), ("C18", {"b": 0.5}), ("C18", {"table": "claude-opus-4.6"})],
)
def test_inputs_out_of_reach_are_refused(claim: str, changes: dict[str, float | str]) -> None:
    """A price that buys nothing, too few slots, a batch below balance, a table without a step: said, not computed."""
    with pytest.raises(InstanceError):
        recompute([claim], changes)


def test_a_changed_input_is_used() -> None:
    """With the 160 of a smaller roofline ratio, 8 times sparsity makes 1,280 sequences, not 2,400: a slip."""
    (entry,) = recompute(["c4"], {"rho": 160.0})
    assert entry["computed"] == pytest.approx(160 * 671 / 37, rel=1e-9)


@pytest.mark.parametrize(
    ("ids", "changes", "named"),
    [
        (["C99"], {}, "C99"),
        (["C1"], {"price": 5.0}, "price"),
        (["C1"], {"rho": "many"}, "rho"),
        (["C1"], {"rho": math.nan}, "finite"),
        (["C1"], {"sigma": -8.0}, "at least 0"),
        (["C11"], {"gpus": 70.5}, "whole"),
        (["C8"], {"b": 0.0}, "cannot be computed there"),
        (["C13"], {"model": "llama-3.1-70b"}, "experts_per_token"),
    ],
)
def test_what_does_not_exist_is_named(ids: list[str], changes: dict[str, float | str], named: str) -> None:
    """Unknown claims and inputs, and values of the wrong kind, are refused by name."""
    with pytest.raises(InstanceError, match=named):
        recompute(ids, changes)


@pytest.mark.parametrize(
    ("claim", "change", "told"),
    [
        ("C1", {"rho": 1e300}, "no finite number"),
        ("C3", {"weights": "int3"}, "there is no 'int3'"),
        ("C34", {"width": 0.0}, "whole number of at least 1"),
        ("C21", {"table": "gemini-3.1-pro"}, "does not price cache writes"),
        ("C23", {"gemini": "claude-opus-4.6"}, "no step of the price with context"),
    ],
)
def test_inputs_that_lead_nowhere_are_told(claim: str, change: dict[str, float | str], told: str) -> None:
    """No endless number, bare key or division by zero reaches the reader: the reason does."""
    with pytest.raises(InstanceError, match=told):
        recompute([claim], change)


def test_costs_of_the_audit_follow_from_its_rates() -> None:
    """C23 takes the audit of C20, no typed cost: at twice the rent prices are half as far above cost."""
    plain, dear = (
        {row["name"]: row["value"] for row in recompute(["C23"], change)[0]["figures"]}
        for change in ({}, {"usd_per_gpu_hour": 4.0})
    )
    for name in ("DeepSeek's input price over cost", "DeepSeek's output price over cost"):
        assert plain[name] == pytest.approx(2 * dear[name])


def test_reads_that_repay_follow_from_the_price_table() -> None:
    """Opus prices writes at 1.25 and 2 times and reads at a tenth of its input, as Sonnet does: 0.278 and 1.11."""
    figures = {row["name"]: row["value"] for row in recompute(["C21"], {"table": "claude-opus-4.6"})[0]["figures"]}
    assert figures["reads that repay a 5-minute write"] == pytest.approx(0.25 / 0.9)
    assert figures["reads that repay a 1-hour write"] == pytest.approx(1.0 / 0.9)
