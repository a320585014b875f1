"""Score the serving cost model on measured rows, beside its baselines, in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.costs.points import AGGREGATED, PHASES
from planner.exchange.measured.predictions import read_predictions
from planner.exchange.measured_serving import read_measured_serving
from planner.instance.resolve import load_calibration
from planner.studies.validation.bands import NOMINAL, UNSEEN_SPREAD, coverage, profile_factors
from planner.studies.validation.cleaning import clean
from planner.studies.validation.fit import Rows, fit, left_out
from planner.studies.validation.metrics import (
    METRICS,
    Figures,
    covered,
    error_document,
    measured_figures,
    predicted_figures,
    unanswered,
)
from planner.studies.validation.predictor import FIT_START, profile_form
from planner.studies.validation.prototype import PROTOTYPE
from planner.studies.validation.prototype_values import PUBLISHED
from planner.studies.validation.regret import regret_document
from planner.studies.validation.site import corrected_throughput, few_point_errors
from planner.studies.validation.splits import folds, labels
from planner.studies.validation.wide_ep import wide_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from planner.exchange.measured.row import Measured
    from planner.instance.calibration import Calibration
    from planner.studies.validation.forms import Form

    Progress = Callable[[str, int, int], None]

HAND_PROFILE = "hand_set"
POINTS_PER_SITE = (1, 3, 5)


@dataclass(frozen=True)
class Question:
    """What is scored: a file under a profile, tabled ``by`` a split; ``refit`` leaves each part out of its own fit."""

    file: Path
    profile: str
    by: str = "group"
    refit: bool = False
    predictions: Path | None = None


def validate_serving(question: Question, progress: Progress | None = None) -> dict[str, Any]:
    """Read, clean, predict and score.

    Returns
    -------
    dict
        The document of `planner validate serving --format json`: ``rows, skipped, notes, groups, overall, phases,
        baselines, coverage, regret, after_points, wide_ep`` and, with predictions, ``answered_by_other``.

    Raises
    ------
    InstanceError
        If a file is no table of measured rows or of predictions, or there is no such profile.
    """
    profile = load_calibration(question.profile)
    others = read_predictions(question.predictions) if question.predictions else None
    raw = read_measured_serving(question.file)
    measured = clean(raw)
    document: dict[str, Any] = {
        "file": str(question.file),
        "profile": profile.name,
        "by": question.by,
        "left_out": question.refit,
        "rows": len(measured),
        "skipped": {reason: len(ids) for reason, ids in sorted(measured.skipped.items())},
        "notes": dict(measured.notes),
    }
    if len(measured) == 0:
        return document | {"groups": [], "overall": None}
    return document | _Scored(question, profile, measured, progress).document(raw, others)


class _Scored:
    """Answers of the model and its baselines for one cleaned file."""

    def __init__(self, question: Question, profile: Calibration, measured: Measured, progress: Progress | None) -> None:
        self.profile, self.measured, self.progress = profile, measured, progress
        self.parts = labels(measured.rows, question.by)
        self.rows = Rows(measured.points, measured_figures(measured), labels(measured.rows, "group"))
        self.refit, self.by = question.refit, question.by
        self.form = profile_form(profile)
        # A refit starts from the priors: the shipped profile's values have seen every part.
        self.fitted = profile_form(load_calibration(FIT_START)) if self.refit else self.form
        self.start = fit(self.fitted, self.rows).values if self.refit else self.form.prior
        self.model = self._answers(self.fitted)
        hand = profile_form(load_calibration(HAND_PROFILE))
        self.baselines = {
            "hand_values": self._plain(hand),
            "prototype_form": self._prototype(),
        }

    def _answers(self, form: Form) -> Figures:
        if not self.refit:
            return self._plain(form)
        start = fit(form, self.rows).values
        return left_out(form, self.rows, self.parts, start, progress=self.progress).predicted

    def _prototype(self) -> Figures:
        """Answer by the prototype's form, refitted like the model, or with the values that its dossier publishes."""
        if self.refit:
            return self._answers(PROTOTYPE)
        answer = PROTOTYPE.predict(PROTOTYPE.prior | PUBLISHED, self.rows.points)
        return predicted_figures(answer, self.rows.measured)

    def _plain(self, form: Form) -> Figures:
        return predicted_figures(form.predict(form.prior, self.rows.points), self.rows.measured)

    def document(self, raw: Measured, others: dict[str, tuple[float, float]] | None) -> dict[str, Any]:
        measured = self.rows.measured
        document: dict[str, Any] = {
            "unanswered": unanswered(self.model, measured),
            "groups": [
                {"group": part, "n": int(inside.sum())} | error_document(self.model.take(inside), measured.take(inside))
                for part, inside in folds(self.parts)
            ],
            "overall": self._errors(self.model),
            "phases": self._phases(),
            "baselines": {name: self._errors(figures) for name, figures in self.baselines.items()},
            "coverage": self._coverage(),
            "regret": regret_document(self.measured.rows, self.model, measured),
            "after_points": [self._after(points) for points in POINTS_PER_SITE],
            "wide_ep": wide_document(raw, lambda points: self.form.predict(self.form.prior, points)),
        }
        if others is not None:
            document["answered_by_other"] = self._beside(others)
        return document

    def _errors(self, figures: Figures, rows: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> dict[str, object]:
        chosen = np.ones(len(self.rows), dtype=bool) if rows is None else rows
        return {"n": int(chosen.sum())} | error_document(figures.take(chosen), self.rows.measured.take(chosen))

    def _phases(self) -> dict[str, Any]:
        phase = self.rows.points.phase
        return {
            name: {"model": self._errors(self.model, phase == index)}
            | {base: self._errors(figures, phase == index) for base, figures in self.baselines.items()}
            for index, name in enumerate(PHASES)
            if (phase == index).any()
        }

    def _coverage(self) -> dict[str, float | None]:
        """Share of rows inside the band: the profile's own, or one from the other parts' residuals."""
        measured, bands = self.rows.measured, self.profile.bands
        if bands is None or self.refit:
            groups_out = None
            if self.refit and self.by in UNSEEN_SPREAD:
                groups_out = left_out(self.fitted, self.rows, self.rows.groups, self.start).predicted
            shares = coverage(self.model, measured, self.parts, by=self.by, groups_out=groups_out)
            return {"nominal": NOMINAL, **shares}
        held: dict[str, float | None] = {"nominal": bands.nominal}
        for metric in METRICS:
            pairs = [profile_factors(bands, metric, row.accelerator.name, row.engine) for row in self.measured.rows]
            low, high = np.array(pairs, dtype=np.float64).T
            guess = self.model.of(metric)
            held[metric] = covered(measured.of(metric), low * guess, high * guess)
        return held

    def _after(self, points: int) -> dict[str, Any]:
        """Errors of aggregated rows after a few points of their own site."""
        chosen = self.rows.points.phase == AGGREGATED
        kept = self.measured.take(chosen).rows
        predicted, measured = few_point_errors(kept, self.model.take(chosen), self.rows.measured.take(chosen), points)
        return {"points": points, **error_document(predicted, measured)}

    def _beside(self, others: dict[str, tuple[float, float]]) -> dict[str, Any]:
        """Errors of both planners on the rows that the other one answered, all and by engine."""
        rows = self.measured.rows
        pairs = np.array([others.get(row.identity, (np.nan, np.nan)) for row in rows], dtype=np.float64)
        both = np.isfinite(pairs[:, 1])
        reference = np.where(both, self.rows.measured.throughput, np.nan)
        base = Figures(self.rows.measured.tpot, self.rows.measured.ttft, reference)
        other = Figures(
            pairs[:, 1], pairs[:, 0], corrected_throughput(base, pairs[:, 1], pairs[:, 0], self.measured.rows)
        )
        parts = {"all": both}
        for split in ("engine",):
            parts |= {part: inside & both for part, inside in folds(labels(rows, split))}
        phase = self.rows.points.phase
        parts |= {name: both & (phase == index) for index, name in enumerate(PHASES)}
        return {
            name: {"model": self._errors(self.model, chosen), "other": self._errors(other, chosen)}
            | {base_name: self._errors(figures, chosen) for base_name, figures in self.baselines.items()}
            for name, chosen in parts.items()
            if chosen.any()
        }
