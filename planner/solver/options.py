"""What a caller may ask of the solver."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_THREADS = 1024
"""More than any machine has; the solver dies without a word where the system refuses it a thread."""


@dataclass(frozen=True)
class SolveOptions:
    """Limits and seeds of one solve.

    Attributes
    ----------
    time_limit_s
        Wall-clock limit of the run in seconds; ``None`` for no limit.
    gap
        Relative gap, ``(cost - bound) / cost``, at which the search may stop.
    threads
        Threads HiGHS may use.
    seed
        Random seed; with the same seed, options and number of threads a run repeats itself.
    log_file
        Where HiGHS writes its log; ``None`` keeps none.
    node_limit
        Most branch-and-bound nodes; ``None`` for no limit.
    mip_abs_gap
        Absolute gap at which the search may stop. ``None`` means 0: HiGHS' own default of 1e-6 would call any answer
        optimal in a model whose objective is a few microseconds. HiGHS' other tolerances stay absolute, about 1e-6, so
        a formulation must still scale its objective and rows to about 1.
    highs
        Further HiGHS options by their own names, for experiments.
    repeatable
        Limits that the planner sets by itself count nodes, not seconds, so that a slow machine gives the same answer.
    """

    time_limit_s: float | None = None
    gap: float = 1e-4
    threads: int = 2
    seed: int = 0
    log_file: Path | None = None
    node_limit: int | None = None
    mip_abs_gap: float | None = None
    highs: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    repeatable: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no run could honour.

        Raises
        ------
        InstanceError
            With one problem for each bad value.
        """
        rules = (
            ("time_limit_s", self.time_limit_s is None or self.time_limit_s >= 0, "must be 0 or more seconds"),
            ("gap", 0 <= self.gap < math.inf, "must be 0 or more"),
            ("threads", 1 <= self.threads <= MOST_THREADS, f"must lie between 1 and {MOST_THREADS}"),
            ("seed", 0 <= self.seed < 2**31, "must lie between 0 and 2147483647"),
            ("node_limit", self.node_limit is None or self.node_limit >= 0, "must be 0 or more"),
            ("mip_abs_gap", self.mip_abs_gap is None or self.mip_abs_gap >= 0, "must be 0 or more"),
        )
        problems = [
            Problem("solver options", name, f"{rule}, not {getattr(self, name)}", "correct the value")
            for name, holds, rule in rules
            if not holds
        ]
        if problems:
            raise InstanceError(problems)

    def as_highs(self) -> dict[str, bool | int | float | str]:
        """Return the options under HiGHS' own names, without the log file."""
        values: dict[str, bool | int | float | str] = {
            "mip_rel_gap": float(self.gap),
            "mip_abs_gap": float(self.mip_abs_gap or 0.0),
            "threads": self.threads,
            "random_seed": self.seed,
        }
        if self.time_limit_s is not None:
            values["time_limit"] = float(self.time_limit_s)
        if self.node_limit is not None:
            values["mip_max_nodes"] = self.node_limit
        return values | dict(self.highs)
