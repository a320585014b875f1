"""Throughput without a latency limit: the best over requests in flight, as an offline benchmark finds it."""

from __future__ import annotations

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


def saturated(answer: Answer) -> Answer:
    """Wrap a form so that a point with infinitely many requests in flight gets its best load's answer."""

    def wrapped(values: Mapping[str, float], points: ServingPoints) -> Predictions:
        offline = np.flatnonzero(np.isinf(points.concurrency))
        if len(offline) == 0:
            return answer(values, points)
        unlimited = points.take(offline)
        ranks = unlimited.workers.count * unlimited.workers.data_parallel
        loads = np.array(SEQUENCES_PER_RANK, dtype=np.float64)
        rows = np.repeat(np.arange(len(offline)), len(loads))
        tried = answer(values, unlimited.take(rows).at_concurrency(np.tile(loads, len(offline)) * ranks[rows]))
        rates = tried.tok_s_per_gpu.reshape(len(offline), len(loads))
        best = np.nanargmax(np.nan_to_num(rates, nan=-1.0), axis=1) + np.arange(len(offline)) * len(loads)
        finite = points.at_concurrency(np.where(np.isinf(points.concurrency), 1.0, points.concurrency))
        return _with_rows(answer(values, finite), offline, tried.take(best))

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
