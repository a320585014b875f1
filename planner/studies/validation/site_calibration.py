"""Correct a profile with a site's own points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.errors import InstanceError, Problem
from planner.instance.calibration import SiteCorrection
from planner.instance.resolve import load_calibration
from planner.studies.validation.calibrate import Calibrated
from planner.studies.validation.metrics import log_residuals, measured_figures, predicted_figures
from planner.studies.validation.predictor import profile_form
from planner.studies.validation.site import correction_of
from planner.studies.validation.splits import folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planner.exchange.measured.row import Measured
    from planner.instance.calibration import Calibration

    Column = NDArray[np.float64]
    Labels = NDArray[np.str_]

FEWEST_SITE_POINTS = 3


def correct_site(measured: Measured, base: str, name: str) -> Calibrated:
    """Add a site's own factors to a profile: one correction a group and precision with three or more points.

    The user's own points are not cleaned by build or run; what contradicts itself was left out when reading.

    Raises
    ------
    InstanceError
        If no group has three points.
    """
    start = load_calibration(base)
    form = profile_form(start)
    truth = measured_figures(measured)
    predicted = predicted_figures(form.predict(form.prior, measured.points), truth)
    logs = {metric: log_residuals(predicted.of(metric), truth.of(metric)) for metric in ("tpot", "ttft")}
    sites = np.array([f"{row.group} {row.precision}".strip() for row in measured.rows], dtype=np.str_)
    found, few = _corrections(measured, logs, sites)
    if not found:
        raise InstanceError(few or [Problem(measured.file, "", "no row can be used", "see the rows left out")])
    document = {
        "profile": name,
        "rows": len(measured),
        "skipped": {reason: len(ids) for reason, ids in sorted(measured.skipped.items())},
        "fitted": {_label(new): new.model_dump() for new in found},
        "too_few_points": [problem.message for problem in few],
        "left_out_error": _leave_one_out(predicted.tpot, truth.tpot, sites),
    }
    return Calibrated(_with_site(start, found, name, measured.file), document)


def _with_site(start: Calibration, found: list[SiteCorrection], name: str, file: str) -> Calibration:
    kept = [old for old in start.site if _label(old) not in {_label(new) for new in found}]
    points = sum(new.points for new in found)
    return start.model_copy(
        update={
            "name": name,
            "title": f"{start.title}, corrected by a site's own points",
            "site": (*kept, *found),
            "sources": start.sources | {"site": f"{points} points of {file.rpartition('/')[2]}"},
        }
    )


def _corrections(
    measured: Measured, logs: dict[str, Column], sites: Labels
) -> tuple[list[SiteCorrection], list[Problem]]:
    found: list[SiteCorrection] = []
    few: list[Problem] = []
    for site, inside in folds(sites):
        points = int(np.isfinite(logs["tpot"][inside]).sum())
        if points < FEWEST_SITE_POINTS:
            message = f"{site}: {points} points with a TPOT"
            few.append(Problem(measured.file, "", message, f"give {FEWEST_SITE_POINTS} or more of one deployment"))
            continue
        correction = correction_of({metric: column[inside] for metric, column in logs.items()})
        row = measured.rows[int(np.flatnonzero(inside)[0])]
        found.append(
            SiteCorrection(
                model=row.model.name,
                hardware=row.accelerator.name,
                engine=row.engine,
                precision=row.precision,
                tpot_factor=correction.tpot,
                ttft_factor=correction.ttft,
                points=points,
            )
        )
    return found, few


def _label(correction: SiteCorrection) -> str:
    names = (correction.model, correction.hardware, correction.engine, correction.precision)
    return " ".join(name for name in names if name)


def _leave_one_out(predicted: Column, truth: Column, sites: Labels) -> dict[str, float | None]:
    """TPOT error of each point under factors from the other points of its site, and before any correction."""
    logs = log_residuals(predicted, truth)
    after = np.full(len(truth), np.nan)
    for _, inside in folds(sites):
        places = np.flatnonzero(inside & np.isfinite(logs))
        for place in places if len(places) >= FEWEST_SITE_POINTS else ():
            others = places[places != place]
            after[place] = predicted[place] * correction_of({"tpot": logs[others], "ttft": np.empty(0)}).tpot
    used = np.isfinite(after)
    if not used.any():
        return {"mape_tpot": None, "mape_tpot_before": None}
    size = np.abs(after[used] / truth[used] - 1)
    before = np.abs(predicted[used] / truth[used] - 1)
    return {"mape_tpot": 100 * float(size.mean()), "mape_tpot_before": 100 * float(before.mean())}
