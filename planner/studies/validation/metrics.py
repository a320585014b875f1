"""Errors of predictions: absolute percentage error, its median and tail, bias, and how often a band holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from planner.costs.points import Predictions
    from planner.exchange.measured.row import Measured

    Column = NDArray[np.float64]
    Flags = NDArray[np.bool_]

METRICS = ("tpot", "ttft", "throughput")


@dataclass(frozen=True)
class Figures:
    """One value a row for each metric [row]; NaN where there is none."""

    tpot: Column
    ttft: Column
    throughput: Column

    def of(self, metric: str) -> Column:
        """Column of one of :data:`METRICS`."""
        return np.asarray(getattr(self, metric), dtype=np.float64)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Figures:
        """Keep some rows."""
        return Figures(*(self.of(metric)[rows] for metric in METRICS))


def measured_figures(measured: Measured) -> Figures:
    """Collect what was measured; throughput is of prompt tokens where only a prefill pool was measured."""
    output = measured.column(lambda row: row.tok_s_per_gpu)
    return Figures(
        tpot=measured.column(lambda row: row.tpot_s),
        ttft=measured.column(lambda row: row.ttft_s),
        throughput=np.where(np.isnan(output), measured.column(lambda row: row.input_tok_s_per_gpu), output),
    )


def predicted_figures(predictions: Predictions, measured: Figures) -> Figures:
    """Collect what was predicted, for the metrics that were measured."""
    output = np.asarray(predictions.tok_s_per_gpu)
    throughput = np.where(np.isnan(output), predictions.input_tok_s_per_gpu, output)
    pairs = zip((predictions.tpot_s, predictions.ttft_s, throughput), METRICS, strict=True)
    return Figures(*(np.where(np.isnan(measured.of(metric)), np.nan, column) for column, metric in pairs))


@dataclass(frozen=True)
class Errors:
    """Errors of one metric over some rows. Fractions; ``bias`` is the median signed error of the prediction."""

    n: int
    mape: float
    median: float
    bias: float
    p90: float

    @classmethod
    def of(cls, predicted: Column, measured: Column) -> Errors | None:
        """Errors over the rows that have both; None where no row has."""
        both = np.isfinite(predicted) & np.isfinite(measured)
        if not both.any():
            return None
        signed = predicted[both] / measured[both] - 1.0
        size = np.abs(signed)
        return cls(
            n=int(both.sum()),
            mape=float(size.mean()),
            median=float(np.median(size)),
            bias=float(np.median(signed)),
            p90=float(np.quantile(size, 0.9)),
        )


def unanswered(predicted: Figures, measured: Figures) -> int:
    """Rows with a measured figure that got no prediction."""
    missing = np.zeros(len(measured.tpot), dtype=bool)
    for metric in METRICS:
        missing |= np.isfinite(measured.of(metric)) & ~np.isfinite(predicted.of(metric))
    return int(missing.sum())


def error_document(predicted: Figures, measured: Figures) -> dict[str, object]:
    """JSON of all metrics: ``mape_*`` in per cent, the rest fractions; null where nothing was measured."""
    document: dict[str, object] = {}
    for metric in METRICS:
        errors = Errors.of(predicted.of(metric), measured.of(metric))
        document[f"mape_{metric}"] = 100.0 * errors.mape if errors else None
        document[f"median_ape_{metric}"] = errors.median if errors else None
        document[f"bias_{metric}"] = errors.bias if errors else None
        document[f"p90_ape_{metric}"] = errors.p90 if errors else None
        document[f"n_{metric}"] = errors.n if errors else 0
    return document


def covered(measured: Column, low: Column, high: Column) -> float | None:
    """Share of the rows measured inside the band; None where no row has both."""
    known = np.isfinite(measured) & np.isfinite(low) & np.isfinite(high)
    if not known.any():
        return None
    return float(((measured >= low) & (measured <= high))[known].mean())


def log_residuals(predicted: Column, measured: Column) -> Column:
    """Logarithm of measured over predicted [row]; NaN where either is missing."""
    known = np.isfinite(predicted) & np.isfinite(measured) & (predicted > 0) & (measured > 0)
    ratio = np.divide(measured, predicted, out=np.full(len(measured), np.nan), where=known)
    return np.asarray(np.log(ratio), dtype=np.float64)


def document_of(columns: Mapping[str, Figures], measured: Figures) -> dict[str, dict[str, object]]:
    """Errors of several predictors over the same rows: those that every one of them answered."""
    shared = Figures(*(_shared([column.of(metric) for column in columns.values()]) for metric in METRICS))
    masked = Figures(*(np.where(np.isnan(shared.of(metric)), np.nan, measured.of(metric)) for metric in METRICS))
    return {name: error_document(column, masked) for name, column in columns.items()}


def _shared(columns: list[Column]) -> Column:
    return np.where(np.all([np.isfinite(column) for column in columns], axis=0), 1.0, np.nan)
