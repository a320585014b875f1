"""Files other solvers read, and the rows that make a program infeasible."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import highspy
import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from solve_programs import knapsack, linear, market_split

from planner.errors import InstanceError
from planner.solver.conflict import infeasible_rows
from planner.solver.highs import solve_matrix
from planner.solver.matrix import MatrixModel
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason
from planner.solver.write import safe_names, write_model

if TYPE_CHECKING:
    from pathlib import Path


def optimum_by_scipy(path: Path) -> tuple[float, list[str]]:
    """Read a model file and solve it with SciPy; return the optimum and the column names."""
    reader = highspy.Highs()  # type: ignore[no-untyped-call]
    reader.setOptionValue("log_to_console", False)
    assert reader.readModel(str(path)) == highspy.HighsStatus.kOk
    program = reader.getLp()
    entries = program.a_matrix_
    shape = (program.num_row_, program.num_col_)
    build = scipy.sparse.csc_array if entries.format_ == highspy.MatrixFormat.kColwise else scipy.sparse.csr_array
    matrix = build((np.array(entries.value_), np.array(entries.index_), np.array(entries.start_)), shape=shape)
    integer = [kind == highspy.HighsVarType.kInteger for kind in program.integrality_] or [False] * program.num_col_
    found = scipy.optimize.milp(
        c=np.array(program.col_cost_),
        constraints=scipy.optimize.LinearConstraint(matrix, program.row_lower_, program.row_upper_),
        bounds=scipy.optimize.Bounds(np.array(program.col_lower_), np.array(program.col_upper_)),
        integrality=np.array(integer, dtype=int),
    )
    return float(found.fun) + program.offset_, list(program.col_names_)


def with_everything() -> MatrixModel:
    """Offset, two-sided row, free and negative columns, awkward names; the optimum is checked against our own run."""
    return MatrixModel(
        cost=np.array([1.0, -2.5, 0.25, 1 / 3]),
        offset=-17.125,
        matrix=scipy.sparse.csr_array(np.array([[1.0, 2.0, 0, 1], [0, 1, -1, 0.1], [1, 0, 1, 0]])),
        row_lower=np.array([1.0, -np.inf, 2.5]),
        row_upper=np.array([9.5, 4.25, 2.5]),
        column_lower=np.array([0.0, 0, -np.inf, -3]),
        column_upper=np.array([1.0, 7, np.inf, np.inf]),
        integrality=np.array([1, 1, 0, 0], dtype=np.int32),
        column_namer=lambda: ["copies[0,'a b']", "copies_0_a_b", "free", "e1"],
        row_namer=lambda: ["load of gpu 1", "", "1st"],
    )


@pytest.mark.parametrize("suffix", [".lp", ".mps"])
@pytest.mark.parametrize("program", [knapsack([10, 13, 7, 8], [3, 4, 2, 3], 7, offset=100.0), with_everything()])
def test_written_model_has_the_same_optimum(tmp_path: Path, program: MatrixModel, suffix: str) -> None:
    """SciPy on the written file finds what we find on the arrays: names, bounds, ranges and offset all arrive."""
    path = tmp_path / f"model{suffix}"
    write_model(program, path)
    objective, names = optimum_by_scipy(path)
    assert objective == pytest.approx(solve_matrix(program, SolveOptions(gap=0)).objective, rel=1e-9)
    assert names == safe_names(program.column_names, "x")
    assert list(tmp_path.iterdir()) == [path]


def test_names_are_safe_and_unique() -> None:
    """Brackets, spaces, keywords, exponents, digits and clashes all become plain unique words."""
    safe = safe_names(["x[1,2]", "x_1_2", "free", "e1", "", "9"], "x")
    assert safe[0] == "x_1_2"
    assert len(set(safe)) == 6
    assert all(name[0].isalpha() and name.replace("_", "").isalnum() for name in safe)
    assert "free" not in safe
    assert "e1" not in safe


def test_other_suffix_is_refused(tmp_path: Path) -> None:
    """Only .lp and .mps exist; nothing is written for anything else."""
    with pytest.raises(InstanceError, match="unknown model format"):
        write_model(with_everything(), tmp_path / "model.txt")
    assert not list(tmp_path.iterdir())


def test_unwritable_folder_is_bad_input(tmp_path: Path) -> None:
    """A path below a file cannot be made; the message says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InstanceError, match="cannot be written"):
        write_model(with_everything(), tmp_path / "file" / "model.lp")


def conflicting() -> MatrixModel:
    """Six rows over x, y in [0, 10]; only need, cap_x and cap_y contradict each other."""
    program = linear(
        [1, 1],
        [[1, 1], [1, 0], [0, 1], [1, -1], [1, 2], [2, 1]],
        [8, -np.inf, -np.inf, -5, -np.inf, 0],
        [np.inf, 3, 3, 5, 30, np.inf],
        upper=10,
    )
    return replace(program, row_namer=lambda: ["need", "cap_x", "cap_y", "near", "roof", "floor"])


def test_conflict_is_named_and_irreducible() -> None:
    """X + y >= 8, x <= 3, y <= 3 contradict; any two of them can be met."""
    program = conflicting()
    assert infeasible_rows(program) == ["need", "cap_x", "cap_y"]
    for pair in combinations(range(3), 2):
        part = replace(program, matrix=program.matrix[list(pair)], row_lower=program.row_lower[list(pair)],
                       row_upper=program.row_upper[list(pair)], row_namer=None)  # fmt: skip
        assert solve_matrix(part).stop_reason is StopReason.optimal_within_gap


def test_conflict_of_integrality() -> None:
    """2x + 2y = 3 can be met by fractions only: the row is the whole conflict of the integer program."""
    program = linear([1, 1], [[2, 2], [1, 1]], [3, 0], [3, 5], upper=4)
    program = replace(program, integrality=np.ones(2, dtype=np.int32), row_namer=lambda: ["parity", "idle"])
    assert infeasible_rows(program) == ["parity"]


def test_crossed_bounds_are_named() -> None:
    """A lower bound above the upper one is a conflict by itself."""
    program = replace(conflicting(), column_lower=np.array([11.0, 0.0]), column_namer=lambda: ["x", "y"])
    assert infeasible_rows(program) == ["bounds of x"]


def test_no_conflict_no_names() -> None:
    """A feasible program has no conflicting rows."""
    assert infeasible_rows(market_split(12, 1)) == []
