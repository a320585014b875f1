"""Small programs with known answers, shared by the tests of the bridge."""

from __future__ import annotations

import numpy as np
import scipy.sparse

from planner.solver.matrix import MatrixModel


def market_split(items: int = 60, rows: int = 5, seed: int = 0) -> MatrixModel:
    """Program of Cornuejols and Dawande: easy to find points for, at 60 x 5 out of reach to close; bound stays 0."""
    weights = np.random.default_rng(seed).integers(0, 100, (rows, items)).astype(float)
    half = np.floor(weights.sum(axis=1) / 2)
    return MatrixModel(
        cost=np.r_[np.zeros(items), np.ones(2 * rows)],
        offset=0.0,
        matrix=scipy.sparse.csr_array(np.hstack([weights, np.eye(rows), -np.eye(rows)])),
        row_lower=half,
        row_upper=half,
        column_lower=np.zeros(items + 2 * rows),
        column_upper=np.r_[np.ones(items), np.full(2 * rows, np.inf)],
        integrality=np.r_[np.ones(items), np.zeros(2 * rows)].astype(np.int32),
    )


def knapsack(values: list[float], weights: list[float], capacity: float, offset: float = 0.0) -> MatrixModel:
    """Most valuable subset within a capacity, written as a minimisation of minus the value."""
    count = len(values)
    return MatrixModel(
        cost=-np.array(values, dtype=float),
        offset=offset,
        matrix=scipy.sparse.csr_array(np.array([weights], dtype=float)),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([capacity]),
        column_lower=np.zeros(count),
        column_upper=np.ones(count),
        integrality=np.ones(count, dtype=np.int32),
        column_namer=lambda: [f"take[{index}]" for index in range(count)],
        row_namer=lambda: ["capacity"],
    )


def linear(
    cost: list[float], rows: list[list[float]], row_lower: list[float], row_upper: list[float], upper: float = np.inf
) -> MatrixModel:
    """Return a linear program over non-negative variables."""
    count = len(cost)
    return MatrixModel(
        cost=np.array(cost, dtype=float),
        offset=0.0,
        matrix=scipy.sparse.csr_array(np.array(rows, dtype=float)),
        row_lower=np.array(row_lower, dtype=float),
        row_upper=np.array(row_upper, dtype=float),
        column_lower=np.zeros(count),
        column_upper=np.full(count, float(upper)),
        integrality=np.zeros(count, dtype=np.int32),
    )
