"""What a claim of the ledger is: a statement, its inputs, and a function that recomputes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = float | str
    Compute = Callable[["Values"], "Finding"]


@dataclass(frozen=True)
class Input:
    """One thing a claim takes as given; ``--set name=value`` changes it.

    ``varies`` tells whether the search for the smallest flip may move it (numbers only; a switch does not vary), and
    ``whole`` that it then goes by steps of one, down to 1.
    """

    name: str
    default: Value
    unit: str
    meaning: str
    varies: bool = True
    whole: bool = False

    def problem_with(self, value: Value) -> str | None:
        """Say why the input cannot have a value: not of its kind, not finite, below 0, or not whole; else None."""
        if isinstance(self.default, str) != isinstance(value, str):
            return f"{value!r} is not {'a name' if isinstance(self.default, str) else 'a number'}"
        if isinstance(value, str):
            return None
        if not (math.isfinite(value) and value >= 0):
            return f"{value} is not a finite number of at least 0"
        return f"{value} is not a whole number of at least 1" if self.whole and (value < 1 or value % 1) else None


class Values(dict[str, Any]):
    """Values of a claim's inputs by name; `number` and `text` say which kind is meant."""

    def number(self, name: str) -> float:
        """Value of a numeric input."""
        return float(self[name])

    def text(self, name: str) -> str:
        """Value of an input that is a name."""
        return str(self[name])


@dataclass(frozen=True)
class Figure:
    """One recomputed number beside what was printed or measured, in ``unit``."""

    name: str
    value: float | bool | str
    unit: str = ""
    printed: float | None = None
    source: str = ""


@dataclass(frozen=True)
class Finding:
    """What recomputing a claim gave.

    Attributes
    ----------
    computed
        The claim's own quantity, recomputed; None where the claim has no number.
    figures
        Everything else worth showing, acceptance figures among them.
    otherwise
        The same quantity under other tenable assumptions. One far off makes the claim ASSUMES.
    field
        The same quantity as measured in the field or by other arithmetic. One far off makes the claim CONTESTED.
    holds
        Whether the exhibit of a claim without a number shows what the claim says; ``otherwise`` and ``field`` then
        tell of each other case whether it does too.
    """

    computed: float | None
    figures: tuple[Figure, ...] = ()
    otherwise: tuple[Figure, ...] = ()
    field: tuple[Figure, ...] = ()
    holds: bool | None = None

    @property
    def all_figures(self) -> tuple[Figure, ...]:
        """Figures, those under other assumptions and those of the field."""
        return (*self.figures, *self.otherwise, *self.field)

    def figure(self, name: str) -> Figure:
        """Return the figure of a name."""
        return next(entry for entry in self.all_figures if entry.name == name)


@dataclass(frozen=True)
class Acceptance:
    """A figure that must come out as stated: within ``relative`` of ``expected``, or within ``absolute``.

    ``given`` are the inputs under which the figure is asked for, where they differ from the defaults.
    """

    figure: str
    expected: float | bool | str
    relative: float = 0.0
    absolute: float = 0.0
    given: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger.

    Attributes
    ----------
    printed
        The printed number, or None for a claim without one.
    agree, rounded
        Relative difference up to which the claim agrees, and factor up to which it counts as rounded.
    why
        One or two sentences that explain the verdict.
    exhibit
        Name of the exhibit that shows the claim, empty where there is none.
    """

    id: str
    topic: str
    statement: str
    equation: str
    quantity: str
    unit: str
    printed: float | None
    inputs: tuple[Input, ...]
    compute: Compute
    acceptance: tuple[Acceptance, ...]
    why: str
    agree: float = 0.05
    rounded: float = 1.3
    exhibit: str = ""

    def values(self, changes: Mapping[str, Value] | None = None) -> Values:
        """Return the defaults with ``changes``.

        Raises
        ------
        InstanceError
            If a change names no input of the claim, or is not of its kind; all problems at once.
        """
        from planner.errors import InstanceError, Problem

        changes = dict(changes or {})
        known = {entry.name: entry for entry in self.inputs}
        problems = [
            Problem(
                "command line", f"--set {name}", f"{self.id} has no input of this name", f"one of {', '.join(known)}"
            )
            for name in changes
            if name not in known
        ]
        values = Values({entry.name: entry.default for entry in self.inputs})
        for name in known.keys() & changes.keys():
            wrong = known[name].problem_with(changes[name])
            if wrong is not None:
                problems.append(Problem("command line", f"--set {name}", wrong, known[name].meaning))
            values[name] = changes[name]
        if problems:
            raise InstanceError(problems)
        return values
