"""A linear program as arrays, and the road from Pyomo to it.

The seam of the project: solving, writing, size statistics, conflict search and second opinions all start here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

from planner.errors import FormulationError, NoPlanFound, SolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MatrixModel:
    """Minimise ``cost @ x + offset`` with ``row_lower <= matrix @ x <= row_upper`` and bounds on ``x``.

    Attributes
    ----------
    cost
        [column] cost coefficients.
    offset
        Constant of the objective.
    matrix
        [row, column] coefficients, CSR.
    row_lower, row_upper
        [row] limits, infinite where there is none.
    column_lower, column_upper
        [column] limits, infinite where there is none.
    integrality
        [column] 1 where the variable is integer, else 0.
    column_namer, row_namer
        Make the names when somebody asks for them; most runs never do.
    """

    cost: NDArray[np.float64]
    offset: float
    matrix: scipy.sparse.csr_array
    row_lower: NDArray[np.float64]
    row_upper: NDArray[np.float64]
    column_lower: NDArray[np.float64]
    column_upper: NDArray[np.float64]
    integrality: NDArray[np.int32]
    column_namer: Callable[[], Sequence[str]] | None = None
    row_namer: Callable[[], Sequence[str]] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together or hold values HiGHS would misread.

        Raises
        ------
        SolverError
            On a wrong shape, NaN, or an infinite coefficient.
        """
        rows, columns = self.matrix.shape
        shapes = {"row_lower": rows, "row_upper": rows, "cost": columns, "column_lower": columns,
                  "column_upper": columns, "integrality": columns}  # fmt: skip
        for name, length in shapes.items():
            if getattr(self, name).shape != (length,):
                raise SolverError(f"{name} has shape {getattr(self, name).shape}, the matrix needs ({length},)")
            if np.isnan(getattr(self, name)).any():
                raise SolverError(f"{name} holds NaN")
        if not (np.isfinite(self.matrix.data).all() and np.isfinite(self.cost).all() and math.isfinite(self.offset)):
            raise SolverError("a coefficient is not finite")

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.matrix.shape[0])

    @property
    def columns(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def nonzeros(self) -> int:
        """Number of stored coefficients."""
        return int(self.matrix.nnz)

    @property
    def integer_columns(self) -> int:
        """Number of integer columns."""
        return int(np.count_nonzero(self.integrality))

    @cached_property
    def column_names(self) -> list[str]:
        """Name of each column."""
        return list(self.column_namer()) if self.column_namer else [f"x{index}" for index in range(self.columns)]

    @cached_property
    def row_names(self) -> list[str]:
        """Name of each row."""
        return list(self.row_namer()) if self.row_namer else [f"r{index}" for index in range(self.rows)]


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """A Pyomo model as arrays, with the Pyomo object behind each row and column.

    Attributes
    ----------
    matrix
        The arrays; always a minimisation.
    variables
        [column] the Pyomo variable of each column. Fixed variables, and variables that occur nowhere, have none.
    constraints
        [row] the Pyomo constraint of each row.
    model
        The Pyomo model.
    maximise
        Whether the model maximises, so that the arrays hold its objective with the sign turned.
    """

    matrix: MatrixModel
    variables: list[Any]
    constraints: list[Any]
    model: Any
    maximise: bool

    def load(self, values: NDArray[np.float64]) -> None:
        """Write ``values`` [column] into the Pyomo variables; integers are rounded.

        A variable that occurs in no row and not in the objective may take any value: one without a value gets the
        point of its domain nearest to zero.
        """
        exact = np.where(self.matrix.integrality != 0, np.round(values), values) + 0.0  # no -0.0
        for variable, value in zip(self.variables, exact.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
        for variable in self._idle_variables():
            variable.set_value(_nearest_to_zero(variable), skip_validation=True)

    def _idle_variables(self) -> list[Any]:
        from pyomo.core.base import Var

        used = {id(variable) for variable in self.variables}
        every = self.model.component_data_objects(Var, active=True, descend_into=True)
        return [v for v in every if id(v) not in used and not v.fixed and v.value is None]

    def start_vector(self, start: Mapping[Any, float]) -> NDArray[np.float64]:
        """Return ``start``, a ``ComponentMap`` of variable to value, as an array [column]; NaN where it is silent."""
        known = {id(variable): value for variable, value in start.items() if value is not None}
        return np.array([known.get(id(variable), math.nan) for variable in self.variables], dtype=np.float64)

    def current_values(self) -> NDArray[np.float64]:
        """Return the values the Pyomo variables hold now [column], NaN where they have none."""
        values = (variable.value for variable in self.variables)
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def compile_pyomo(model: Any) -> CompiledModel:  # noqa: ANN401 - Pyomo ships no types
    """Turn a linear Pyomo model into arrays.

    Pyomo's compiler splits a two-sided row in two (joined again here), folds fixed variables into the constants, and
    drops variables that occur nowhere.

    Raises
    ------
    FormulationError
        If the model is not linear, has several objectives, or a domain that is neither continuous nor integer.
    NoPlanFound
        If a constraint without variables can never hold.
    """
    form, maximise = _standard_form(model)
    variables = list(form.columns)
    matrix, row_lower, row_upper, constraints = _join_two_sided(form)
    cost = form.c.toarray()[0] if form.objectives else np.zeros(len(variables))
    lower, upper = _bounds(variables)
    arrays = MatrixModel(
        cost=np.asarray(cost, dtype=np.float64),
        offset=float(form.c_offset[0]) if form.objectives else 0.0,
        matrix=matrix,
        row_lower=row_lower,
        row_upper=row_upper,
        column_lower=lower,
        column_upper=upper,
        integrality=_integrality(variables),
        column_namer=partial(_names, variables, model),
        row_namer=partial(_names, constraints, model),
    )
    return CompiledModel(arrays, variables, constraints, model, maximise)


def _names(components: Sequence[Any], _model: Any) -> list[str]:  # noqa: ANN401 - Pyomo ships no types
    """Names of components; the model is held because they know it by weak reference only."""
    return [component.name for component in components]


def _standard_form(model: Any) -> tuple[Any, bool]:  # noqa: ANN401 - Pyomo ships no types
    from pyomo.common.enums import ObjectiveSense
    from pyomo.common.errors import (
        InfeasibleConstraintException,
        InvalidConstraintError,
        InvalidExpressionError,
        MouseTrap,
    )
    from pyomo.core.base import Objective
    from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

    objectives = list(model.component_data_objects(Objective, active=True, descend_into=True))
    if len(objectives) > 1:
        raise FormulationError(f"the model has {len(objectives)} active objectives, at most one is allowed")
    try:
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
    except InfeasibleConstraintException as error:
        raise NoPlanFound([str(error)]) from error
    except (InvalidConstraintError, InvalidExpressionError, MouseTrap, ValueError) as error:
        raise FormulationError(f"the model cannot be written as a linear program: {error}") from error
    return form, bool(objectives) and objectives[0].sense == ObjectiveSense.maximize


def _join_two_sided(
    form: Any,  # noqa: ANN401 - Pyomo ships no types
) -> tuple[scipy.sparse.csr_array, NDArray[np.float64], NDArray[np.float64], list[Any]]:
    """Return matrix, lower and upper limits and constraints with ``lo <= a x <= hi`` as one row again."""
    count = len(form.rows)
    owners = [row.constraint for row in form.rows]
    side = np.fromiter((row.bound_type for row in form.rows), dtype=np.int8, count=count)
    limit = np.asarray(form.rhs, dtype=np.float64).reshape(count)
    lower = np.where(side == 1, -np.inf, limit)
    upper = np.where(side == -1, np.inf, limit)
    second = np.fromiter((i > 0 and owners[i] is owners[i - 1] for i in range(count)), dtype=np.bool_, count=count)
    lower[np.flatnonzero(second) - 1] = lower[second]
    matrix = scipy.sparse.csr_array(form.A)
    if second.any():
        matrix = matrix[~second]
    return matrix, lower[~second], upper[~second], [owners[i] for i in np.flatnonzero(~second)]


def _bounds(variables: list[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    limits = [variable.bounds for variable in variables]
    lower = np.array([-math.inf if low is None else low for low, _ in limits], dtype=np.float64)
    upper = np.array([math.inf if high is None else high for _, high in limits], dtype=np.float64)
    return lower, upper


def _integrality(variables: list[Any]) -> NDArray[np.int32]:
    integer: dict[int, bool] = {}
    result = np.zeros(len(variables), dtype=np.int32)
    for column, variable in enumerate(variables):
        domain = variable.domain
        if id(domain) not in integer:
            if not (variable.is_integer() or variable.is_continuous()):
                raise FormulationError(f"variable {variable.name} is neither continuous nor integer")
            integer[id(domain)] = variable.is_integer()
        result[column] = integer[id(domain)]
    return result


def _nearest_to_zero(variable: Any) -> float:  # noqa: ANN401 - Pyomo ships no types
    low, high = variable.bounds
    low, high = (-math.inf if low is None else low), (math.inf if high is None else high)
    if variable.is_integer():
        low, high = np.ceil(low), np.floor(high)
    return float(min(max(0.0, low), high))
