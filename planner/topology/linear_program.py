"""A linear program in arrays, its exact reduction by symmetry, and its solution by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, vstack

from planner.errors import SolverError
from planner.topology.refinement import refine

if TYPE_CHECKING:
    from planner.topology.topology import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """Minimise ``objective @ x`` over x >= 0 with ``equal @ x == equal_rhs`` and ``upper @ x <= upper_rhs``."""

    objective: FloatArray
    equal: csr_array
    equal_rhs: FloatArray
    upper: csr_array
    upper_rhs: FloatArray


def solve(program: LinearProgram) -> float:
    """Return the least objective.

    Raises
    ------
    SolverError
        If HiGHS does not report an optimum.
    """
    answer = linprog(  # type: ignore[call-overload]  # the stubs leave out sparse matrices, which it takes
        program.objective,
        A_ub=program.upper,
        b_ub=program.upper_rhs,
        A_eq=program.equal,
        b_eq=program.equal_rhs,
        bounds=(0, None),
        method="highs",
    )
    if answer.status != 0:
        raise SolverError(f"HiGHS stopped without an optimum: {answer.message}")
    return float(answer.fun)


def quotient(program: LinearProgram) -> LinearProgram:
    """Merge columns and rows that colour refinement cannot tell apart: a smaller program with the same optimum.

    Averaging any solution over the column classes keeps it feasible and its objective, because rows of a class have
    equal sums over every column class and columns of a class equal sums over every row class. Both are checked here;
    if either fails the program is returned as it came.

    Source: Grohe, Kersting, Mladenov, Selman, Dimension reduction via colour refinement, ESA 2014.
    """
    matrix = csr_array(vstack([program.equal, program.upper], format="csr"))
    equal_rows = program.equal.shape[0]
    row_class, column_class = _classes(program, matrix, equal_rows)
    row_members, column_members = _indicator(row_class), _indicator(column_class)
    row_sums = csr_array(matrix @ column_members)
    column_sums = csr_array(matrix.T @ row_members)
    first_row = np.unique(row_class, return_index=True)[1]
    first_column = np.unique(column_class, return_index=True)[1]
    if not (_rows_agree(row_sums, row_class, first_row) and _rows_agree(column_sums, column_class, first_column)):
        return program
    first_equal, first_upper = first_row[first_row < equal_rows], first_row[first_row >= equal_rows]
    return LinearProgram(
        objective=column_members.T @ program.objective,
        equal=row_sums[first_equal],
        equal_rhs=program.equal_rhs[first_equal],
        upper=row_sums[first_upper],
        upper_rhs=program.upper_rhs[first_upper - equal_rows],
    )


def _classes(program: LinearProgram, matrix: csr_array, equal_rows: int) -> tuple[IntArray, IntArray]:
    """Colour rows by sense and right-hand side, columns by cost, and refine over the coefficients."""
    rows, columns = matrix.shape
    is_upper = np.arange(rows) >= equal_rows
    right = np.concatenate([program.equal_rhs, program.upper_rhs])
    row_colour = np.unique(np.column_stack([is_upper, right]), axis=0, return_inverse=True)[1].reshape(-1)
    column_colour = np.unique(program.objective, return_inverse=True)[1]
    entries = matrix.tocoo()
    tail, head = entries.coords
    colour = refine(
        np.concatenate([row_colour, column_colour + row_colour.max() + 1]),
        tail.astype(np.int64),
        head.astype(np.int64) + rows,
        np.unique(entries.data, return_inverse=True)[1],
    )
    return (
        np.unique(colour[:rows], return_inverse=True)[1],
        np.unique(colour[rows : rows + columns], return_inverse=True)[1],
    )


def _indicator(classes: IntArray) -> csr_array:
    shape = (classes.size, int(classes.max()) + 1)
    return csr_array(coo_array((np.ones(classes.size), (np.arange(classes.size), classes)), shape=shape))


def _rows_agree(sums: csr_array, classes: IntArray, first: IntArray) -> bool:
    """Whether every row equals the first row of its class, up to rounding in the order of a sum."""
    difference = abs(sums - sums[first[classes]])
    return difference.nnz == 0 or bool(difference.max() <= 1e-9 * abs(sums).max())
