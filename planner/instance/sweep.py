"""A sweep file: one case and the values that some of its keys take in turn."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from planner.instance.quantities import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


class SweepSpec(Frozen):
    """Every combination of the values of ``grid`` is one point; ``set`` holds for all of them."""

    name: str
    title: str
    case: str
    set: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, list[Any]] = Field(min_length=1)

    @model_validator(mode="after")
    def _values(self) -> SweepSpec:
        empty = [key for key, values in self.grid.items() if not values]
        if empty:
            raise ValueError(f"no values for {', '.join(empty)}")
        return self

    def points(self) -> Iterator[dict[str, Any]]:
        """Values of the grid's keys, one mapping a point, the last key changing fastest."""
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))
