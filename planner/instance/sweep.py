"""A sweep file: one case, and how some of its keys vary from point to point."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from planner.instance.arithmetic import evaluate, names_in
from planner.instance.quantities import Frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MOST_POINTS = 1_000_000
"""A slip of the finger must not fill the memory."""


class Range(Frozen):
    """Values from ``start`` to ``stop``, evenly or evenly in their logarithm; ``whole`` rounds to integers."""

    start: float
    stop: float
    points: int = Field(default=5, ge=1, le=10_000)
    scale: Literal["linear", "log"] = "linear"
    whole: bool = False

    @model_validator(mode="after")
    def _logarithms_exist(self) -> Range:
        if self.scale == "log" and not (self.start > 0 and self.stop > 0):
            raise ValueError("a log scale needs start and stop above 0")
        return self

    def at(self, share: float) -> float | int:
        """Value at a share of the way, 0 to 1."""
        if self.scale == "log":
            value = float(np.exp(np.log(self.start) + share * (np.log(self.stop) - np.log(self.start))))
        else:
            value = self.start + share * (self.stop - self.start)
        return round(value) if self.whole else value

    def values(self) -> list[float | int]:
        """All values, the ends exact; equal whole numbers once."""
        shares = np.linspace(0.0, 1.0, self.points).tolist()
        found = [self.at(share) for share in shares]
        found[0], found[-1] = self._end(self.start), self._end(self.stop if self.points > 1 else self.start)
        return list(dict.fromkeys(found))

    def _end(self, value: float) -> float | int:
        return round(value) if self.whole else value


class Sample(Frozen):
    """Random points, or a Latin hypercube: each key's range is cut into as many strips as points, one point in each."""

    method: Literal["latin_hypercube", "random"] = "latin_hypercube"
    points: int = Field(ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)
    keys: dict[str, Range | list[Any]] = Field(min_length=1)

    def drawn(self) -> list[dict[str, Any]]:
        """Draw the points; the same seed draws the same."""
        from scipy.stats import qmc

        width = len(self.keys)
        if self.method == "latin_hypercube":
            shares = qmc.LatinHypercube(d=width, rng=np.random.default_rng(self.seed)).random(self.points)
        else:
            shares = np.random.default_rng(self.seed).random((self.points, width))
        return [
            {key: _drawn(spec, float(share)) for (key, spec), share in zip(self.keys.items(), row, strict=True)}
            for row in shares
        ]


def _drawn(spec: Range | list[Any], share: float) -> Any:  # noqa: ANN401 - any value of a case file
    if isinstance(spec, Range):
        return spec.at(share)
    return spec[min(int(share * len(spec)), len(spec) - 1)]


class Swing(Frozen):
    """A low and a high value of one key, tried one at a time."""

    low: Any
    high: Any


class BreakEven(Frozen):
    """Search the value of ``key`` from ``start`` to ``stop`` at which the column ``watch`` of the answer changes."""

    key: str
    start: float
    stop: float
    watch: str = "layout"
    scale: Literal["linear", "log"] = "linear"
    tolerance: float = Field(default=0.01, gt=0, lt=1, description="Width of the last bracket over the whole range.")

    @model_validator(mode="after")
    def _forwards(self) -> BreakEven:
        if not self.start < self.stop or (self.scale == "log" and self.start <= 0):
            raise ValueError("start must lie below stop, and above 0 on a log scale")
        return self


