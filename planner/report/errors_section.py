"""How far the cost model was off on measured data, beside the answer that rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.markup import Markup, element, folded, joined, section, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METRICS = {"tpot": "time per token", "ttft": "time to first token", "throughput": "tokens a second and GPU"}
TITLE = "How far the cost model is off"
PLANNERS = {
    "model": "this model",
    "aiconfigurator": "aiconfigurator",
    "hand_values": "hand values",
    "prototype_form": "prototype's form",
}
MEANING = (
    "Mean / median absolute error in per cent of the measured value, on rows that the fit had not seen: each part is "
    "predicted by a fit without it. Baselines stand beside it on the same rows."
)


def model_error(payload: Mapping[str, Any]) -> Markup:
    """Write the error of the plan's calibration on rows it was not fitted to, and its bands; or that it has none."""
    calibration = payload["assumptions"]["calibration"]
    bands, left_out = calibration.get("bands"), calibration.get("left_out")
    if not bands and not left_out:
        return section(
            "error",
            TITLE,
            f"The calibration {calibration['name']} was not scored against measurements: its error is unknown. "
            "Solve with calibration = fitted to plan with one that was, or see `planner validate`.",
        )
    return section(
        "error",
        TITLE,
        "The certificate holds for the cost model; real machines may be this far from it.",
        _left_out(left_out) if left_out else "",
        _bands(calibration, bands) if bands else "",
    )


def _bands(calibration: Mapping[str, Any], bands: Mapping[str, Any]) -> Markup:
    rows = [
        (label, words.fixed(bands[key]["low"], 2), words.fixed(bands[key]["high"], 2)) for key, label in METRICS.items()
    ]
    meaning = f"Of measured values that were left out of its fit, {words.share(bands['nominal'])} lay between these "
    known = f"Accelerators of the fit: {', '.join(bands['hardware'])}; engines: {', '.join(bands['engines'])}."
    return joined(
        [
            element("h3", "Bands of the answers"),
            element("p", meaning + "factors of the prediction."),
            table(("What", "Low", "High"), rows),
            element("p", f"{known} Others are less certain."),
            element("p", f"Source: {calibration['sources'].get('bands', words.NONE)}"),
        ]
    )


def _left_out(left_out: Mapping[str, Any]) -> Markup:
    """Tabulate the errors beside the baselines, then by split, after a site's own points and by group."""
    beside = [
        (part, PLANNERS.get(planner, planner), errors)
        for part, planners in _parts(left_out)
        for planner, errors in planners.items()
    ]
    splits = [
        (f"each {name}", planners["model"]) for name, planners in left_out["splits"].items() if "model" in planners
    ]
    points = [(f"after {count} of the site's own points", entry) for count, entry in left_out["after_points"].items()]
    groups = [(name.replace("_", " "), entry) for name, entry in left_out["groups"].items()]
    said = f"{left_out['file']}, {left_out['date']}. Made by: {left_out['command']}"
    return joined(
        [
            element("h3", "Error on rows it was not fitted to"),
            element("p", MEANING),
            table(("Rows", "Planner", *_COLUMNS), ((*row[:2], *_cells(row[2])) for row in beside), left=2),
            folded(
                "Left out in other ways, and after points of the site's own", _errors("Left out", [*splits, *points])
            ),
            folded("By group", _errors("Group", groups)) if groups else "",
            *(element("p", note) for note in left_out["notes"]),
            element("p", f"Measured rows: {said}"),
        ]
    )


def _parts(left_out: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    answered = {"rows that aiconfigurator answered": left_out["answered_by_aiconfigurator"].get("all", {})}
    return [*left_out["phases"].items(), *answered.items()]


_COLUMNS = ("n", *(f"{label}, %" for label in METRICS.values()))


def _errors(name: str, entries: Iterable[tuple[str, Mapping[str, Any]]]) -> Markup:
    return table((name, *_COLUMNS), ((label, *_cells(errors)) for label, errors in entries))


def _cells(errors: Mapping[str, Any]) -> list[str]:
    return [f"{errors['n']:,}", *(_pair(errors, metric) for metric in METRICS)]


def _pair(errors: Mapping[str, Any], metric: str) -> str:
    known = [errors.get(f"{metric}_{kind}") for kind in ("mean", "median")]
    if known == [None, None]:
        return words.NONE
    return " / ".join(words.fixed(None if value is None else 100 * value, 1) for value in known)
