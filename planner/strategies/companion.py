"""The companion inequalities: a GPU with a large copy needs small copies beside it, and both cost slots.

Let no GPU carry more than T, and take a GPU with a copy of size z > T / 2; it is the only one of that size there. Its
other S - 1 slots carry at most T - z. N counts copies, empty slots being copies of size 0.

    threshold: for t >= T/2 and j = 1 .. S - 1, if z > t at least S - j of the slots hold at most (T - t) / j, because j
               larger ones would not fit:       N(<= (T - t) / j)  >=  (S - j) N(> t)
    excess:    for u <= T / (2 (S - 1)), summing u - size over the slots gives at least z - (T - (S - 1) u):
               sum over copies of max(0, u - size)  >=  sum over copies of max(0, size - (T - (S - 1) u))

Both are linear in x_en, whether expert e has n copies, each of size w_e / n <= T. With E empty slots the program reads

    min   sum_en n x_en + E     s.t.  sum_n x_en = 1 for every e, the inequalities, x in {0, 1}, E integer, E >= 0.

If its optimum passes the slots there are, no placement keeps to T. That holds for the even split on equal GPUs with
equal slots. With two slots the thresholds are also sufficient, two copies of an expert on one GPU aside: pair the
largest copy with the smallest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from planner.solver.matrix import MatrixModel
from planner.strategies.kernels.companion import EDGE

if TYPE_CHECKING:
    import numpy.typing as npt

    from planner.strategies.problem import FloatArray, IntArray

EXCESSES = 24
"""Values of u written down for three and more slots."""

JUST_BELOW = 1e-9
"""Thresholds lie this much (relative) below a candidate size, so that the size counts as large."""


@dataclass(frozen=True)
class Inequalities:
    """Which inequalities are written down, all sizes over T."""

    slots: int
    """S."""
    threshold: list[FloatArray]
    """t in falling order, for j = 1 .. S - 1."""
    excess: FloatArray
    """u."""

    def small(self, larger: int) -> FloatArray:
        """Largest size that counts as small for each t of j = ``larger``, rising."""
        return (1.0 - self.threshold[larger - 1]) / larger

    @property
    def kink(self) -> FloatArray:
        """Size above which a copy has an excess, for each u."""
        return np.asarray(1.0 - (self.slots - 1) * self.excess)


@dataclass(frozen=True)
class Prices:
    """Multipliers of the inequalities as the cost of a copy, in the form of `planner.strategies.kernels.companion`."""

    position: FloatArray
    level: FloatArray
    slope: FloatArray


def inequalities(size: FloatArray, slots: int) -> Inequalities:
    """Choose the inequalities for candidate copies of ``size`` over T, shape [candidate].

    Between two small sizes only the lowest t is kept: it has the most large copies.
    """
    large = np.unique(size[(size > 0.5) & (size <= 1.0 + EDGE)]) * (1.0 - JUST_BELOW)
    rising, threshold = np.sort(size), []
    for larger in range(1, slots):
        small = np.searchsorted(rising, (1.0 - large) / larger, side="right")
        first = np.r_[True, small[1:] != small[:-1]][: len(small)]
        threshold.append(np.maximum(large[first][::-1], 0.5))
    excess = np.arange(1, EXCESSES + 1) / (2.0 * (slots - 1) * EXCESSES) if slots > 2 else np.zeros(0)
    return Inequalities(slots, threshold, excess)


def program(expert: IntArray, copies: IntArray, size: FloatArray, cuts: Inequalities) -> MatrixModel:
    """Write the program over columns x [entry] of ``expert``, ``copies`` and ``size`` = w_e / (n T), then E, then s.

    s are the slacks of the thresholds: along falling t each is the one before, plus the copies that turn small, less
    S - j times those that turn large, so that every copy enters twice for a j. Before the first one stands E.
    """
    entries, experts = len(expert), int(expert.max()) + 1
    blocks: list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]
    blocks = [(expert, np.arange(entries), np.ones(entries))]
    row, column = experts, entries + 1
    for larger, threshold in enumerate(cuts.threshold, start=1):
        number = len(threshold)
        turns_large = number - np.searchsorted(threshold[::-1], size - EDGE, side="left")
        turns_small = np.searchsorted(cuts.small(larger) + EDGE, size, side="left")
        for turn, factor in ((turns_small, -1.0), (turns_large, float(cuts.slots - larger))):
            used = np.flatnonzero(turn < number)
            blocks.append((row + turn[used], used, factor * copies[used]))
        each = np.arange(number)
        blocks.append((row + each, column + each, np.ones(number)))
        blocks.append((row + each, np.where(each == 0, entries, column + each - 1), -np.ones(number)))
        row, column = row + number, column + number
    equal = np.r_[np.ones(experts), np.zeros(row - experts)]
    number = len(cuts.excess)
    excess = scipy.sparse.coo_array(copies * _excess(size, cuts))
    blocks.append((row + excess.row, excess.col, excess.data))
    blocks.append((row + np.arange(number), np.full(number, entries), -np.ones(number)))
    rows, columns, values = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return MatrixModel(
        cost=np.r_[copies.astype(float), 1.0, np.zeros(column - entries - 1)],
        offset=0.0,
        matrix=scipy.sparse.csr_array((values, (rows, columns)), shape=(row + number, column)),
        row_lower=np.r_[equal, np.full(number, -np.inf)],
        row_upper=np.r_[equal, np.zeros(number)],
        column_lower=np.zeros(column),
        column_upper=np.r_[np.ones(entries), np.full(column - entries, np.inf)],
        integrality=np.r_[np.ones(entries + 1), np.zeros(column - entries - 1)].astype(np.int32),
    )


def _excess(size: FloatArray, cuts: Inequalities) -> FloatArray:
    """Excess less what is left below u, over u, of each copy: shape [excess, entry]; the inequality says sum <= 0."""
    limit = cuts.excess[:, None]
    over = np.where(size > 0.5, np.maximum(0.0, size - cuts.kink[:, None]), 0.0)
    return np.asarray((over - np.maximum(0.0, limit - size)) / limit)


def prices(row_dual: FloatArray, experts: int, cuts: Inequalities) -> Prices:
    """Turn the row duals of `program` into prices.

    The row of a slack says s_i - s_(i-1) = turned copies, so the price of an inequality is the difference of duals that
    follow each other; what is negative is rounding. Together prices stay below 1, the cost of an empty slot.
    """
    position, level, slope = [], [], []
    total, start = 0.0, experts
    for larger, threshold in enumerate(cuts.threshold, start=1):
        dual = row_dual[start : start + len(threshold)]
        start += len(threshold)
        price = np.maximum(0.0, np.r_[dual[1:], 0.0] - dual)
        position += [threshold, cuts.small(larger)]
        level += [(cuts.slots - larger) * price, price]
        slope += [0.0 * price, 0.0 * price]
        total += float(price.sum())
    price = np.maximum(0.0, -row_dual[start:])
    rate = price / cuts.excess
    position += [cuts.kink, cuts.excess]
    level += [-rate * cuts.kink, price]
    slope += [rate, -rate]
    total += float(price.sum())
    return _steps(np.concatenate(position), np.concatenate(level), np.concatenate(slope), total, float(rate.sum()))


def _steps(position: FloatArray, level: FloatArray, slope: FloatArray, total: float, rate: float) -> Prices:
    """Sum the steps up along rising size, from 1 - total + rate * size at the lower end."""
    scale = 1.0 / max(total, 1.0)
    used = (level != 0.0) | (slope != 0.0)
    order = np.flatnonzero(used)[np.argsort(position[used], kind="stable")]
    first = max(0.0, 1.0 - total * scale)
    return Prices(
        np.r_[position[order] + EDGE, np.inf],
        first + scale * np.cumsum(np.r_[0.0, level[order], 0.0]),
        scale * np.cumsum(np.r_[rate, slope[order], 0.0]),
    )