class SweepSpec(Frozen):
    """How a case varies.

    The points are every combination of the values of ``grid``, of ``range``, of each table of ``zip`` (whose keys
    change together) and of the drawn points of ``sample``; then one point for each end of each ``tornado`` key, the
    others at the case's own value. ``set`` holds for all. A key without a dot that ``derive`` uses is a parameter of
    the sweep.
    """

    name: str
    title: str
    case: str
    description: str = ""
    set: dict[str, Any] = Field(default_factory=dict)
    gap: float = Field(default=1e-3, ge=0, lt=1)
    grid: dict[str, list[Any]] = Field(default_factory=dict)
    range: dict[str, Range] = Field(default_factory=dict)
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    sample: Sample | None = None
    tornado: dict[str, Swing] = Field(default_factory=dict)
    break_even: list[BreakEven] = Field(default_factory=list)
    derive: dict[str, str] = Field(
        default_factory=dict, description='Key -> arithmetic over parameters, such as "900e9 / ratio".'
    )

    @model_validator(mode="after")
    def _makes_points(self) -> SweepSpec:
        problems = [f"no values for {key}" for key, values in self._listed() if not values]
        for table in self.zip:
            lengths = {len(values) for values in table.values()}
            if len(lengths) != 1:
                problems.append(f"the lists of a zip ({', '.join(table)}) must be equally long")
        keys = [key for axis in self._axis_keys() for key in axis]
        problems += [f"{key} varies twice" for key in sorted({key for key in keys if keys.count(key) > 1})]
        problems += self._derive_problems({*keys, *self.tornado, *(entry.key for entry in self.break_even)})
        if not (keys or self.tornado or self.break_even):
            problems.append("nothing varies: give grid, range, zip, sample, tornado or break_even")
        if not problems and self.size() > MOST_POINTS:
            problems.append(f"{self.size()} points are more than {MOST_POINTS}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _listed(self) -> Iterator[tuple[str, list[Any]]]:
        yield from self.grid.items()
        for table in self.zip:
            yield from table.items()
        if self.sample is not None:
            yield from ((key, spec) for key, spec in self.sample.keys.items() if isinstance(spec, list))

    def _axis_keys(self) -> list[list[str]]:
        drawn = [list(self.sample.keys)] if self.sample is not None else []
        return [[key] for key in (*self.grid, *self.range)] + [list(table) for table in self.zip] + drawn

    def _derive_problems(self, keys: Collection[str]) -> list[str]:
        problems = []
        known = {key for key in (*keys, *self.set) if "." not in key}
        for key, text in self.derive.items():
            try:
                unknown = sorted(names_in(text) - known)
            except ValueError as error:
                problems.append(f"derive.{key}: {error}")
                continue
            problems += [f"derive.{key}: {name} is no parameter of this sweep" for name in unknown]
        return problems

    def size(self) -> int:
        """Count the points without listing them."""
        sizes = [len(values) for values in self.grid.values()]
        sizes += [len(spec.values()) for spec in self.range.values()]
        sizes += [len(next(iter(table.values()))) for table in self.zip]
        sizes += [self.sample.points] if self.sample is not None else []
        combined = int(np.prod(sizes, dtype=np.float64)) if sizes else 0
        return combined + (1 + 2 * len(self.tornado) if self.tornado else 0)

    def points(self) -> Iterator[dict[str, Any]]:
        """Values of the keys that vary, one mapping a point, the last axis changing fastest; no point twice."""
        seen = set()
        for point in (*self._combined(), *self._swings()):
            key = repr(sorted(point.items(), key=lambda item: item[0]))
            if key not in seen:
                seen.add(key)
                yield point

    def _combined(self) -> Iterator[dict[str, Any]]:
        axes: list[list[dict[str, Any]]] = [[{key: value} for value in values] for key, values in self.grid.items()]
        axes += [[{key: value} for value in spec.values()] for key, spec in self.range.items()]
        axes += [
            [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
            for table in self.zip
        ]
        axes += [self.sample.drawn()] if self.sample is not None else []
        for parts in itertools.product(*axes) if axes else ():
            yield {key: value for part in parts for key, value in part.items()}

    def _swings(self) -> Iterator[dict[str, Any]]:
        if self.tornado:
            yield {}
        for key, swing in self.tornado.items():
            yield {key: swing.low}
            yield {key: swing.high}

    def changes(self, point: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of the case at a point: parameters are replaced by what derives from them."""
        merged = self.set | point
        parameters = {key: value for key, value in merged.items() if "." not in key and self._is_parameter(key)}
        derived = {}
        for key, text in self.derive.items():
            if names_in(text) <= set(parameters):
                derived[key] = evaluate(text, parameters)
        return {key: value for key, value in merged.items() if key not in parameters} | derived

    def _is_parameter(self, key: str) -> bool:
        return any(key in names_in(text) for text in self.derive.values())
