"""A form of the cost model: a formula with named parameters that have priors, so that any form is fitted alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.costs.points import AGGREGATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from planner.costs.points import Predictions, ServingPoints

    Values = Mapping[str, float]


@dataclass(frozen=True)
class Parameter:
    """One number with its prior: log-normal with median ``median`` and ``spread`` in the logarithm.

    ``linear``: normal with standard deviation ``spread`` instead, for exponents that may be 0 or negative.
    A spread of 0 fixes the value.
    """

    name: str
    median: float
    spread: float
    linear: bool = False
    largest: float = float("inf")
    """No value is larger: 1 for a share of a peak."""

    def value(self, score: float) -> float:
        """Value at a standard normal ``score``."""
        if self.linear:
            return min(self.median + self.spread * score, self.largest)
        return min(float(self.median * np.exp(self.spread * score)), self.largest)

    def score(self, value: float) -> float:
        """Return the standard normal score of a value; 0 where the parameter is fixed."""
        if self.spread == 0.0:
            return 0.0
        return (value - self.median) / self.spread if self.linear else float(np.log(value / self.median) / self.spread)


@dataclass(frozen=True)
class Form:
    """A named formula and its parameters."""

    name: str
    parameters: tuple[Parameter, ...]
    predict: Callable[[Values, ServingPoints], Predictions]
    fitted_phases: tuple[int, ...] = (AGGREGATED,)
    """Phases whose rows a fit uses; the others are predicted with what these taught."""
    degrees_of_freedom: float | None = None
    """Of the t law of its residuals in a fit; None: normal."""

    @property
    def prior(self) -> dict[str, float]:
        """The medians: what the form says before any fit."""
        return {parameter.name: parameter.median for parameter in self.parameters}

    @property
    def free(self) -> tuple[Parameter, ...]:
        """Parameters that a fit may move."""
        return tuple(parameter for parameter in self.parameters if parameter.spread > 0.0)

    def values(self, scores: NDArray[np.float64]) -> dict[str, float]:
        """Values at standard normal scores of the free parameters."""
        moved = {entry.name: entry.value(float(score)) for entry, score in zip(self.free, scores, strict=True)}
        return {**self.prior, **moved}

    def scores(self, values: Values) -> NDArray[np.float64]:
        """Scores of the free parameters at ``values``."""
        return np.array([entry.score(values[entry.name]) for entry in self.free], dtype=np.float64)
