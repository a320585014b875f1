"""Why a program has no solution: a small set of rows that cannot hold together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from planner.solver.highs import solve_matrix
from planner.solver.options import SolveOptions
from planner.solver.result import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.solver.matrix import MatrixModel


def infeasible_rows(matrix: MatrixModel, time_limit_s: float = 10.0, *, relaxation_only: bool = False) -> list[str]:
    """Name an irreducible set of rows in conflict: dropping any one of them leaves a program that can be met.

    Variable bounds and integrality stay in force throughout; bounds that cross are named as ``bounds of <column>``.
    The search is QuickXplain (Junker, AAAI 2004): about ``k log(n / k)`` solves for ``k`` rows out of ``n``. It uses
    the relaxation when that is infeasible by itself, else the integer program.

    Parameters
    ----------
    matrix
        The infeasible program.
    time_limit_s
        Seconds for each of the solves. One that runs out counts as "can be met", so the set stays in conflict but may
        not be the smallest.
    relaxation_only
        Leave integer programs alone: nothing is named where only integrality stands in the way.

    Returns
    -------
    list[str]
        Names of rows, in the order of the matrix. Empty if no conflict is proven.
    """
    crossed = np.flatnonzero(matrix.column_lower > matrix.column_upper)
    if len(crossed):
        return [f"bounds of {matrix.column_names[column]}" for column in crossed]
    options = SolveOptions(time_limit_s=time_limit_s)
    relaxed = replace(matrix, integrality=np.zeros_like(matrix.integrality))
    everything = list(range(matrix.rows))
    for program in (relaxed,) if relaxation_only else (relaxed, matrix):
        in_conflict = partial(_in_conflict, program, options)
        if in_conflict(everything):
            return [matrix.row_names[row] for row in sorted(_explain([], False, everything, in_conflict))]
    return []


def _in_conflict(matrix: MatrixModel, options: SolveOptions, rows: list[int]) -> bool:
    part = replace(
        matrix,
        cost=np.zeros_like(matrix.cost),
        offset=0.0,
        matrix=matrix.matrix[rows],
        row_lower=matrix.row_lower[rows],
        row_upper=matrix.row_upper[rows],
    )
    return solve_matrix(part, options).stop_reason is StopReason.infeasible


def _explain(kept: list[int], grew: bool, candidates: list[int], in_conflict: Callable[[list[int]], bool]) -> list[int]:
    """Return the candidates needed beside ``kept``; ``grew`` says that ``kept`` has rows not yet tried."""
    if grew and in_conflict(kept):
        return []
    if len(candidates) <= 1:
        return candidates
    half = len(candidates) // 2
    first, second = candidates[:half], candidates[half:]
    from_second = _explain(kept + first, True, second, in_conflict)
    from_first = _explain(kept + from_second, bool(from_second), first, in_conflict)
    return from_first + from_second
