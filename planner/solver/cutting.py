"""A small linear program that grows by rows on one HiGHS object, with a bound that rounding cannot overstate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import highspy
import numpy as np

from planner.errors import SolverError
from planner.solver.run import check, new_highs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from planner.solver.matrix import MatrixModel


@dataclass(frozen=True)
class LpPoint:
    """One solve: the value of each named variable and a proven lower bound on the objective."""

    values: dict[str, float]
    bound: float


class CuttingLp:
    """min c.x + offset subject to A x <= b and finite bounds on every x; rows are added between solves.

    Meant for a handful of variables and a few hundred rows: the rows are held dense as well.
    """

    def __init__(self, program: MatrixModel) -> None:
        if not np.isneginf(program.row_lower).all():
            raise SolverError("a cutting program takes rows of the form A x <= b only")
        self._names = program.column_names
        self._cost, self._offset = program.cost, program.offset
        self._box = np.array([program.column_lower, program.column_upper])
        self._rows: list[NDArray[np.float64]] = list(program.matrix.toarray())
        self._upper: list[float] = program.row_upper.tolist()
        self._highs = new_highs(program)
        # The number of threads stays at its default: asking for one fails where the pool was started with another.
        check(self._highs.setOptionValue("presolve", "off"), "switch presolve off")

    def add_row(self, coefficients: Mapping[str, float], upper: float) -> None:
        """Add sum of coefficient * variable <= upper, variables by name."""
        row = np.array([coefficients.get(name, 0.0) for name in self._names])
        used = np.flatnonzero(row).astype(np.int32)
        check(self._highs.addRow(-highspy.kHighsInf, upper, len(used), used, row[used]), "take a row")
        self._rows.append(row)
        self._upper.append(upper)

    def solve(self) -> LpPoint:
        """Solve from the last basis.

        Raises
        ------
        SolverError
            If HiGHS does not report an optimum.
        """
        self._highs.run()
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS: {self._highs.modelStatusToString(status)} on a relaxation that has a solution")
        solution = self._highs.getSolution()
        values = dict(zip(self._names, solution.col_value, strict=True))
        return LpPoint(values, self.lagrangian_bound(np.array(solution.row_dual)))

    def lagrangian_bound(self, row_dual: NDArray[np.float64]) -> float:
        """Weak duality over the box: -y.b + sum_j min over x_j of (c + A^T y)_j x_j holds for every y >= 0.

        ``row_dual`` [row] in HiGHS' sign (a binding upper limit has a negative one). Neither the solver's tolerances
        nor an inexact basis can lift this above the optimum.
        """
        multipliers = np.maximum(0.0, -row_dual)
        reduced = self._cost + multipliers @ np.array(self._rows)
        over_box = np.minimum(reduced * self._box[0], reduced * self._box[1]).sum()
        return float(over_box - multipliers @ np.array(self._upper)) + self._offset
