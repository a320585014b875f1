"""Balance within reach of an engine that splits tokens over copies by a linear program, layer by layer.

The program of `formulations.token_split` with a column for every slot: rows of GPUs stay, rows of experts are exchanged
from layer to layer, so nothing is built twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from planner.solver.matrix import MatrixModel
from planner.solver.reused import ReusedLp

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest


class TokenSplitter:
    """The split program of a fleet of GPUs.

    Parameters
    ----------
    pace
        Relative speed of each GPU, 0 where it holds nothing, shape [gpu].
    width
        Slots of a GPU in a map row.
    """

    def __init__(self, pace: FloatArray, width: int) -> None:
        gpus, slots = len(pace), len(pace) * width
        self.slots, self.pace, self.gpu = slots, pace, np.repeat(np.arange(gpus), width)
        self._program = ReusedLp(
            MatrixModel(
                cost=np.r_[np.zeros(slots), 1.0],
                offset=0.0,
                matrix=scipy.sparse.csr_array(
                    (
                        np.r_[np.ones(slots), -pace],
                        (np.r_[self.gpu, np.arange(gpus)], np.r_[np.arange(slots), np.full(gpus, slots)]),
                    ),
                    shape=(gpus, slots + 1),
                ),
                row_lower=np.full(gpus, -np.inf),
                row_upper=np.zeros(gpus),
                column_lower=np.zeros(slots + 1),
                column_upper=np.full(slots + 1, np.inf),
                integrality=np.zeros(slots + 1, dtype=np.int32),
            )
        )

    def split(self, row: IntArray, load: FloatArray) -> FloatArray:
        """Return the tokens each slot takes in the best split, shape [slot]; each expert's add up to its load.

        Parameters
        ----------
        row
            Expert in each slot, shape [slot], -1 for none; every expert with tokens has a slot.
        load
            Tokens, shape [expert].

        Raises
        ------
        SolverError
            If an expert with tokens has no slot.
        """
        unit = load.sum() / self.pace.sum()
        if unit <= 0:
            return np.zeros(self.slots)
        held = np.flatnonzero(row >= 0)
        experts = len(load)
        rows = scipy.sparse.csr_array((np.ones(len(held)), (row[held], held)), shape=(experts, self.slots + 1))
        self._program.exchange_rows(rows, load / unit, load / unit)
        tokens = np.where(row >= 0, np.maximum(self._program.solve()[1][:-1], 0.0), 0.0)
        # the solver keeps sums to 1e-7: scaled, they are exact and what is reported is a split that exists
        total = np.bincount(row[held], weights=tokens[held], minlength=experts)
        scale = np.where(total > 0, load / np.where(total > 0, total, 1.0), 0.0)
        return np.asarray(tokens * np.where(row >= 0, scale[np.maximum(row, 0)], 0.0))

    def balance(self, row: IntArray, load: FloatArray) -> float:
        """Mean over largest load / speed under the best split; NaN without load."""
        if not load.sum() > 0:
            return float("nan")
        tokens = np.bincount(self.gpu, weights=self.split(row, load), minlength=len(self.pace))
        used = self.pace > 0
        return float(load.sum() / self.pace.sum() / (tokens[used] / self.pace[used]).max())


def token_split_balance(request: PlacementRequest, physical_to_logical_map: IntArray) -> FloatArray:
    """Balance of a map under the best split in every scenario and layer, shape [scenario, layer]; NaN where dense."""
    splitter = TokenSplitter(request.relative_speed, physical_to_logical_map.shape[1] // request.gpus)
    rows = list(enumerate(physical_to_logical_map))
    return np.array(
        [[splitter.balance(row, tokens[layer]) for layer, row in rows] for tokens in np.asarray(request.load, float)]
    )
