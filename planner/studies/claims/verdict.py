"""From numbers to a verdict, by one rule for all claims."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.studies.claims.claim import Claim, Figure, Finding


class Verdict(StrEnum):
    """How a claim stands."""

    AGREE = "AGREE"
    ROUNDED = "ROUNDED"
    ASSUMES = "ASSUMES"
    SLIP = "SLIP"
    CONTESTED = "CONTESTED"
    QUALITATIVE = "QUALITATIVE"


MEANING = {
    Verdict.AGREE: "right within 5 %, or within what the claim itself allows",
    Verdict.ROUNDED: "right to a factor of 1.3",
    Verdict.ASSUMES: "true only under the stated assumption: another tenable one gives another number",
    Verdict.SLIP: "wrong as printed",
    Verdict.CONTESTED: "field data or other arithmetic point elsewhere",
    Verdict.QUALITATIVE: "no number to check; the exhibit shows it",
}


def verdict_of(claim: Claim, finding: Finding) -> Verdict:
    """Judge a finding.

    Beyond the factor ``claim.rounded`` from what is printed: SLIP. Else CONTESTED where a field figure, or ASSUMES
    where another tenable assumption, lies beyond that factor. Else AGREE or ROUNDED by the distance from the print.
    A claim without a printed number is QUALITATIVE, unless it fails (SLIP), or fails in the field (CONTESTED) or under
    another tenable assumption (ASSUMES).
    """
    if claim.printed is None or finding.computed is None:
        return _without_print(finding)
    distance = _factor(finding.computed, claim.printed)
    if distance > claim.rounded:
        return Verdict.SLIP
    if _any_beyond(finding.field, claim):
        return Verdict.CONTESTED
    if _any_beyond(finding.otherwise, claim):
        return Verdict.ASSUMES
    return Verdict.AGREE if distance <= 1.0 + claim.agree else Verdict.ROUNDED


def _without_print(finding: Finding) -> Verdict:
    if finding.holds is False:
        return Verdict.SLIP
    if any(entry.value is False for entry in finding.field):
        return Verdict.CONTESTED
    return Verdict.ASSUMES if any(entry.value is False for entry in finding.otherwise) else Verdict.QUALITATIVE


def _any_beyond(figures: Iterable[Figure], claim: Claim) -> bool:
    printed = float(claim.printed or 0.0)
    return any(_factor(float(entry.value), printed) > claim.rounded for entry in figures)


def _factor(value: float, reference: float) -> float:
    """How many times one is the other, at least 1; infinite where a sign differs or one is 0."""
    if value == reference:
        return 1.0
    if value * reference <= 0 or not math.isfinite(value):
        return math.inf
    return max(value / reference, reference / value)
