"""One linear program solved again and again with other rows, without building it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import highspy
import numpy as np

from planner.errors import SolverError
from planner.solver.run import check, new_highs

if TYPE_CHECKING:
    import scipy.sparse
    from numpy.typing import NDArray

    from planner.solver.matrix import MatrixModel


class ReusedLp:
    """A linear program in one HiGHS object; the rows of ``program`` stay, further rows are exchanged between solves.

    Meant for thousands of solves of some milliseconds: no names, no callbacks, no log. Every solve starts from the
    basis of the one before.
    """

    def __init__(self, program: MatrixModel) -> None:
        if program.integer_columns:
            raise SolverError("a reused program takes continuous columns only")
        self._kept, self._rows = program.rows, program.rows
        self._columns = program.columns
        self._highs = new_highs(program)
        check(self._highs.setOptionValue("presolve", "off"), "switch presolve off")

    def exchange_rows(
        self, matrix: scipy.sparse.csr_array, lower: NDArray[np.float64], upper: NDArray[np.float64]
    ) -> None:
        """Put rows ``lower <= matrix @ x <= upper`` in the place of those exchanged before.

        Raises
        ------
        SolverError
            If shapes do not fit, or HiGHS refuses the rows.
        """
        rows = matrix.shape[0]
        if matrix.shape[1] != self._columns or lower.shape != (rows,) or upper.shape != (rows,):
            raise SolverError(f"{rows} rows over {matrix.shape[1]} columns do not fit {self._columns} columns")
        if self._rows > self._kept:
            old = np.arange(self._kept, self._rows, dtype=np.int32)
            check(self._highs.deleteRows(len(old), old), "drop rows")
        start = matrix.indptr[:-1].astype(np.int32)
        columns, values = matrix.indices.astype(np.int32), matrix.data.astype(np.float64)
        check(self._highs.addRows(rows, lower, upper, len(values), start, columns, values), "take rows")
        self._rows = self._kept + rows

    def solve(self) -> tuple[float, NDArray[np.float64]]:
        """Return the optimum and the values of the columns.

        Raises
        ------
        SolverError
            If HiGHS reports no optimum.
        """
        self._highs.run()
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS: {self._highs.modelStatusToString(status)} on a program that has a solution")
        values = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        return float(self._highs.getInfo().objective_function_value), values
