"""What choosing by the model costs: throughput lost against the best measured configuration under a TPOT limit.

Definitions: serving prototype 2026-11-25, section 6. A question is one model, accelerator, engine, precision and pair
of lengths with at least three measured configurations; a shape is tp, dp, ep. Regret is the share of tok/s/GPU lost; a
choice whose shape never meets the limit loses everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.points import AGGREGATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from planner.exchange.measured.row import MeasuredRow
    from planner.studies.validation.metrics import Figures

    Column = NDArray[np.float64]

LIMITS_S = (0.03, 0.05, 0.1)
FEWEST_CONFIGURATIONS = 3
SAFE_SHARE = 0.05
"""A pick succeeds within this share of the limit and of the best throughput."""


SHARED_SPREAD, OWN_SPREAD = 0.13, 0.10
"""Spread of the logarithm of measured over predicted TPOT: of a site's constant (0.13 over 39 sites of the shared rows,
left out), and of a shape's own factor, a little below the 0.12 inside a site. Chosen beside these rows: with 0.08 to
0.2 and 0.05 to 0.2 the regret of two measured shapes was 2.2-2.6, 1.0 and 0.2 % at 30, 50 and 100 ms."""
DRAWS, SEED = 2000, 20261125
TIE = 0.005
"""Shapes this close are taken for equal, and fewer expert ranks win: no balance of experts has to be hoped for."""


@dataclass(frozen=True)
class Question:
    """Configurations to choose from: row numbers, and the shape of each."""

    rows: NDArray[np.intp]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def distinct(self) -> tuple[tuple[int, ...], ...]:
        """Shapes, each once."""
        return tuple(dict.fromkeys(self.shapes))

    def of_shape(self, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Rows of one shape."""
        return self.rows[[entry == shape for entry in self.shapes]]


def questions(rows: Sequence[MeasuredRow]) -> list[Question]:
    """Every question that the rows can answer."""
    found: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        if row.phase == AGGREGATED and np.isfinite(row.tpot_s) and np.isfinite(row.tok_s_per_gpu):
            key = (row.group, row.precision, row.input_tokens, row.output_tokens)
            found.setdefault(key, []).append(place)
    return [
        Question(np.array(places), tuple(_shape(rows[place]) for place in places))
        for places in found.values()
        if len(places) >= FEWEST_CONFIGURATIONS
    ]


def _shape(row: MeasuredRow) -> tuple[int, ...]:
    return (row.shape.gpus, row.shape.tensor, row.shape.data, row.shape.expert)


def _best(rows: NDArray[np.intp], figures: Figures, limit_s: float) -> float:
    """Largest throughput of the rows that meet the limit; 0 where none does."""
    meets = figures.tpot[rows] <= limit_s
    return float(figures.throughput[rows][meets].max()) if meets.any() else 0.0


def ranked_shapes(question: Question, predicted: Figures, limit_s: float) -> list[tuple[int, ...]]:
    """Shapes, best first, for somebody who measures one or two of them.

    A prediction is off by a factor that all shapes of a question share and by one of each shape's own
    (:data:`SHARED_SPREAD`, :data:`OWN_SPREAD`); the limit makes that matter: a shape predicted just below it may not
    meet it. Over seeded draws of both, the first shape has the largest expected share of the best throughput, and each
    next one adds most to what the best of those before it reaches.
    """
    shapes = question.distinct
    value = _values(question, shapes, predicted, limit_s)
    order: list[int] = []
    reached = np.zeros(len(value))
    fastest = [float(np.nanmin(predicted.tpot[question.of_shape(shape)])) for shape in shapes]
    while len(order) < len(shapes):
        left = [place for place in range(len(shapes)) if place not in order]
        gains = {place: float(np.maximum(reached, value[:, place]).mean()) for place in left}
        equal = [place for place in left if gains[place] >= max(gains.values()) - TIE]
        chosen = min(equal, key=lambda place: (shapes[place][3], -gains[place], fastest[place]))
        order.append(chosen)
        reached = np.maximum(reached, value[:, chosen])
    return [shapes[place] for place in order]


def _values(question: Question, shapes: tuple[tuple[int, ...], ...], predicted: Figures, limit_s: float) -> Column:
    """Share of the best shape's throughput that each shape reaches under the limit [draw, shape]; 0 where it misses."""
    random = np.random.default_rng(SEED)
    shared = np.exp(SHARED_SPREAD * random.standard_normal(DRAWS))
    value = np.zeros((DRAWS, len(shapes)))
    for place, shape in enumerate(shapes):
        rows = question.of_shape(shape)
        slower = shared * np.exp(OWN_SPREAD * random.standard_normal(DRAWS))
        meets = predicted.tpot[rows][None, :] * slower[:, None] <= limit_s
        rates = np.where(meets, predicted.throughput[rows][None, :] / slower[:, None], 0.0)
        value[:, place] = np.nan_to_num(rates).max(axis=1)
    best = value.max(axis=1, keepdims=True)
    return np.asarray(np.divide(value, best, out=np.zeros_like(value), where=best > 0))


def regret_document(
    rows: Sequence[MeasuredRow], predicted: Figures, measured: Figures, limits_s: Sequence[float] = LIMITS_S
) -> list[dict[str, float | int | None]]:
    """Mean regret under each limit: one shape picked, the better of two measured, the fewest GPUs; end-to-end success.

    JSON, fractions; ``limit_s`` in seconds, null where no question has an answer.
    """
    asked = questions(rows)
    return [_at_limit(asked, predicted, measured, limit) for limit in limits_s]


def _at_limit(
    asked: list[Question], predicted: Figures, measured: Figures, limit_s: float
) -> dict[str, float | int | None]:
    one, two, fewest, success, violated = [], [], [], [], []
    for question in asked:
        best = _best(question.rows, measured, limit_s)
        if best == 0.0:
            continue
        pick = _pick(question, predicted, limit_s)
        late = bool(measured.tpot[pick] > limit_s * (1 + SAFE_SHARE))
        violated.append(late)
        success.append(not late and bool(measured.throughput[pick] >= best * (1 - SAFE_SHARE)))
        if len(question.distinct) < 2:
            continue
        lost = {shape: 1 - _best(question.of_shape(shape), measured, limit_s) / best for shape in question.distinct}
        order = ranked_shapes(question, predicted, limit_s)
        one.append(lost[order[0]])
        two.append(min(lost[order[0]], lost[order[1]]))
        smallest = min(shape[0] for shape in question.distinct)
        fewest.append(float(np.mean([loss for shape, loss in lost.items() if shape[0] == smallest])))
    return {
        "limit_s": limit_s,
        "questions": len(success),
        "questions_of_shape": len(one),
        "one_shape": _mean(one),
        "two_shapes_measured": _mean(two),
        "fewest_gpus": _mean(fewest),
        "success": _mean(success),
        "violates": _mean(violated),
    }


def _pick(question: Question, predicted: Figures, limit_s: float) -> int:
    """Row with the largest predicted throughput under the limit, else the fastest."""
    meets = predicted.tpot[question.rows] <= limit_s
    if meets.any():
        return int(question.rows[meets][np.nanargmax(predicted.throughput[question.rows][meets])])
    return int(question.rows[np.nanargmin(predicted.tpot[question.rows])])


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
