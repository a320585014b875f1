"""From Pyomo to arrays and back."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.common.collections import ComponentMap

from planner.errors import FormulationError
from planner.solver.highs import solve_pyomo
from planner.solver.matrix import compile_pyomo
from planner.solver.options import SolveOptions
from planner.solver.result import PlanStatus, StopReason


def small_model() -> pyo.ConcreteModel:
    """Two integers, one fixed variable, one that occurs nowhere, a two-sided row; minimum 3*1 + 2 + 10 = 15."""
    model = pyo.ConcreteModel()
    model.number = pyo.Var([0, 1], domain=pyo.NonNegativeIntegers, bounds=(0, 9))
    model.fixed = pyo.Var(initialize=2.0)
    model.fixed.fix()
    model.idle = pyo.Var(bounds=(4, 6))
    model.idle_integer = pyo.Var(domain=pyo.Integers, bounds=(-7.5, -2.5))
    model.window = pyo.Constraint(expr=(3, model.number[0] + 2 * model.number[1] + model.fixed, 7.5))
    model.cost = pyo.Objective(expr=5 * model.number[0] + 3 * model.number[1] + model.fixed + 10)
    return model


def test_two_sided_rows_stay_one_row() -> None:
    """Pyomo's compiler makes two rows of lo <= a x <= hi; they are one again, with the fixed variable folded in."""
    compiled = compile_pyomo(small_model())
    assert compiled.matrix.rows == 1
    assert (compiled.matrix.row_lower[0], compiled.matrix.row_upper[0]) == (1.0, 5.5)
    assert compiled.matrix.offset == 12.0
    assert [variable.name for variable in compiled.variables] == ["number[0]", "number[1]"]
    assert compiled.matrix.column_names == ["number[0]", "number[1]"]
    assert compiled.matrix.row_names == ["window"]
    assert compiled.matrix.integrality.tolist() == [1, 1]


def test_values_come_back_to_every_variable() -> None:
    """After a solve each variable has a value: exact integers, the fixed one untouched, idle ones inside bounds."""
    model = small_model()
    result = solve_pyomo(model, SolveOptions(gap=0))
    assert result.objective == pytest.approx(15.0)
    assert [model.number[i].value for i in (0, 1)] == [0, 1]
    assert model.fixed.value == 2.0
    assert model.idle.value == 4.0
    assert model.idle_integer.value == -3.0
    assert pyo.value(model.cost) == pytest.approx(result.objective)


def test_idle_variable_keeps_its_value() -> None:
    """A variable that occurs nowhere and already has a value keeps it."""
    model = small_model()
    model.idle.set_value(5.5)
    solve_pyomo(model)
    assert model.idle.value == 5.5


def test_every_kind_of_row_and_bound() -> None:
    """=, <=, >= rows, free and one-sided variables arrive with the right limits."""
    model = pyo.ConcreteModel()
    model.free = pyo.Var()
    model.above = pyo.Var(bounds=(1, None))
    model.yes = pyo.Var(domain=pyo.Binary)
    model.equal = pyo.Constraint(expr=model.free + model.above == 3)
    model.most = pyo.Constraint(expr=model.free + model.yes <= 4 + model.above)
    model.least = pyo.Constraint(expr=2 * model.yes >= model.free - 1)
    matrix = compile_pyomo(model).matrix
    rows = {
        name: (low, high) for name, low, high in zip(matrix.row_names, matrix.row_lower, matrix.row_upper, strict=True)
    }
    assert rows["equal"] == (3, 3)
    assert rows["most"] == (-math.inf, 4)
    assert {abs(limit) for limit in rows["least"]} == {1, math.inf}
    columns = dict(zip(matrix.column_names, zip(matrix.column_lower, matrix.column_upper, strict=True), strict=True))
    assert columns == {"free": (-math.inf, math.inf), "above": (1, math.inf), "yes": (0, 1)}
    assert matrix.cost.tolist() == [0, 0, 0]


def test_maximisation_comes_back_in_its_own_sense() -> None:
    """Maximise 3x + 5y (Hillier and Lieberman): 36 with bound 36, shadow prices 0, 1.5 and 1 with the usual sign."""
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(domain=pyo.NonNegativeReals), pyo.Var(domain=pyo.NonNegativeReals)
    model.limits = pyo.ConstraintList()
    for row in (model.x <= 4, 2 * model.y <= 12, 3 * model.x + 2 * model.y <= 18):
        model.limits.add(row)
    model.profit = pyo.Objective(expr=3 * model.x + 5 * model.y, sense=pyo.maximize)
    result = solve_pyomo(model)
    assert result.objective == pytest.approx(36)
    assert result.bound == pytest.approx(36)
    assert result.row_duals == pytest.approx([0, 1.5, 1])
    assert (model.x.value, model.y.value) == pytest.approx((2, 6))


def test_start_by_variable() -> None:
    """A start given by Pyomo variable reaches HiGHS; variables that are no columns are passed over."""
    model = small_model()
    begin = ComponentMap([(model.number[0], 1), (model.number[1], 2), (model.idle, 5)])
    result = solve_pyomo(model, SolveOptions(gap=0), begin)
    assert result.start_accepted is True
    compiled = compile_pyomo(model)
    assert compiled.current_values().tolist() == [0, 1]
    start = compiled.start_vector(ComponentMap([(model.number[1], 7)]))
    assert np.isnan(start[0])
    assert start[1] == 7


def test_constant_constraint_that_cannot_hold_is_infeasible() -> None:
    """A rule that works out to 3 <= 2 makes the model infeasible; the result names the constraint."""
    model = small_model()
    model.fixed.set_value(3.0)
    model.never = pyo.Constraint(expr=model.fixed <= 2)
    result = solve_pyomo(model)
    assert (result.status, result.stop_reason) == (PlanStatus.none, StopReason.infeasible)


def test_values_are_left_alone_without_a_point() -> None:
    """Nothing is loaded when nothing is held."""
    model = small_model()
    model.number[0].set_value(8)
    model.impossible = pyo.Constraint(expr=model.number[0] + model.number[1] >= 100)
    assert solve_pyomo(model).stop_reason is StopReason.infeasible
    assert model.number[0].value == 8


def quadratic(model: pyo.ConcreteModel) -> None:
    """Add a product of variables."""
    model.product = pyo.Constraint(expr=model.number[0] * model.number[1] <= 3)


def second_objective(model: pyo.ConcreteModel) -> None:
    """Add another active objective."""
    model.more = pyo.Objective(expr=model.number[0])


def even_domain(model: pyo.ConcreteModel) -> None:
    """Add a variable over the even numbers."""
    model.even = pyo.Var(domain=pyo.RangeSet(0, 8, 2))
    model.link = pyo.Constraint(expr=model.even >= model.number[0])


@pytest.mark.parametrize("spoil", [quadratic, second_objective, even_domain])
def test_what_is_no_linear_program_is_refused(spoil: object) -> None:
    """Products, two objectives and odd domains are refused, never handed over as something else."""
    model = small_model()
    spoil(model)  # type: ignore[operator]
    with pytest.raises(FormulationError):
        compile_pyomo(model)
