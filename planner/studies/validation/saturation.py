"""Throughput without a latency limit: the best over requests in flight, as an offline benchmark finds it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.points import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from planner.costs.points import ServingPoints

    Column = NDArray[np.float64]
    Answer = Callable[[Mapping[str, float], ServingPoints], Predictions]

SEQUENCES_PER_RANK = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Loads that are tried; engines cap sequences per rank at 2,048 by default or lower (TensorRT-LLM's max_batch_size)."""


@dataclass(frozen=True, eq=False)
class _Loads:
    """Points split for the search: which rows are open, each at every load, and all with a finite load."""

    rows: NDArray[np.intp]
    tried: ServingPoints
    finite: ServingPoints


@functools.lru_cache(maxsize=64)
def _loads(points: ServingPoints) -> _Loads:
    """Kept beside the points, so that a fit prepares their columns once."""
    rows = np.flatnonzero(np.isinf(points.concurrency))
    unlimited = points.take(rows)
    ranks = unlimited.workers.count * unlimited.workers.data_parallel
    each = np.repeat(np.arange(len(rows)), len(SEQUENCES_PER_RANK))
    loads = np.tile(np.array(SEQUENCES_PER_RANK, dtype=np.float64), len(rows)) * ranks[each]
    finite = points.at_concurrency(np.where(np.isinf(points.concurrency), 1.0, points.concurrency))
    return _Loads(rows, unlimited.take(each).at_concurrency(loads), finite)


def saturated(answer: Answer) -> Answer:
    """Wrap a form so that a point with infinitely many requests in flight gets its best load's answer."""

    def wrapped(values: Mapping[str, float], points: ServingPoints) -> Predictions:
        if not np.isinf(points.concurrency).any():
            return answer(values, points)
        loads = _loads(points)
        tried = answer(values, loads.tried)
        rates = tried.tok_s_per_gpu.reshape(len(loads.rows), len(SEQUENCES_PER_RANK))
        best = np.argmax(np.nan_to_num(rates, nan=-1.0), axis=1) + np.arange(len(rates)) * len(SEQUENCES_PER_RANK)
        return _with_rows(answer(values, loads.finite), loads.rows, tried.take(best))

    return wrapped


def _with_rows(whole: Predictions, rows: NDArray[np.intp], part: Predictions) -> Predictions:
    """Copy ``whole`` with ``rows`` taken from ``part``."""

    def put(column: Column, other: Column | None) -> Column:
        copy = np.array(column)
        copy[rows] = other
        return copy

    return Predictions(
        ttft_s=put(whole.ttft_s, part.ttft_s),
        tpot_s=put(whole.tpot_s, part.tpot_s),
        tok_s_per_gpu=put(whole.tok_s_per_gpu, part.tok_s_per_gpu),
        input_tok_s_per_gpu=put(whole.input_tok_s_per_gpu, part.input_tok_s_per_gpu),
        terms={name: put(column, part.terms[name]) for name, column in whole.terms.items()},
        ttft_terms={name: put(column, part.ttft_terms[name]) for name, column in whole.ttft_terms.items()},
        weight_bytes_per_gpu=whole.weight_bytes_per_gpu,
        kv_bytes_per_gpu=None if whole.kv_bytes_per_gpu is None else put(whole.kv_bytes_per_gpu, part.kv_bytes_per_gpu),
        fits=whole.fits,
    )
