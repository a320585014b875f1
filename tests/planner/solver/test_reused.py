from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from planner.errors import SolverError
from planner.solver.matrix import MatrixModel
from planner.solver.reused import ReusedLp


def box(integer: int = 0) -> MatrixModel:
    """Minimise -x - y within x + y <= 10 and 0 <= x, y <= 8."""
    return MatrixModel(
        cost=np.array([-1.0, -1.0]),
        offset=0.0,
        matrix=scipy.sparse.csr_array(np.array([[1.0, 1.0]])),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([10.0]),
        column_lower=np.zeros(2),
        column_upper=np.full(2, 8.0),
        integrality=np.array([integer, 0], dtype=np.int32),
    )


def test_rows_are_exchanged_not_piled_up() -> None:
    """The row x <= 1 gives -9, then y <= 1.5 instead gives -9.5, then two rows at once -2, then none of them -10."""
    program = ReusedLp(box())
    lower = np.array([-np.inf])
    program.exchange_rows(scipy.sparse.csr_array(np.array([[1.0, 0.0]])), lower, np.array([1.0]))
    assert program.solve()[0] == pytest.approx(-9.0)
    program.exchange_rows(scipy.sparse.csr_array(np.array([[0.0, 1.0]])), lower, np.array([1.5]))
    assert program.solve()[0] == pytest.approx(-9.5)
    program.exchange_rows(scipy.sparse.csr_array(np.eye(2)), np.repeat(lower, 2), np.ones(2))
    value, point = program.solve()
    assert value == pytest.approx(-2.0)
    assert point == pytest.approx([1.0, 1.0])
    program.exchange_rows(scipy.sparse.csr_array(np.array([[1.0, 1.0]])), lower, np.array([20.0]))
    assert program.solve()[0] == pytest.approx(-10.0)


def test_what_does_not_fit_is_refused() -> None:
    """Integer columns, rows of another width, and rows that cannot hold."""
    with pytest.raises(SolverError, match="continuous"):
        ReusedLp(box(integer=1))
    program = ReusedLp(box())
    with pytest.raises(SolverError, match="do not fit"):
        program.exchange_rows(scipy.sparse.csr_array(np.eye(3)), np.zeros(3), np.ones(3))
    program.exchange_rows(scipy.sparse.csr_array(np.array([[1.0, 0.0]])), np.array([9.0]), np.array([9.0]))
    with pytest.raises(SolverError, match="nfeasible"):
        program.solve()
