"""The ledger: every claim recomputed, judged, and ready to print."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from planner.errors import InstanceError, Problem
from planner.studies.claims import (
    batch,
    budget,
    cache,
    context,
    domains,
    inference_claims,
    mixing,
    pipeline,
    prices,
    racks,
    speed,
    spread,
)
from planner.studies.claims.flip import smallest_flip
from planner.studies.claims.verdict import MEANING, verdict_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from planner.studies.claims.claim import Acceptance, Claim, Figure, Finding, Value, Values

_THEMES = (batch, speed, spread, racks, domains, prices, cache, inference_claims, budget, pipeline, mixing, context)

CLAIMS: dict[str, Claim] = {
    entry.id: entry
    for entry in sorted((claim for theme in _THEMES for claim in theme.CLAIMS), key=lambda claim: int(claim.id[1:]))
}
"""Every claim by id, in order."""


def recompute(
    ids: Sequence[str] = (),
    changes: Mapping[str, Value] | None = None,
    *,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Recompute claims, all of them by default, under changed inputs; ``progress`` is told how many are done.

    Returns
    -------
    list of documents
        id, statement, printed, computed, unit, tolerance, verdict, why; equation, quantity, inputs, figures, otherwise,
        field, acceptance, flip.

    Raises
    ------
    InstanceError
        If an id is unknown, or a change fits none of the claims asked for.
    """
    chosen = _chosen(ids)
    changes = dict(changes or {})
    unknown = [name for name in changes if not any(name in _names(claim) for claim in chosen)]
    if unknown:
        known = sorted({name for claim in chosen for name in _names(claim)})
        remedy = f"one of {', '.join(known)}"
        raise InstanceError(
            Problem("command line", f"--set {name}", "none of these claims has such an input", remedy)
            for name in unknown
        )
    documents = []
    for claim in chosen:
        documents.append(_document(claim, {k: v for k, v in changes.items() if k in _names(claim)}))
        progress("", len(documents), len(chosen))
    return documents


def failures(claim: Claim) -> list[str]:
    """List acceptance lines that do not come out, as text."""
    return [line["text"] for line in _accepted(claim) if not line["holds"]]


def _chosen(ids: Sequence[str]) -> list[Claim]:
    wanted = [name.upper() for name in ids]
    unknown = [name for name in wanted if name not in CLAIMS]
    if unknown:
        remedy = f"one of C1 to C{len(CLAIMS)}"
        raise InstanceError(Problem("command line", name, "no such claim", remedy) for name in unknown)
    return [CLAIMS[name] for name in dict.fromkeys(wanted)] or list(CLAIMS.values())


def _names(claim: Claim) -> set[str]:
    return {entry.name for entry in claim.inputs}


def _computed(claim: Claim, values: Values) -> Finding:
    """Recompute a claim; where a changed input leads out of its formulas, say so."""
    try:
        finding = claim.compute(values)
    except LookupError as error:
        raise _nowhere(claim, f"there is no {error}", "another name") from error
    except (ArithmeticError, MemoryError, ValueError) as error:
        raise _nowhere(claim, str(error)) from error
    endless = [
        entry.name for entry in finding.all_figures if isinstance(entry.value, float) and not isfinite(entry.value)
    ]
    if endless or not isfinite(finding.computed or 0.0):
        raise _nowhere(claim, f"no finite number for {', '.join(endless) or claim.quantity}")
    return finding


def _nowhere(claim: Claim, reason: str, remedy: str = "a value nearer to the default") -> InstanceError:
    return InstanceError.single("command line", "--set", f"{claim.id} cannot be computed there: {reason}", remedy)


def _document(claim: Claim, changes: Mapping[str, Value]) -> dict[str, Any]:
    values = claim.values(changes)
    finding = _computed(claim, values)
    verdict = verdict_of(claim, finding)
    return {
        "id": claim.id,
        "topic": claim.topic,
        "statement": claim.statement,
        "printed": claim.printed,
        "computed": finding.computed,
        "unit": claim.unit,
        "tolerance": claim.agree,
        "verdict": verdict,
        "verdict_means": MEANING[verdict],
        "why": claim.why,
        "quantity": claim.quantity,
        "equation": claim.equation,
        "exhibit": claim.exhibit or None,
        "holds": finding.holds,
        "inputs": [
            {"name": entry.name, "value": values[entry.name], "unit": entry.unit, "meaning": entry.meaning}
            for entry in claim.inputs
        ],
        "figures": [_figure(entry) for entry in finding.figures],
        "otherwise": [_figure(entry) for entry in finding.otherwise],
        "field": [_figure(entry) for entry in finding.field],
        "acceptance": _accepted(claim),
        "flip": _flip(claim, values),
    }


def _figure(entry: Figure) -> dict[str, Any]:
    return {
        "name": entry.name,
        "value": entry.value,
        "unit": entry.unit,
        "printed": entry.printed,
        "source": entry.source,
    }


def _flip(claim: Claim, values: Values) -> dict[str, Any] | None:
    flip = smallest_flip(claim, values)
    return None if flip is None else vars(flip)


def _accepted(claim: Claim) -> list[dict[str, Any]]:
    """Check every acceptance line; a finding under the same inputs is computed once."""
    findings: dict[str, Finding] = {}
    lines = []
    for line in claim.acceptance:
        key = repr(sorted(line.given.items()))
        if key not in findings:
            findings[key] = claim.compute(claim.values(line.given))
        value = findings[key].figure(line.figure).value
        given = "".join(f", {name} = {setting}" for name, setting in line.given.items())
        lines.append(
            {
                "text": f"{line.figure}{given}: {value} against {line.expected}",
                "figure": line.figure,
                "given": dict(line.given),
                "value": value,
                "expected": line.expected,
                "holds": _holds(line, value),
            }
        )
    return lines


def _holds(line: Acceptance, value: float | bool | str) -> bool:
    if isinstance(line.expected, bool | str) or isinstance(value, bool | str):
        return value == line.expected
    return abs(value - line.expected) <= max(line.absolute, line.relative * abs(line.expected))
