"""The errors the planner raises, each with the exit code the command line returns for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it is, what is wrong and what would mend it."""

    file: str
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: {self.message}" + (f" ({self.remedy})" if self.remedy else "")


class PlannerError(Exception):
    """Root of every error that the planner raises on purpose."""

    exit_code = 3


class InstanceError(PlannerError):
    """Bad input. Carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def single(cls, file: str, key: str, message: str, remedy: str = "") -> InstanceError:
        """Build an error that carries one problem."""
        return cls([Problem(file, key, message, remedy)])


class FormulationError(PlannerError):
    """A formulation was asked for an instance that it does not support."""

    exit_code = 2


class SolverError(PlannerError):
    """HiGHS failed, or its answer disagrees with the evaluator."""

    exit_code = 3


class NoPlanFound(PlannerError):
    """No plan was found: none meets the limits, or the search was cut short. Carries the reasons."""

    exit_code = 1

    def __init__(self, reasons: Iterable[str], stop_reason: str = "infeasible") -> None:
        self.reasons = tuple(reasons)
        self.stop_reason = stop_reason
        super().__init__("\n".join(self.reasons))
