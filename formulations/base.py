"""What every formulation offers: a name, what it decides, what it supports, and a model ready to solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from planner.errors import FormulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, eq=False)
class Built:
    """A model and the way back from it.

    Attributes
    ----------
    model
        The Pyomo model.
    extract
        Reads the decision out of the model's variables once they have values.
    start
        Values to start from, a Pyomo ``ComponentMap``, or ``None``.
    """

    model: Any
    extract: Callable[[], Any]
    start: Mapping[Any, float] | None = None


class Formulation(Protocol):
    """One way to write a decision as a mixed-integer program."""

    @property
    def name(self) -> str:
        """Name in the registry."""
        ...

    @property
    def decides(self) -> str:
        """What it decides, in one phrase."""
        ...

    def supports(self, problem: Any) -> str | None:  # noqa: ANN401 - each formulation has its own kind of problem
        """Return why the problem is out of reach, or ``None`` if it is not."""
        ...

    def build(self, problem: Any) -> Built:  # noqa: ANN401 - each formulation has its own kind of problem
        """Write the program.

        Raises
        ------
        FormulationError
            If the problem is not supported.
        """
        ...


def refuse(reason: str | None) -> None:
    """Raise ``FormulationError`` where ``supports`` gave a reason."""
    if reason is not None:
        raise FormulationError(reason)
