"""Fit a profile to measured rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.points import AGGREGATED
from planner.errors import InstanceError, Problem
from planner.instance.calibration import Band, Bands
from planner.instance.resolve import load_calibration
from planner.studies.validation.bands import NOMINAL, coverage, factors
from planner.studies.validation.cleaning import clean
from planner.studies.validation.fit import Rows, fit, left_out
from planner.studies.validation.metrics import METRICS, error_document, log_residuals, measured_figures
from planner.studies.validation.predictor import profile_form, with_values
from planner.studies.validation.splits import labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.exchange.measured.row import Measured
    from planner.instance.calibration import Calibration

    Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Calibrated:
    """A profile and the document that says how it came about."""

    profile: Calibration
    document: dict[str, Any]


def calibrate(
    measured: Measured, base: str, name: str, by: str = "group", progress: Progress | None = None
) -> Calibrated:
    """Fit a profile to cleaned rows and state its error on parts left out.

    Parameters
    ----------
    measured
        Rows as read; they are cleaned here.
    base
        Profile whose values are the priors' medians.
    name
        Name of the new profile.
    by
        What is left out together for ``left_out_error`` and the bands.

    Raises
    ------
    InstanceError
        If no row is left to fit to, or there is no such profile.
    """
    start = load_calibration(base)
    cleaned = clean(measured)
    chosen = cleaned.take([row.phase == AGGREGATED for row in cleaned.rows])
    _refuse_without_rows(chosen)
    form = profile_form(start)
    rows = Rows(chosen.points, measured_figures(chosen), labels(chosen.rows, "group"))
    parts = labels(chosen.rows, by)
    values = fit(form, rows).values
    outside = left_out(form, rows, parts, values, progress=progress).predicted
    error = error_document(outside, rows.measured)
    bands = _bands(chosen, {metric: log_residuals(outside.of(metric), rows.measured.of(metric)) for metric in METRICS})
    profile = with_values(start, values).model_copy(
        update={
            "name": name,
            "title": f"Fitted to {len(chosen)} rows of {measured.file.rpartition('/')[2]}, starting from {start.name}",
            "bands": bands,
            "sources": start.sources | {"fit": _source(chosen, by, error)},
        }
    )
    document = {
        "profile": name,
        "rows": len(chosen),
        "skipped": {reason: len(ids) for reason, ids in sorted(cleaned.skipped.items())},
        "fitted": {entry.name: values[entry.name] for entry in form.free},
        "prior": {entry.name: entry.median for entry in form.free},
        "left_out": by,
        "left_out_error": {"n": len(chosen)} | error,
        "bands": None if bands is None else bands.model_dump(),
        "coverage": coverage(outside, rows.measured, parts, by=by),
    }
    return Calibrated(profile, document)


def _source(rows: Measured, by: str, error: dict[str, object]) -> str:
    return (
        f"planner calibrate on {len(rows)} cleaned aggregated rows; left out by {by}: TPOT {error['mape_tpot']:.1f} % "
        f"mean, {100 * float(str(error['median_ape_tpot'])):.1f} % median"
    )


def _refuse_without_rows(rows: Measured) -> None:
    if len(rows):
        return
    problems = [
        Problem(rows.file, "", f"{len(ids)} rows left out: {reason}", "mend or replace them")
        for reason, ids in sorted(rows.skipped.items())
    ]
    raise InstanceError(
        [Problem(rows.file, "", "no row is left to fit to", "give measured aggregated rows"), *problems]
    )


def _bands(rows: Measured, residuals: dict[str, np.ndarray[Any, np.dtype[np.float64]]]) -> Bands | None:
    pairs = {metric: factors(column, NOMINAL) for metric, column in residuals.items()}
    if any(np.isnan(pair).any() for pair in pairs.values()):
        return None
    return Bands(
        nominal=NOMINAL,
        **{metric: Band(low=low, high=high) for metric, (low, high) in pairs.items()},
        hardware=tuple(sorted({row.accelerator.name for row in rows.rows})),
        engines=tuple(sorted({row.engine for row in rows.rows})),
    )
