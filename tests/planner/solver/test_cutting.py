"""The growing linear program and its safe bound."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import SolverError
from planner.solver.cutting import CuttingLp
from planner.solver.matrix import compile_pyomo


def triangle() -> CuttingLp:
    """Maximise x + y on the unit square below x + y <= 1.5: the optimum of the minimisation is -1.5."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.y = pyo.Var(bounds=(0, 1))
    model.corner = pyo.Constraint(expr=model.x + model.y <= 1.5)
    model.least = pyo.Objective(expr=-model.x - model.y + 0.25)
    return CuttingLp(compile_pyomo(model).matrix)


def test_optimum_and_bound_agree() -> None:
    """At an optimal basis weak duality is tight."""
    assert triangle().solve().bound == pytest.approx(-1.25, abs=1e-12)


def test_a_new_row_moves_the_optimum() -> None:
    """The row x + 2 y <= 1 leaves x = 1, y = 0 as the best corner."""
    program = triangle()
    program.solve()
    program.add_row({"x": 1.0, "y": 2.0}, 1.0)
    point = program.solve()
    assert point.values == pytest.approx({"x": 1.0, "y": 0.0}, abs=1e-9)
    assert point.bound == pytest.approx(-0.75, abs=1e-12)


@given(dual=st.floats(-5, 5))
def test_no_multiplier_lifts_the_bound_above_the_optimum(dual: float) -> None:
    """Whatever the solver reports as duals, even of the wrong sign, the bound stays true."""
    assert triangle().lagrangian_bound(np.array([dual])) <= -1.25 + 1e-12


def test_an_empty_program_is_an_error() -> None:
    """Relaxations of feasible programs have solutions; anything else is a fault, said so."""
    program = triangle()
    program.add_row({"x": -1.0}, -2.0)
    with pytest.raises(SolverError, match="Infeasible"):
        program.solve()


def test_rows_from_below_are_refused() -> None:
    """The bound is written for A x <= b."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.floor = pyo.Constraint(expr=model.x >= 0.5)
    model.least = pyo.Objective(expr=model.x)
    with pytest.raises(SolverError, match="A x <= b"):
        CuttingLp(compile_pyomo(model).matrix)
